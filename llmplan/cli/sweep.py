"""`llmplan sweep`: one plan under every combination of some of its words."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from llmplan.answer.data import dumps
from llmplan.catalog.catalog import open_catalog
from llmplan.cli.plan_input import read_requests
from llmplan.cli.plan_options import CatalogFolders, PlanCommand, PlanFile, plan_options
from llmplan.errors import Fault, InputError
from llmplan.search.sweep import Axis, axis, sweep

MOST_ROWS = 10_000  # of a table, which is as wide as its widest cell and so has to be held

app = typer.Typer(add_completion=False)


def _sweep(
    given: Mapping[str, Any],
    *,
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            metavar="WORD=VALUES",
            help="Values (tp=1,2,4), a range that doubles (devices=8..4096) or goes in steps (seq_len=1k..8k+1k); "
            "may be given more than once: all combinations.",
        ),
    ],
    plan: PlanFile = None,
    catalog: CatalogFolders = None,
    output: Annotated[
        Literal["table", "jsonl", "csv", "svg"],
        typer.Option("--format", help="For people, for programs row by row, or a picture (the extra `plot`)."),
    ] = "table",
    pair: Annotated[
        str | None,
        typer.Option(
            "--pair",
            metavar="X,Y",
            help="Columns of the picture: a word or a figure over a figure (devices,tokens_per_second).",
        ),
    ] = None,
) -> None:
    """Estimate one plan under every combination of some of its words.

    llmplan sweep --model llama-3.1-70b --vary devices=64..512 --vary hardware=h100,h200

    llmplan sweep --plan docs/examples/plan.yaml --vary seq_len=4096..32768 --format csv

    llmplan sweep --model llama-3.1-8b --hardware h100 --workload serve --vary batch=1..64

    llmplan sweep --plan docs/examples/plan.yaml --vary devices=64..512 --format svg --pair devices,step_seconds
    """
    from llmplan.report.sweep import csv_head, csv_line, table_lines

    axes = [axis(text) for text in vary]
    names = [one.name for one in axes]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"--vary: {twice} is given twice; say all of its values at once")
    if (pair is not None) != (output == "svg"):
        raise InputError("--pair and --format svg go together: which columns are drawn?")
    columns = None if pair is None else _pair(pair, axes)
    requests, _ = read_requests(plan, given)
    if len(requests) > 1:
        raise InputError(Fault(f"holds {len(requests)} plans; sweep takes one", plan))
    rows, answered = sweep(requests[0], axes, open_catalog(catalog or ())), 0
    if output in ("table", "svg"):
        held = [row for row, _ in zip(rows, range(MOST_ROWS + 1), strict=False)]
        if len(held) > MOST_ROWS:
            raise InputError(f"more than {MOST_ROWS} combinations are no {output}: --format csv or jsonl")
        answered = sum(row.summary is not None for row in held)
        if columns is None:
            typer.echo("\n".join(table_lines(held, axes)))
        elif answered:
            from llmplan.report.sweep_svg import sweep_svg

            typer.echo(sweep_svg(held, axes, columns), nl=False)
    else:
        if output == "csv":
            sys.stdout.write(csv_head(axes))
        for row in rows:
            sys.stdout.write(csv_line(row) if output == "csv" else f"{dumps(row, indent=None)}\n")
            answered += row.summary is not None
    if not answered:
        raise InputError("no combination can be planned; what is printed says why of each")


def _pair(text: str, axes: list[Axis]) -> tuple[str, str]:
    from llmplan.report.sweep_svg import pair_of

    return pair_of(text, axes)


app.command("sweep", cls=PlanCommand)(plan_options(_sweep))
