"""A CSV of measured runs, one a row: reads it, and makes the plan of a row.

The columns are the words of the options, with what was measured beside them; `docs/measurements.md`
lists them. An empty cell means the stack's default. Shape columns win over the model's id.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmplan.catalog.load_model import COLUMNS, model_from_columns
from llmplan.errors import Fault, InputError, did_you_mean
from llmplan.files import read_text
from llmplan.setup.options import FLAGS, PlanOptions

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog
    from llmplan.setup.plan import Plan
    from llmplan.software.stack import Stack

NEEDED = ("id", "model", "hardware", "workload")
MEASURED = "measured_"
BESIDE = ("id", "source", "memory_kind", "notes")
"""Columns that describe neither the plan nor a measurement."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured run: its cells as text, and its line in the file."""

    cells: dict[str, str]
    line: int

    @property
    def id(self) -> str:
        """The row's name."""
        return self.cells["id"]

    @property
    def group(self) -> tuple[str, str, str]:
        """Source, model and hardware: rows of one group share a vote."""
        return self.cells.get("source", ""), self.cells["model"], self.cells["hardware"]

    def measured(self) -> dict[str, float | bool]:
        """What was measured, without the prefix; only cells that are filled."""
        found: dict[str, float | bool] = {}
        for name, text in self.cells.items():
            if name.startswith(MEASURED) and text:
                found[name.removeprefix(MEASURED)] = text == "true" if text in ("true", "false") else float(text)
        return found


def read_rows(path: Path | str) -> list[Row]:
    """Every row of a CSV; an InputError for a header that is missing words or has unknown ones, or a torn row."""
    text, name = read_text(path), str(path)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, restkey="", restval=None)
    faults: list[Fault] = []
    rows: list[Row] = []
    try:
        faults += _header_faults(reader.fieldnames or (), name)
        seen: set[str] = set()
        for cells in reader if not faults else ():
            line = reader.line_num
            if "" in cells or None in cells.values():
                faults.append(Fault(f"row has {'more' if '' in cells else 'fewer'} cells than the header", name, line))
                continue
            row = Row({key: value.strip() for key, value in cells.items()}, line)
            if not row.id or row.id in seen:
                faults.append(Fault(f"id {row.id!r} {'stands twice' if row.id else 'is empty'}", name, line))
            faults += _measured_faults(row, name)
            seen.add(row.id)
            rows.append(row)
    except csv.Error as error:
        faults.append(Fault(f"is not a valid CSV: {error}", name, reader.line_num))
    if not faults and not rows:
        faults.append(Fault("has no rows", name))
    if faults:
        raise InputError(faults)
    return rows


def _measured_faults(row: Row, file: str) -> list[Fault]:
    """Measured cells that are no numbers: they would make errors of nothing."""
    faults = []
    for name, text in row.cells.items():
        if not name.startswith(MEASURED) or text in ("", "true", "false"):
            continue
        try:
            sound = math.isfinite(float(text)) and float(text) >= 0
        except ValueError:
            sound = False
        if not sound:
            what = "true or false" if name == f"{MEASURED}fits" else "a finite number, 0 or more"
            faults.append(Fault(f"{name}: expected {what}, got {text[:60]!r}", file, row.line))
    return faults


def _header_faults(header: Any, file: str) -> list[Fault]:
    known = {*PlanOptions.model_fields, *COLUMNS, *BESIDE}
    faults = [Fault(f"column {name!r} is missing", file, 1) for name in NEEDED if name not in header]
    faults += [
        Fault(f"unknown column {name!r}{did_you_mean(name, known)}", file, 1)
        for name in header
        if name not in known and not name.startswith(MEASURED)
    ]
    twice = sorted({name for name in header if list(header).count(name) > 1})
    return faults + [Fault(f"column {name!r} stands twice", file, 1) for name in twice]


def row_options(row: Row, stack: str) -> dict[str, Any]:
    """The words of the row that the options know, as values; `stack` instead of the row's own."""
    said: dict[str, Any] = {}
    for name, text in row.cells.items():
        if text and name in PlanOptions.model_fields:
            said[name] = {"true": True, "false": False}.get(text.lower(), text) if name in FLAGS else text
    return said | {"stack": stack}


def row_plan(row: Row, catalog: Catalog, stack: str) -> Plan:
    """The plan of a row under a stack of the catalogue; an InputError says why there is none."""
    from llmplan.training.resolve import plan_from

    options = row_options(row, stack)
    version = published_version(row, catalog.stack(stack))
    if version:
        options["stack_version"] = version
    return plan_from(options, catalog=catalog, model=model_from_columns(row.cells, catalog))


def published_version(row: Row, stack: Stack) -> str:
    """The version that the row's publication is known to have run, where the row states none; else nothing."""
    if row.cells.get("stack_version") or row.cells["workload"] != "serve" or stack.serving is None:
        return ""
    source = row.cells.get("source", "")
    found = (one.version for one in stack.serving.variants if any(name in source for name in one.published_in))
    return next(found, "")
