"""`llmplan list`: which models of the catalogue run on a machine, at which precision, how fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llmplan.catalog.catalog import open_catalog
from llmplan.cli.folders import CatalogFolders
from llmplan.cli.gate import THE_ANSWER_IS_NO, Check
from llmplan.cli.output import AsJson, Columns, Format, columns_of, width, write
from llmplan.cli.plan_options import PlanCommand, plan_options
from llmplan.cli.progress import progress
from llmplan.records import replace
from llmplan.setup.request import request

if TYPE_CHECKING:
    from llmplan.report.sheet import Sheet

app = typer.Typer(add_completion=False)


def _list(
    given: Mapping[str, Any],
    *,
    catalog: CatalogFolders = None,
    sort: Annotated[Literal["size", "speed", "context", "name"], typer.Option(help="Order of the models.")] = "size",
    every: Annotated[
        bool, typer.Option("--every-precision", help="Every precision that fits, not only the widest.")
    ] = False,
    as_json: AsJson = False,
    output: Format = "table",
    columns: Columns = None,
    check: Check = False,
) -> None:
    """List the models of the catalogue that run on a machine: widest precision that fits, speed, context.

    llmplan list --hardware rtx-4090 --workload serve --sort speed

    llmplan list --hardware h100 --workload lora --seq-len 4096

    llmplan list --hardware rtx-3090 --devices 2 --workload serve --format csv
    """
    from llmplan.report import model_list as report
    from llmplan.search.model_list import list_models

    form = "json" if as_json else output
    chosen = columns_of(columns, form)
    options = dict(given)
    options.setdefault("workload", "serve")
    wanted = request(options)
    if wanted.options.workload == "serve":
        given_load = {"batch", "load", "request_rate"} & wanted.options.stated().keys()
        wanted = wanted if given_load else wanted.changed(batch=1)
    with progress("planning models"):
        found = list_models(wanted, open_catalog(catalog or ()), sort, every=every)
    write(
        found, found.models, lambda: report.sheet(found), form, chosen, picture=lambda: report.picture(found),
        table=_print,
    )  # fmt: skip
    if not found.models or (check and not any(one.does for one in found.models)):
        if found.models:
            typer.echo("no model that fits keeps the limits", err=True)
        raise typer.Exit(THE_ANSWER_IS_NO)


def _print(sheet: Sheet) -> None:
    """The table, with the names of the models as its first column."""
    from llmplan.report.formats import table

    typer.echo("\n".join(table(replace(sheet, first="model"), None, width())))


app.command("list", cls=PlanCommand)(plan_options(_list, without=("model", "download")))
