"""A sweep as CSV or as a table, row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from llmplan.answer.summary import PlanSummary
from llmplan.formatting import binary, plain, step_time
from llmplan.search.sweep import Axis, SweepRow
from llmplan.software.band import Interval

_ENDS = ("value", "low", "high")
INTERVALS = tuple(field.name for field in fields(PlanSummary) if "Interval" in str(field.type))
"""Figures with a band."""
_PLAIN = tuple(
    field.name
    for field in fields(PlanSummary)
    if field.name not in (*INTERVALS, "schema", "llmplan_version", "limits", "missed")
)
FIGURES = (*_PLAIN, *(f"{name}.{end}" for name in INTERVALS for end in _ENDS))
"""Columns of a summary, by the keys of its JSON joined by dots."""


def csv_head(axes: Sequence[Axis]) -> str:
    """Names of the columns: what varies, then the figures that do not say it again, then faults."""
    own = [axis.name for axis in axes]
    return _line([*own, *(name for name in FIGURES if name not in own), "errors"])


def csv_line(row: SweepRow) -> str:
    """One combination, numbers in SI base units."""
    found = {} if row.summary is None else figures(row.summary)
    rest = (found.get(name) for name in FIGURES if name not in row.vary)
    return _line([*row.vary.values(), *rest, "; ".join(row.errors or ())])


def figures(summary: PlanSummary) -> dict[str, Any]:
    """The columns of a summary."""
    found: dict[str, Any] = {name: _text(getattr(summary, name)) for name in _PLAIN}
    for name in INTERVALS:
        band = getattr(summary, name)
        if band is not None:
            found |= {f"{name}.{end}": getattr(band, end) for end in _ENDS}
    return found


def _text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _line(cells: Sequence[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


def table_lines(rows: Sequence[SweepRow], axes: Sequence[Axis]) -> list[str]:
    """The main figures of every combination, for people."""
    shown = [_cells(row) for row in rows]
    heads = list(dict.fromkeys(name for row in shown for name in row))
    texts = [[axis.name for axis in axes] + heads]
    texts += [
        [*map(str, row.vary.values()), *(cells.get(name, "-") for name in heads)]
        for row, cells in zip(rows, shown, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = [
        "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in texts
    ]  # fmt: skip
    why = dict.fromkeys(error for row in rows for error in row.errors or ())
    return [*lines, *(f"not planned: {error}" for error in why)]


def _cells(row: SweepRow) -> dict[str, str]:
    found = row.summary
    if found is None:
        return {"verdict": "not planned"}
    degrees = ((name, getattr(found, name)) for name in ("tp", "pp", "cp", "ep", "dp"))
    cells = {
        "verdict": found.verdict.replace("-", " "),
        "layout": " ".join(f"{name} {size}" for name, size in degrees if size > 1) or "1 device",
        "memory": binary(found.peak_bytes.value, 3),
    }
    times = {
        "step": found.step_seconds, "first token": found.ttft_seconds, "per token": found.tpot_seconds,
    }  # fmt: skip
    cells |= {name: step_time(time.value) for name, time in times.items() if time is not None}
    rates = {"tokens/s": found.tokens_per_second or found.output_tokens_per_second, "cost": found.usd}
    cells |= {name: _number(rate) for name, rate in rates.items() if rate is not None}
    if found.usd_per_million is not None:
        cells["USD/M tokens"] = _number(found.usd_per_million)
    if found.mfu is not None:
        cells["MFU"] = f"{found.mfu:.1%}"
    return cells


def _number(band: Interval) -> str:
    return plain(band.value)
