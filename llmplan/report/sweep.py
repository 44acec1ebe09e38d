"""A sweep as rows, and as CSV written row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any

from llmplan.answer.summary import PlanSummary
from llmplan.errors import InputError
from llmplan.formatting import binary, count, plain, step_time
from llmplan.report.sheet import Annotation, Sheet, SheetRow, csv_line, heads_of
from llmplan.report.svg import Bar, Chart, Scatter, ScatterPoint, svg
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


def sheet(rows: Sequence[SweepRow]) -> Sheet:
    """The main figures of every combination; annotations name those that fail or cannot be planned."""
    lines = []
    for row in rows:
        vary = {name: str(value) for name, value in row.vary.items()}
        name = ", ".join(f"{word} {value}" for word, value in vary.items())
        found = row.summary
        annotations: tuple[Annotation, ...] = ()
        if found is None:
            annotations = (Annotation("warning", name, f"not planned: {'; '.join(row.errors or ())}"),)
        elif not found.is_yes:
            annotations = (Annotation("error", name, why_no(found)),)
        lines.append(SheetRow(name=name, cells=vary | _cells(row), data=row, annotations=annotations))
    why = dict.fromkeys(error for row in rows for error in row.errors or ())
    answered = sum(row.summary is not None for row in rows)
    does = sum(row.summary is not None and row.summary.is_yes for row in rows)
    summary = Annotation(
        "notice", "llmplan sweep", f"{does} of {answered} plans do; {len(rows) - answered} cannot be planned"
    )
    return Sheet(lines=lines, notes=[f"not planned: {error}" for error in why], named=False, annotations=(summary,))


def why_no(found: PlanSummary) -> str:
    """Why the answer to a plan is no, in one line."""
    if not found.fits:
        return f"does not fit: {binary(found.peak_bytes.value, 3)} of {binary(found.usable_bytes, 3)}"
    missed = [f"limit {name}" for name, one in (found.limits or {}).items() if not one.kept]
    missed += [f"target {name}" for name in found.missed or ()]
    return f"misses {', '.join(missed)}" if missed else "does not keep up with its load"


def chosen_csv(rows: Iterable[SweepRow], axes: Sequence[Axis], columns: Sequence[str] | None) -> Iterator[str]:
    """Lines of CSV, the header first, while the rows are computed. columns: the requested ones."""
    own = [one.name for one in axes]
    keys = [*own, *(name for name in FIGURES if name not in own), "errors"]
    heads = {key: key for key in keys} if columns is None else dict(heads_of(columns, keys))
    yield csv_line(heads)
    for row in rows:
        found = {} if row.summary is None else figures(row.summary)
        found |= {**row.vary, "errors": "; ".join(row.errors or ())}
        yield csv_line(found.get(key) for key in heads.values())


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


def picture(rows: Sequence[SweepRow], axes: Sequence[Axis]) -> str:
    """Speed and memory over the first option with several numbers, coloured by the others; as bars if there is none."""
    planned = [(row, row.summary) for row in rows if row.summary is not None]
    if not planned:
        raise InputError("--format svg: no combination could be planned, and so nothing is drawn")
    over = next((one.name for one in axes if len(one.values) > 1 and all(_number_of(v) for v in one.values)), None)
    charts: list[Chart | Scatter] = []
    for title, key, write in (("Tokens a second", "rate", count), ("Memory of a device", "peak_bytes", _bytes)):
        bands = [(row, found.peak_bytes if key == "peak_bytes" else _rate(found)) for row, found in planned]
        shown = [(row, band) for row, band in bands if band is not None]
        if over is None:
            bars = [Bar(_named(row, None), {key: band.value}, band) for row, band in shown]
            charts.append(Chart(title, bars, write))
        else:
            points = [
                ScatterPoint(_named(row, None), _number_of(row.vary[over]), band.value, _named(row, over), band)
                for row, band in shown
            ]
            charts.append(Scatter(f"{title} over {over}", points, over, title.lower(), count, write))
    return svg("llmplan sweep", charts)


def _rate(found: PlanSummary) -> Interval | None:
    return found.tokens_per_second or found.output_tokens_per_second or found.requests_per_second


def _bytes(value: float) -> str:
    return binary(value, 3)


def _named(row: SweepRow, without: str | None) -> str:
    words = (f"{name} {value}" for name, value in row.vary.items() if name != without)
    return ", ".join(words) or "the plan"


def _number_of(value: Any) -> float:
    """A value of an axis as a number; 0 where it is a name."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
