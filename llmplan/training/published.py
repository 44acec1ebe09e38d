"""What others ran: the nearest published layout of the same model on the same device."""

from __future__ import annotations

import csv
import math
from functools import cache

from llmplan.files import builtin
from llmplan.model.model import Model

FILE = "layouts.csv"
COLUMNS = ("parameters", "hardware", "devices", "stack", "layout", "publication")
"""Of the table: of each model (known by its parameters), device and number of devices the fastest layout measured."""


ALIKE = 0.02
"""Of the parameters: two models that differ by less are one, but for what their tables are padded to."""


def nearest_published(model: Model, hardware: str, devices: int) -> str:
    """A sentence about the published layout on the nearest number of devices; empty where there is none."""
    rows = [row for row in _table() if row[1] == hardware]
    rows = [row for row in rows if abs(int(row[0]) / model.parameters - 1.0) <= ALIKE]
    if not rows:
        return ""
    _, _, count, stack, layout, publication = min(rows, key=lambda row: abs(math.log(int(row[2]) / devices)))
    return f"published: {stack} ran it on {count} x {hardware} with {layout} ({publication})"


@cache
def _table() -> tuple[list[str], ...]:
    """The rows of the file, read once: many plans ask."""
    with (builtin() / FILE).open(encoding="utf-8", newline="") as lines:
        return tuple(csv.reader(lines))
