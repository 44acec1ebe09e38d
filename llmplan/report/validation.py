"""A validation as tables, as rows, and as a chart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.table import Table

from llmplan.answer.data import to_data
from llmplan.answer.validation_limits import wrong_verdicts
from llmplan.errors import InputError
from llmplan.formatting import plain
from llmplan.records import replace
from llmplan.report.sheet import Annotation, Sheet, SheetRow
from llmplan.report.svg import Scatter, ScatterPoint, svg
from llmplan.report.verdict import part_name
from llmplan.software.band import Interval

if TYPE_CHECKING:
    from rich.console import Console

    from llmplan.answer.scores import Score
    from llmplan.answer.validate import Validation

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
    """Predicted against actual memory verdicts, and the rows where they differ."""
    both = [(row, row.predicted.get("fits"), row.measured.get("fits")) for row in found.rows if row.skipped is None]
    for happened, words in ((True, "ran"), (False, "ran out of memory")):
        some = [(row, predicted) for row, predicted, measured in both if measured is happened and predicted is not None]
        wrong = [
            f"{row.id}{' (marginal)' if row.verdict == 'marginal' else ''}"
            for row, predicted in some
            if predicted is not happened
        ]
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
        table.add_row(name, str(one.rows), *_texts(one))


def _texts(one: Score) -> tuple[str, ...]:
    return f"{one.median:.1%}", f"{one.p90:.1%}", f"{one.bias:+.1%}", f"{one.inside_band:.0%}"


def sheet(found: Validation, file: str, *, short: bool) -> Sheet:
    """Scores as rows, unless short by stack and hardware too; annotations name wrong verdicts and skipped rows."""
    parts = {"all": found.summary.all}
    if not short:
        parts |= {**found.summary.by_stack, **found.summary.by_hardware}
    lines = [
        SheetRow(
            name=f"{quantity}, {part}", cells=dict(zip(_HEADINGS, (str(one.rows), *_texts(one)), strict=True)),
            data={"quantity": quantity, "part": part, **to_data(one)},
        )
        for part, scores in parts.items()
        for quantity, one in scores.items()
    ]  # fmt: skip
    annotations = [Annotation("error", name, missed) for name, missed in missed_limits(found)]
    annotations += [Annotation("notice", line.name, f"median error {line.cells['median error']}") for line in lines
              if line.name.endswith(", all")]  # fmt: skip
    wrong = set(wrong_verdicts(found))
    for row in found.rows:
        if row.id in wrong:
            verdict = "fit" if row.predicted["fits"] else "not fit"
            annotations.append(
                Annotation("warning", row.id, f"line {row.line}: it was said to {verdict}, and did otherwise")
            )
        if row.skipped is not None:
            annotations.append(Annotation("notice", row.id, f"line {row.line}: skipped: {row.skipped}"))
    if lines:
        lines[0] = replace(lines[0], annotations=tuple(annotations), file=file, line=1)
    return Sheet(lines=lines, notes=[*verdicts(found)], annotations=() if lines else tuple(annotations))


def missed_limits(found: Validation) -> Iterator[tuple[str, str]]:
    """Name and sentence of every limit that is not kept."""
    for name, one in (found.limits or {}).items():
        if not one.kept:
            yield name, f"limit {name} {one.limit:g} is not kept: {one.value:.3g}"


def picture(found: Validation) -> str:
    """Predicted against measured, a chart a quantity; on the line both are the same."""
    charts = []
    for quantity in found.summary.all:
        points = []
        for row in found.rows:
            measured, predicted = row.measured.get(quantity), row.predicted.get(quantity)
            if isinstance(predicted, Interval) and measured:
                inside = predicted.low <= measured <= predicted.high
                kind = "inside the band" if inside else "outside"
                points.append(ScatterPoint(row.id, float(measured), predicted.value, kind, predicted))
        name = part_name(quantity)
        charts.append(
            Scatter(f"{name}: predicted against measured", points, "measured", "predicted", plain, plain, True)
        )
    if not charts:
        raise InputError("--format svg: no row has both a measurement and a prediction")
    return svg("llmplan validate", charts)
