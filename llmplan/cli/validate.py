"""`llmplan validate`: the planner against measured runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmplan.answer.data import dumps
from llmplan.catalog.catalog import open_catalog
from llmplan.cli.help import HelpedCommand
from llmplan.cli.plan_options import CatalogFolders
from llmplan.errors import Fault, InputError

app = typer.Typer(add_completion=False)


@app.command(cls=HelpedCommand)
def validate(
    file: Annotated[
        Path, typer.Argument(help="CSV of measured runs, one a row (docs/measurements.md).", metavar="FILE")
    ],
    catalog: CatalogFolders = None,
    stack: Annotated[
        str, typer.Option("--stack", help="Plan all rows with this stack, not with the one that each names.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Every row and the summary, as JSON.")] = False,
    summary: Annotated[bool, typer.Option("--summary", help="One line a quantity, no more.")] = False,
) -> None:
    """Predict every run of a CSV and say how far off the predictions are.

    llmplan validate docs/examples/runs.csv

    llmplan validate docs/examples/runs.csv --summary

    llmplan validate docs/examples/runs.csv --stack generic --json
    """
    from llmplan.answer.rows import read_rows, unread_columns
    from llmplan.answer.validate import IMPOSSIBLE, validation
    from llmplan.answer.validate import validate as predict

    rows = read_rows(file)
    if unread := unread_columns(rows):
        typer.echo(f"warning: {file}:1: columns that nothing reads: {', '.join(unread)}", err=True)
    opened = open_catalog(catalog or ())
    if stack:
        opened.stack(stack)  # its faults are told once, not for every row
    results = predict(rows, opened, stack)
    for result in results:
        for remark in result.remarks:
            if remark.startswith(IMPOSSIBLE):
                typer.echo(f"warning: {file}:{result.row.line}: {result.row.id}: {remark}", err=True)
    found = validation(results)
    if as_json:
        typer.echo(dumps(found))
    else:
        from rich.console import Console

        from llmplan.report.validation import print_summary, print_validation

        (print_summary if summary else print_validation)(Console(), found)
    if found.summary.skipped == found.summary.rows:
        raise InputError(Fault("none of its rows can be planned; what is printed says why of each", str(file)))
