"""The models that run on a machine, as a table or CSV."""

from __future__ import annotations

import csv
import io

from llmplan.answer.data import to_data
from llmplan.formatting import binary, count, duration, plain
from llmplan.search.shelf import ListedModel, ModelList

SHOWN = 5  # models that are too large, by name


def shelf_csv(found: ModelList) -> str:
    """The models that fit, a header and a line each."""
    names = ["id", "parameters", "active_parameters", "precision", "verdict", "needed_bytes", "usable_bytes",
             "longest_tokens", "tokens_per_second", "ttft_seconds"]  # fmt: skip
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    for one in found.models:
        row = to_data(one)
        writer.writerow({name: value["value"] if isinstance(value, dict) else value for name, value in row.items()})
    return buffer.getvalue()


def shelf_lines(found: ModelList) -> list[str]:
    """A table, what is too large, and what was assumed."""
    head = ["model", "parameters", "active", "weights", "needs", "context", "tokens/s", "first token"]
    rows = [_cells(one) for one in found.models]
    used = [index for index in range(len(head)) if any(row[index] for row in rows)]
    widths = [max(len(row[index]) for row in [head, *rows]) for index in used]
    lines = []
    for row in [head, *rows] if rows else []:
        cells = [row[index].ljust(width) if index in (0, 3) else row[index].rjust(width)
                 for index, width in zip(used, widths, strict=True)]  # fmt: skip
        lines.append("  ".join(cells).rstrip())
    lines += ["", _summary(found)]
    return [*lines, "", "Assumed", *(f"  - {line}" for line in found.assumptions)] if found.assumptions else lines


def _cells(one: ListedModel) -> list[str]:
    mark = " ?" if one.verdict == "marginal" else ""
    active = "" if one.active_parameters == one.parameters else count(one.active_parameters)
    return [
        one.id, count(one.parameters), active, one.precision, binary(one.needed_bytes.value, 3) + mark,
        "" if one.longest_tokens is None else count(one.longest_tokens),
        "" if one.tokens_per_second is None else plain(one.tokens_per_second.value),
        "" if one.ttft_seconds is None else duration(one.ttft_seconds.value),
    ]  # fmt: skip


def _summary(found: ModelList) -> str:
    fitting = {one.id for one in found.models}
    text = f"{len(fitting)} of {len(fitting) + len(found.too_large)} models fit"
    if any(one.verdict == "marginal" for one in found.models):
        text += "; ? = the limit lies inside the error band"
    if found.too_large:
        least = [one.id for one in reversed(found.too_large)][:SHOWN]
        text += f"; too large at any precision: {', '.join(least)}{', ...' if len(found.too_large) > SHOWN else ''}"
    return text
