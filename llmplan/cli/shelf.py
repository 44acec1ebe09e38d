"""`llmplan list`: which models of the catalogue run on a machine, at which precision, how fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from llmplan.answer.data import dumps
from llmplan.catalog.catalog import open_catalog
from llmplan.cli.plan_options import CatalogFolders, PlanCommand, plan_options
from llmplan.setup.request import request

THE_ANSWER_IS_NO = 3
app = typer.Typer(add_completion=False)


def _list(
    given: Mapping[str, Any],
    *,
    catalog: CatalogFolders = None,
    sort: Annotated[Literal["size", "speed", "name"], typer.Option(help="Order of the models.")] = "size",
    every: Annotated[
        bool, typer.Option("--every-precision", help="Every precision that fits, not only the widest.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: Annotated[
        Literal["table", "json", "jsonl", "csv"], typer.Option("--format", help="For people, or for programs.")
    ] = "table",
) -> None:
    """List the models of the catalogue that run on a machine: widest precision that fits, speed, context.

    llmplan list --hardware rtx-4090 --workload serve --sort speed

    llmplan list --hardware h100 --workload lora --seq-len 4096

    llmplan list --hardware rtx-3090 --devices 2 --workload serve --format csv
    """
    from llmplan.report import shelf as report
    from llmplan.search.shelf import list_models

    said = dict(given)
    said.setdefault("workload", "serve")
    wanted = request(said)
    if wanted.options.workload == "serve":
        given_load = {"batch", "load", "request_rate"} & wanted.options.said().keys()
        wanted = wanted if given_load else wanted.changed(batch=1)
    found = list_models(wanted, open_catalog(catalog or ()), sort, every=every)
    form = "json" if as_json else output
    if form == "table":
        typer.echo("\n".join(report.shelf_lines(found)))
    elif form == "csv":
        typer.echo(report.shelf_csv(found), nl=False)
    elif form == "json":
        typer.echo(dumps(found))
    else:
        for one in found.models:
            typer.echo(dumps(one, indent=None))
    if not found.models:
        raise typer.Exit(THE_ANSWER_IS_NO)


app.command("list", cls=PlanCommand)(plan_options(_list, without=("model", "download", "limits")))
