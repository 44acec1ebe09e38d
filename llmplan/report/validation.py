"""Validation as JSON and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmplan.answer.validate import Result, score
from llmplan.version import __version__

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "llmplan.validation/1"
_HEADINGS = ("rows", "median error", "90th percentile", "bias", "inside 80 % band")


def quantities(results: Sequence[Result]) -> list[str]:
    """Names of everything predicted, in the order of first appearance."""
    return list(dict.fromkeys(name for result in results for name in result.predicted))


def validation_json(results: Sequence[Result]) -> dict[str, Any]:
    """The whole validation: every row, and scores by quantity, stack and hardware."""
    return {
        "schema": SCHEMA,
        "llmplan_version": __version__,
        "rows": [_row(result) for result in results],
        "summary": {
            "rows": len(results),
            "skipped": sum(result.skipped is not None for result in results),
            "all": _scores(results),
            "by_stack": {name: _scores(part) for name, part in _by(results, "stack").items()},
            "by_hardware": {name: _scores(part) for name, part in _by(results, "hardware").items()},
        },
    }


def _row(result: Result) -> dict[str, Any]:
    predicted: dict[str, Any] = {name: value.value for name, value in result.predicted.items()}
    if result.fits is not None:
        predicted["fits"] = result.fits
    return {
        "id": result.row.id,
        "predicted": predicted,
        "interval": {name: [value.low, value.high] for name, value in result.predicted.items()},
        "measured": _measured(result),
        "skipped": result.skipped,
        **({"remarks": list(result.remarks)} if result.remarks else {}),
    }


def _measured(result: Result) -> dict[str, float | bool]:
    try:
        return result.row.measured()
    except ValueError:
        return {}


def _scores(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    found = {name: score(results, name) for name in quantities(results)}
    return {
        name: {"rows": s.rows, "median": s.median, "p90": s.p90, "bias": s.bias, "inside_band": s.inside}
        for name, s in found.items()
        if s is not None
    }


def _by(results: Sequence[Result], column: str) -> dict[str, list[Result]]:
    parts: dict[str, list[Result]] = {}
    for result in results:
        parts.setdefault(result.row.cells.get(column) or "-", []).append(result)
    return dict(sorted(parts.items()))


def print_validation(console: Console, results: Sequence[Result]) -> None:
    """Scores by stack and hardware, the rows furthest off, and the rows that were skipped, all of them."""
    from rich.table import Table

    for quantity in quantities(results):
        total = score(results, quantity)
        if total is None:
            continue
        table = Table(title=f"{quantity}: predicted against measured", title_justify="left", box=None, pad_edge=False)
        _add_columns(table, results)
        for column in ("stack", "hardware"):
            for name, part in _by(results, column).items():
                _add(table, name, score(part, quantity))
            table.add_section()
        _add(table, "all", total)
        console.print(table)
        console.print()
    skipped = [result for result in results if result.skipped is not None]
    for result in skipped:
        console.print(
            f"skipped {result.row.id} (line {result.row.line}): {result.skipped}", highlight=False, markup=False
        )
    console.print(
        f"{len(results)} rows, {len(skipped)} skipped; groups of publication, stack, model and hardware weigh equally"
    )


def print_summary(console: Console, results: Sequence[Result]) -> None:
    """One line a quantity, all rows together."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    _add_columns(table, results)
    for quantity in quantities(results):
        _add(table, quantity, score(results, quantity))
    console.print(table)


def _add_columns(table: Any, results: Sequence[Result]) -> None:
    names = [*quantities(results), *(r.row.cells.get(c, "") for r in results for c in ("stack", "hardware"))]
    # a heading of blanks: Rich before 15 adds the padding to a `min_width`
    table.add_column(" " * max(map(len, names), default=0), no_wrap=True)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")


def _add(table: Any, name: str, found: Any) -> None:
    if found is not None:
        table.add_row(
            name,
            str(found.rows),
            f"{found.median:.1%}",
            f"{found.p90:.1%}",
            f"{found.bias:+.1%}",
            f"{found.inside:.0%}",
        )
