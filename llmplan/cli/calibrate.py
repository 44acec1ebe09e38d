"""`llmplan calibrate`: a user's own runs become a stack entry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from llmplan.catalog.catalog import open_catalog, user_folder
from llmplan.cli.folders import CatalogTarget
from llmplan.cli.help import HelpedCommand

app = typer.Typer(add_completion=False)


@app.command(cls=HelpedCommand)
def calibrate(
    file: Annotated[Path, typer.Argument(help="CSV of your runs, one a row (docs/measurements.md).", metavar="RUNS")],
    stack: Annotated[str, typer.Option("--stack", help="Name of the new entry.", metavar="NAME")],
    parent: Annotated[
        str | None,
        typer.Option(
            "--parent", help="Stack to start from; default: the one that most rows name, else generic.", metavar="ID"
        ),
    ] = None,
    catalog: CatalogTarget = None,
) -> None:
    """Fit your own runs as a stack entry, drawn to the stack that they ran.

    llmplan calibrate docs/examples/my-runs.csv --stack my-cluster

    llmplan calibrate docs/examples/my-runs.csv --stack my-cluster --parent megatron-core

    llmplan calibrate docs/examples/my-runs.csv --stack my-cluster --catalog my-catalog
    """
    from llmplan.calibration.own import calibrate as fit_runs

    folder = catalog or user_folder()
    opened = open_catalog([folder] if os.path.isdir(folder) else [])
    typer.echo(fit_runs(file, stack, parent, opened, folder).to_text())
