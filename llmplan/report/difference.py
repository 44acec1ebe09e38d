"""The changes between two plans, as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from llmplan.answer.data import to_data
from llmplan.formatting import binary, count, days, duration
from llmplan.records import replace
from llmplan.report.economics import electricity, mass, usd
from llmplan.report.limits import missed_lines
from llmplan.report.sheet import Annotation, Sheet, SheetRow
from llmplan.si import DAY

if TYPE_CHECKING:
    from llmplan.search.difference import Difference, FigureChange
    from llmplan.software.band import Interval

_NAMES = {"mfu": "MFU", "ttft": "first token", "tpot": "per token", "carbon": "CO2e"}
_WRITERS: dict[str, Callable[[float], str]] = {
    "throughput": lambda value: f"{count(value)} tokens/s", "step": duration, "mfu": lambda value: f"{value:.1%}",
    "ttft": duration, "tpot": duration, "latency": duration, "memory": lambda value: binary(value, 3),
    "days": lambda value: days(value / DAY), "cost": usd, "energy": electricity, "carbon": mass,
}  # fmt: skip
TIMES = 2
"""Larger changes are written as a factor."""
WITHIN = "within the error"
"""Of a change that the bands of both figures overlap in."""
_PER_MILLION = "a million requests"


def change(one: FigureChange) -> str:
    """`+12%`, and whether that is more than the error bands."""
    if one.ratio is None:
        return "new" if one.before is None else "gone"
    if one.ratio == 1.0:
        return "="
    size = f"{one.ratio - 1:+.1%}" if 1 / TIMES < one.ratio < TIMES else f"x {one.ratio:.3g}"
    return size if one.beyond_error else f"{size}, {WITHIN}"


def lines(found: Difference) -> Iterator[tuple[str, str, str, str]]:
    """Rows of text: what, before, after, the change; options first, then the verdict, then figures."""
    for name, word in found.words.items():
        yield name, _word(word.before), _word(word.after), ""
    for name, one in found.figures.items():
        unit = f" ({_PER_MILLION})" if name in ("cost", "energy", "carbon") and _serves(found) else ""
        yield f"{_NAMES.get(name, name)}{unit}", _figure(name, one.before), _figure(name, one.after), change(one)
    verdict = found.verdict
    if verdict.before != verdict.after:
        yield "verdict", str(verdict.before), str(verdict.after), ""


def _serves(found: Difference) -> bool:
    return bool(found.after.inputs["workload"] == "serve")


def _word(value: Any) -> str:
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else ",".join(value) if isinstance(value, list) else str(value)


def _figure(name: str, value: Interval | None) -> str:
    return "?" if value is None else _WRITERS[name](value.value)


def sheet(found: Difference, file: str = "", line: int | None = None) -> Sheet:
    """Options, verdict and figures that changed; annotations name changes for the worse beyond the error bands."""
    beyond = [one["name"] for one in items(found) if one.get("beyond_error")]
    rows = [
        SheetRow(
            name=name, cells={"before": before, "after": after, "change": by}, data=data,
            strong=("change",) if data["name"] in beyond else (),
        )
        for (name, before, after, by), data in zip(lines(found), items(found), strict=True)
    ]  # fmt: skip
    annotations = [*_annotations_of(found)]
    rows[:1] = [replace(rows[0], annotations=tuple(annotations), file=file, line=line)] if rows else []
    return Sheet(lines=rows, annotations=() if rows else tuple(annotations))


def _annotations_of(found: Difference) -> Iterator[Annotation]:
    """Changes for the worse by more than the error bands, and limits that the new plan misses."""
    if not found.after.fits:
        yield Annotation("error", "does not fit", f"verdict {found.verdict.after}, was {found.verdict.before}")
    for missed in missed_lines(found.after):
        yield Annotation("error", "limit", missed)
    for name, one in found.figures.items():
        if one.beyond_error:
            figures = f"{_figure(name, one.before)} -> {_figure(name, one.after)} ({change(one)})"
            yield Annotation("warning" if one.worse else "notice", _NAMES.get(name, name), figures)
    if not any(one.beyond_error for one in found.figures.values()):
        yield Annotation("notice", "llmplan diff", "nothing changed by more than the error bands")


def items(found: Difference) -> list[dict[str, Any]]:
    """A row for each line, as JSON has it."""
    words = [{"name": name, "kind": "word", **to_data(one)} for name, one in found.words.items()]
    figures = [{"name": name, "kind": "figure", **to_data(one)} for name, one in found.figures.items()]
    changed = found.verdict.before != found.verdict.after
    return [*words, *figures, *([{"name": "verdict", "kind": "verdict", **to_data(found.verdict)}] if changed else ())]
