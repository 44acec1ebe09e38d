"""What changed between two plans, as a table, as Markdown and as annotations of GitHub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from llmplan.formatting import binary, count, days, duration
from llmplan.report.economics import electricity, mass, usd
from llmplan.report.github import command
from llmplan.report.limits import missed_lines

if TYPE_CHECKING:
    from llmplan.search.difference import Difference, FigureChange
    from llmplan.software.band import Interval

_DAY, _NAMES = 24 * 3600.0, {"mfu": "MFU", "ttft": "first token", "tpot": "per token", "carbon": "CO2e"}
_WRITERS: dict[str, Callable[[float], str]] = {
    "throughput": lambda value: f"{count(value)} tokens/s", "step": duration, "mfu": lambda value: f"{value:.1%}",
    "ttft": duration, "tpot": duration, "latency": duration, "memory": lambda value: binary(value, 3),
    "days": lambda value: days(value / _DAY), "cost": usd, "energy": electricity, "carbon": mass,
}  # fmt: skip
TIMES = 2
"""Changes by more than this are told as a factor."""
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
    """Rows of text: what, before, after, the change; words first, then the verdict, then figures."""
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


def table_text(found: Difference) -> str:
    """Columns of text, as wide as they must be."""
    rows = [("", "before", "after", "change"), *lines(found)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    shown = (
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    )
    return "\n".join(line.rstrip() for line in shown) + "\n"


def markdown_text(found: Difference) -> str:
    """A table of GitHub's Markdown; what is beyond the error bands in bold."""
    beyond = {_NAMES.get(name, name) for name, one in found.figures.items() if one.beyond_error}
    rows = ["| | before | after | change |", "| --- | ---: | ---: | --- |"]
    for name, before, after, by in lines(found):
        cells = [name, before, after, f"**{by}**" if name.partition(" (")[0] in beyond else by]
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def github_lines(found: Difference, file: str, line: int | None) -> Iterator[str]:
    """Annotations: what went the wrong way by more than the error bands, and what the new plan misses."""
    if not found.after.fits:
        yield command("error", "does not fit", f"verdict {found.verdict.after}, was {found.verdict.before}", file, line)
    for missed in missed_lines(found.after):
        yield command("error", "limit", missed, file, line)
    for name, one in found.figures.items():
        if one.beyond_error:
            said = f"{_figure(name, one.before)} -> {_figure(name, one.after)} ({change(one)})"
            yield command("warning" if one.worse else "notice", _NAMES.get(name, name), said, file, line)
    if not any(one.beyond_error for one in found.figures.values()):
        yield command("notice", "llmplan diff", "nothing changed by more than the error bands", file, line)
