"""`llmplan validate`: the planner against measured runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmplan.catalog.catalog import open_catalog
from llmplan.cli.plan_options import CatalogFolders
from llmplan.errors import Fault, InputError

app = typer.Typer(add_completion=False)


@app.command()
def validate(
    file: Annotated[
        Path, typer.Argument(help="CSV of measured runs, one a row (docs/measurements.md).", metavar="FILE")
    ],
    catalog: CatalogFolders = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every row and the summary, as JSON.")] = False,
    summary: Annotated[bool, typer.Option("--summary", help="One line a quantity, no more.")] = False,
) -> None:
    """Predict every run of a CSV and say how far off the predictions are.

    llmplan validate hardware_catalog/measurements/training.csv
    """
    from llmplan.answer.rows import read_rows, unread_columns
    from llmplan.answer.validate import validate as predict

    rows = read_rows(file)
    if unread := unread_columns(rows):
        typer.echo(f"warning: {file}:1: columns that nothing reads: {', '.join(unread)}", err=True)
    results = predict(rows, open_catalog(catalog or ()))
    if as_json:
        from llmplan.report.json import dumps
        from llmplan.report.validation import validation_json

        typer.echo(dumps(validation_json(results)))
    else:
        from rich.console import Console

        from llmplan.report.validation import print_summary, print_validation

        (print_summary if summary else print_validation)(Console(), results)
    if all(result.skipped is not None for result in results):
        raise InputError(Fault("none of its rows can be planned; what is printed says why of each", str(file)))
