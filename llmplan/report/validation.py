"""Validation as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from llmplan.answer.validate import Score, Validation

_NAMED = 6  # rows of a wrong verdict
_HEADINGS = ("rows", "median error", "90th percentile", "bias", "inside 80 % band")


def print_validation(console: Console, found: Validation) -> None:
    """Scores by stack and hardware, and the rows that were skipped, all of them."""
    summary = found.summary
    for quantity, total in summary.all.items():
        table = Table(title=f"{quantity}: predicted against measured", title_justify="left", box=None, pad_edge=False)
        _add_columns(table, [*summary.all, *summary.by_stack, *summary.by_hardware])
        for part in (summary.by_stack, summary.by_hardware):
            _add_rows(table, {name: scores[quantity] for name, scores in part.items() if quantity in scores})
            table.add_section()
        _add_rows(table, {"all": total})
        console.print(table)
        console.print()
    for line in verdicts(found):
        console.print(line, highlight=False, markup=False)
    for row in found.rows:
        if row.skipped is not None:
            console.print(f"skipped {row.id} (line {row.line}): {row.skipped}", highlight=False, markup=False)
    console.print(
        f"{summary.rows} rows, {summary.skipped} skipped; "
        "groups of publication, stack, model and hardware weigh equally"
    )


def verdicts(found: Validation) -> Iterator[str]:
    """What was said of memory beside what happened, where the rows tell; the rows where it was wrong."""
    both = [(row, row.predicted.get("fits"), row.measured.get("fits")) for row in found.rows if row.skipped is None]
    for happened, words in ((True, "ran"), (False, "ran out of memory")):
        some = [(row, said) for row, said, measured in both if measured is happened and said is not None]
        wrong = [row.id for row, said in some if said is not happened]
        if some:
            right = "fit" if happened else "not fit"
            names = f"; wrong: {', '.join(wrong[:_NAMED])}{' ...' if len(wrong) > _NAMED else ''}" if wrong else ""
            yield f"memory: {len(some)} rows {words}, {len(some) - len(wrong)} of them said to {right}{names}"


def print_summary(console: Console, found: Validation) -> None:
    """One line a quantity, all rows together."""
    table = Table(box=None, pad_edge=False)
    _add_columns(table, list(found.summary.all))
    _add_rows(table, found.summary.all)
    console.print(table)
    for line in verdicts(found):
        console.print(line, highlight=False, markup=False)


def _add_columns(table: Table, names: list[str]) -> None:
    # a heading of blanks: Rich before 15 adds the padding to a `min_width`
    table.add_column(" " * max(map(len, names), default=0), no_wrap=True)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")


def _add_rows(table: Table, scores: Mapping[str, Score]) -> None:
    for name, one in scores.items():
        cells = f"{one.median:.1%}", f"{one.p90:.1%}", f"{one.bias:+.1%}", f"{one.inside_band:.0%}"
        table.add_row(name, str(one.rows), *cells)
