"""`llmplan validate`: the planner against measured runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmplan.catalog.catalog import open_catalog
from llmplan.cli.folders import CatalogFolders
from llmplan.cli.gate import THE_ANSWER_IS_NO, Check
from llmplan.cli.help import HelpedCommand
from llmplan.cli.output import AsJson, Columns, Format, columns_of, write
from llmplan.cli.progress import counted, progress
from llmplan.errors import Fault, InputError
from llmplan.records import replace

if TYPE_CHECKING:
    from llmplan.answer.validate import Validation

app = typer.Typer(add_completion=False)


@app.command(cls=HelpedCommand)
def validate(
    file: Annotated[
        Path, typer.Argument(help="CSV of measured runs, one a row (docs/measurements.md).", metavar="FILE")
    ],
    catalog: CatalogFolders = None,
    stack: Annotated[str, typer.Option("--stack", help="Plan all rows with this stack instead of their own.")] = "",
    summary: Annotated[
        bool,
        typer.Option("--summary", help="Only one line a quantity; in csv and jsonl, scores instead of runs."),
    ] = False,
    limits: Annotated[
        str | None,
        typer.Option("--limits", metavar="LIST", help="For --check: 'max_median=0.1, max_wrong_verdicts=0'."),
    ] = None,
    as_json: AsJson = False,
    output: Format = "table",
    columns: Columns = None,
    check: Check = False,
) -> None:
    """Predict every run of a CSV and say how far off the predictions are.

    llmplan validate docs/examples/runs.csv

    llmplan validate docs/examples/runs.csv --summary

    llmplan validate docs/examples/runs.csv --limits 'max_median=0.2, max_skipped=0' --check --format github
    """
    from llmplan.answer.rows import read_rows, unread_columns
    from llmplan.answer.validate import IMPOSSIBLE, validation
    from llmplan.answer.validate import validate as predict
    from llmplan.answer.validation_limits import ValidationLimits, limits_of, validation_limits

    form = "json" if as_json else output
    chosen, wanted = columns_of(columns, form), validation_limits(limits)
    rows = read_rows(file)
    if unread := unread_columns(rows):
        typer.echo(f"warning: {file}:1: columns that nothing reads: {', '.join(unread)}", err=True)
    opened = open_catalog(catalog or ())
    if stack:
        opened.stack(stack)  # its faults are reported once, not for every row
    with progress("rows", len(rows)) as shown:
        results = predict(counted(rows, shown), opened, stack)
    for result in results:
        for remark in result.remarks:
            if remark.startswith(IMPOSSIBLE):
                typer.echo(f"warning: {file}:{result.row.line}: {result.row.id}: {remark}", err=True)
    found = validation(results)
    if wanted != ValidationLimits():
        found = replace(found, limits=limits_of(found, wanted))
    from llmplan.report import validation as report

    scores = [line.data for line in report.sheet(found, str(file), short=False).lines]
    write(
        found, scores if summary else found.rows, lambda: report.sheet(found, str(file), short=summary), form, chosen,
        table=lambda _: _print(found, short=summary), picture=lambda: report.picture(found),
    )  # fmt: skip
    if found.summary.skipped == found.summary.rows:
        raise InputError(Fault("none of its rows can be planned; what is printed says why of each", str(file)))
    if check:
        missed = [text for _, text in report.missed_limits(found)]
        for text in missed:
            typer.echo(text, err=True)
        if missed:
            raise typer.Exit(THE_ANSWER_IS_NO)


def _print(found: Validation, *, short: bool) -> None:
    from rich.console import Console

    from llmplan.report.validation import print_summary, print_validation

    (print_summary if short else print_validation)(Console(), found)
