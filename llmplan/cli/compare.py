"""`llmplan compare`: alternatives side by side, each as `estimate` gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from llmplan.answer.data import streamed
from llmplan.catalog.catalog import open_catalog
from llmplan.cli.folders import CatalogFolders
from llmplan.cli.gate import Check, Checked, place
from llmplan.cli.output import AsJson, Columns, Format, columns_of, write
from llmplan.cli.plan_input import plan_documents
from llmplan.cli.plan_options import PlanCommand, plan_options
from llmplan.cli.progress import counted, progress
from llmplan.errors import Fault, InputError
from llmplan.search.choices import COMPARED

LISTS = dict.fromkeys(COMPARED, "One value, or several to compare, separated by commas.")
OF_FIT = {"time": "latency", "memory-headroom": "memory"}
"""Objectives of `fit` that are measures under another name here."""
STREAMED = ("json", "jsonl", "csv")
"""Formats that are written while the answers are worked out."""

app = typer.Typer(add_completion=False)

Plans = Annotated[
    list[str] | None,
    typer.Option("--plan", metavar="FILE", help="Plan file; may be given more than once. Options override it."),
]


def _compare(
    given: Mapping[str, Any],
    *,
    plan: Plans = None,
    catalog: CatalogFolders = None,
    fit: Annotated[bool, typer.Option("--fit", help="Use the best layout of each instead of the given one.")] = False,
    by: Annotated[
        Literal[
            "throughput",
            "step",
            "mfu",
            "ttft",
            "tpot",
            "latency",
            "memory",
            "devices",
            "days",
            "cost",
            "energy",
            "carbon",
            "time",
            "memory-headroom",
        ]
        | None,
        typer.Option("--by", "--objective", help="Rank by this; default: the given order. Accepts fit's names too."),
    ] = None,
    as_json: AsJson = False,
    output: Format = "table",
    columns: Columns = None,
    check: Check = False,
) -> None:
    """Compare hardware, models, precisions, sizes, stacks or whole plans, each as `estimate` gives it.

    llmplan compare --model llama-3.1-70b --hardware a100,h100,h200 --devices 64 --tokens 2e12 --fit --by cost

    llmplan compare --plan docs/examples/a.yaml --plan docs/examples/b.yaml

    llmplan compare --plan docs/examples/plan.yaml --hardware h100,h200 --check --format markdown
    """
    from llmplan.report import compare as report
    from llmplan.report.pictures import results_svg
    from llmplan.search.alternatives import EveryAlternative
    from llmplan.search.comparison import HELD, Compared, Comparison, NotPlanned, compare

    opened, form = open_catalog(catalog or ()), "json" if as_json else output
    chosen = columns_of(columns, form)
    wanted = EveryAlternative([(path, plan_documents(path)) for path in plan or []] or [(None, None)], given, opened)
    if len(wanted) > HELD and form not in STREAMED:
        raise InputError(f"more than {HELD} alternatives are held by no {form}: --format {', '.join(STREAMED)}")
    ranked_by = None if by is None else OF_FIT.get(by, by)
    with progress("alternatives", len(wanted)) as shown:
        found = compare(wanted, opened, fit=fit, by=ranked_by, watched=lambda some: counted(some, shown))
    if found.first is None:
        failed = (one for one in found if isinstance(one, NotPlanned))
        raise InputError([Fault(f"{one.name}: {problem}") for one in failed for problem in one.problems])
    results = Checked(found)
    if form == "json":
        for text in streamed(Comparison(by=ranked_by, results=()), results):
            typer.echo(text, nl=False)
    else:
        write(
            found, results,
            lambda: report.sheet(
                Comparison(by=ranked_by, results=tuple(results)), {one.name: place(one.request) for one in wanted}
            ),
            form, chosen, table=report.print_compare,
            picture=lambda: results_svg([(one.name, one.result) for one in results if isinstance(one, Compared)]),
        )  # fmt: skip
    if check:
        results.check()


app.command("compare", cls=PlanCommand)(plan_options(_compare, lists=LISTS))
