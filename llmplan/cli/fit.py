"""`llmplan fit`: the best layouts out of all of them, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llmplan.catalog.catalog import open_catalog
from llmplan.cli.plan_input import plan_documents
from llmplan.cli.plan_options import CatalogFolders, PlanFile, plan_options
from llmplan.errors import Fault, InputError
from llmplan.files import Document
from llmplan.schema import check
from llmplan.setup.limits import Limits
from llmplan.setup.request import request, requests

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog
    from llmplan.search.advice import Change
    from llmplan.search.request import Ask
    from llmplan.search.training import Found, Search
    from llmplan.setup.request import Request

THE_ANSWER_IS_NO = 3
SEARCH, LIMITS, OUTPUT = "Search", "Limits", "Output"
MOST_SHOWN = 1000
HOURS_A_DAY = 24.0
# Options that take a value, a list or a range here, and what is tried without them.
LISTS = {
    "devices": "Devices of the whole run: 64, or 64,128, or 64..1024.",
    "tp": "Tensor parallelism: 8, or 4,8, or 1..8; default: what divides devices and heads.",
    "pp": "Pipeline stages; default: what divides the devices, up to the layers.",
    "vp": "Virtual stages a device; default: what divides a stage's layers.",
    "cp": "Context parallelism; default: what leaves a device 512 tokens of a sequence.",
    "ep": "Expert parallelism; default: what divides the experts.",
    "dp": "Data parallelism; default: what the others leave.",
    "zero": "Sharding over dp; default: 0 to 3.",
    "micro_batch": "Sequences a micro-batch; default: what divides the batch, up to 512.",
    "recompute": "none, selective, full, or several; default: all.",
    "precision": "Of the matrix products; several are compared. Default: the stack's.",
    "batch": "Requests in flight, over all devices; default: powers of two.",
    "weight_precision": "Of the weights; several are compared. Default: as released.",
    "kv_precision": "Of the key-value cache; several are compared. Default: as released.",
}


def _limit(text: str, metavar: str = "NUMBER") -> Any:
    return typer.Option(help=text, metavar=metavar, rich_help_panel=LIMITS)


def _fit(
    given: Mapping[str, Any],
    *,
    plan: PlanFile = None,
    catalog: CatalogFolders = None,
    max_devices: Annotated[
        int | None,
        typer.Option(
            min=1, max=10**6, help="Find the smallest cluster up to this many devices.", rich_help_panel=SEARCH
        ),
    ] = None,
    objective: Annotated[
        Literal["throughput", "time", "cost", "devices", "latency", "memory-headroom"] | None,
        typer.Option(help="What is best; default throughput, or devices with --max-devices.", rich_help_panel=SEARCH),
    ] = None,
    pareto: Annotated[
        str | None, typer.Option(metavar="A,B", help="Also the Pareto front of two objectives.", rich_help_panel=SEARCH)
    ] = None,
    maximize: Annotated[
        Literal["micro-batch", "seq-len", "batch", "context"] | None,
        typer.Option(help="Instead: the most of it that fits, at the layout that is given.", rich_help_panel=SEARCH),
    ] = None,
    try_offload: Annotated[
        bool, typer.Option("--try-offload", help="Also with optimizer states in host memory.", rich_help_panel=SEARCH)
    ] = False,
    max_cost: Annotated[str | None, _limit("Of the whole run.", "USD")] = None,
    max_days: Annotated[str | None, _limit("Of the whole run, interruptions included.", "DAYS")] = None,
    max_hours: Annotated[float | None, _limit("The same in hours.", "HOURS")] = None,
    max_step: Annotated[str | None, _limit("Time of one optimizer step.", "SECONDS")] = None,
    max_memory: Annotated[str | None, _limit("Peak of the fullest device (72 GiB).", "BYTES")] = None,
    min_mfu: Annotated[str | None, _limit("Model FLOPs utilisation, such as 0.4.")] = None,
    min_tokens_per_second: Annotated[str | None, _limit("Trained by all devices.")] = None,
    min_output_tokens_per_second: Annotated[
        float | None, typer.Option(min=0.0, metavar="NUMBER", help="Served by all devices.", rich_help_panel=LIMITS)
    ] = None,
    max_cost_per_million: Annotated[str | None, _limit("Of a million output tokens, prompts included.", "USD")] = None,
    surely: Annotated[
        bool, typer.Option("--surely", help="The whole error band of the memory must fit.", rich_help_panel=LIMITS)
    ] = False,
    top: Annotated[
        int, typer.Option(min=1, max=MOST_SHOWN, help="How many layouts to show.", rich_help_panel=OUTPUT)
    ] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.", rich_help_panel=OUTPUT)] = False,
    output: Annotated[
        Literal["table", "json", "jsonl", "csv"],
        typer.Option("--format", help="For people, or for programs.", rich_help_panel=OUTPUT),
    ] = "table",
    write_plan: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the best as a plan file that `estimate` reads.", rich_help_panel=OUTPUT
        ),
    ] = None,
) -> None:
    """Find the best layout: every legal tp x pp x vp x cp x ep x dp with sharding, micro-batch and recomputation.

    llmplan fit --model llama-3.1-70b --hardware h100 --devices 64 --workload pretrain --seq-len 8192 --global-batch 512
    """
    from llmplan.search.request import Ask, Wishes

    opened = open_catalog(catalog or ())
    limits = _limits({
        "max_cost": max_cost, "max_days": _days(max_days, max_hours), "max_step": max_step, "max_memory": max_memory,
        "min_mfu": min_mfu, "min_tokens_per_second": min_tokens_per_second,
        "max_cost_per_million": max_cost_per_million,
    })  # fmt: skip
    wanted, listed = _one_request(plan, {name: value for name, value in given.items() if name not in LISTS})
    wishes = Wishes(objective, limits, surely, max_devices, top, _two(pareto), try_offload)
    ask = Ask(wanted, {**listed, **{name: value for name, value in given.items() if name in LISTS}}, wishes)
    form = "json" if as_json else output
    if maximize is not None:
        _maximize(ask, maximize, opened, form, write_plan)
    elif wanted.options.workload == "serve":
        _serve(ask, opened, form, write_plan, min_output_tokens_per_second)
    elif min_output_tokens_per_second is not None:
        raise InputError("--min-output-tokens-per-second goes with workload serve")
    else:
        _search(ask, opened, form, write_plan)


def _days(days: str | None, hours: float | None) -> str | float | None:
    if days is not None and hours is not None:
        raise InputError("--max-days and --max-hours say the same; give one")
    return days if hours is None else hours / HOURS_A_DAY


def _limits(given: dict[str, Any]) -> Limits:
    """The limits of the command line, checked."""
    said = {name: value for name, value in given.items() if value is not None}
    try:
        return check(Document(said, ""), Limits)
    except InputError as error:
        raise InputError([Fault(f"--{fault.message.replace('_', '-', fault.message.split(':')[0].count('_'))}")
                          for fault in error.faults]) from None  # fmt: skip


def _one_request(plan: str | None, given: Mapping[str, Any]) -> tuple[Request, dict[str, Any]]:
    """The request, and the lists and ranges of a plan file, which no single plan can hold."""
    if plan is None:
        return request(given), {}
    documents = plan_documents(plan)
    if len(documents) > 1 or not isinstance(documents[0].data, dict):
        found = requests(documents, given)
        if len(found) > 1:
            raise InputError(Fault(f"holds {len(found)} plans; fit searches for one", plan))
        return found[0], {}
    document = documents[0]
    listed = {name: value for name, value in document.data.items() if name in LISTS and isinstance(value, (str, list))}
    rest = {name: value for name, value in document.data.items() if name not in listed}
    (found_one,) = requests([replace(document, data=rest)], given)
    return found_one, {name: _listed(document, name, value) for name, value in listed.items()}


def _listed(document: Document, name: str, value: Any) -> str:
    """`[4, 8]`, `4,8` or `1..8` of a plan file as the command line says it."""
    from llmplan.search.choices import choice

    text = ",".join(map(str, value)) if isinstance(value, list) else value
    try:
        choice(name, text)
    except InputError as error:
        raise InputError([Fault(fault.message.removeprefix("--"), document.file, document.line((name,)))
                          for fault in error.faults]) from None  # fmt: skip
    return text


def _two(text: str | None) -> tuple[str, str] | None:
    """`throughput,devices` as two objectives."""
    from llmplan.search.goal import OBJECTIVES

    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    wrong = [name for name in names if name not in OBJECTIVES]
    if wrong or len(names) != 2 or names[0] == names[1]:
        raise InputError(f"--pareto: expected two of {', '.join(OBJECTIVES)}, got {text[:60]!r}")
    return names[0], names[1]


def _search(ask: Ask, catalog: Catalog, form: str, write_plan: Path | None) -> None:
    from llmplan.search.advice import what_would_do
    from llmplan.search.request import question
    from llmplan.search.training import search

    asked, told = question(ask, catalog)
    found = search(asked)
    changes = [] if found.best else what_would_do(ask, asked, catalog)
    _write(ask, asked, found, told, changes, form)
    if not found.best:
        from llmplan.report.search import nothing_lines

        for line in nothing_lines(asked, found, changes):
            typer.echo(line, err=True)
        raise typer.Exit(THE_ANSWER_IS_NO)
    if write_plan is not None:
        _write_plan(write_plan, found.best[0].plan)


def _serve(ask: Ask, catalog: Catalog, form: str, write_plan: Path | None, least_rate: float | None) -> None:
    from llmplan.report import search_serving as report
    from llmplan.report.json import dumps
    from llmplan.search.advice import what_would_serve
    from llmplan.search.serving import search_serving
    from llmplan.search.serving_request import serving_question

    asked, told = serving_question(ask, catalog, least_rate)
    found = search_serving(asked)
    changes = [] if found.best else what_would_serve(ask, asked, catalog)
    if form == "json":
        typer.echo(dumps(report.deployments_json(ask, asked, found, told, changes)))
    elif form == "csv":
        typer.echo(report.deployments_csv(asked, found), nl=False)
    elif form == "jsonl":
        for one in report.deployment_results(asked, found):
            typer.echo(dumps(one, indent=None))
    elif found.best:
        report.print_deployments(asked, found, told)
    if not found.best:
        for line in report.nothing_served(asked, found, changes):
            typer.echo(line, err=True)
        raise typer.Exit(THE_ANSWER_IS_NO)
    if write_plan is not None:
        _write_plan(write_plan, found.best[0].plan)


def _maximize(ask: Ask, what: str, catalog: Catalog, form: str, write_plan: Path | None) -> None:
    from llmplan.report.search import most_line
    from llmplan.search.most import most

    found = most(ask, what, catalog)
    if form == "table":
        if found.value is not None:
            from llmplan.report.table import print_estimates

            typer.echo(most_line(found) + "\n")
            print_estimates([found.estimate])
    elif form == "csv":
        raise InputError("--maximize has one answer: --format table, json or jsonl")
    else:
        from llmplan.report.json import dumps
        from llmplan.report.search_json import most_json

        typer.echo(dumps(most_json(ask, what, found), indent=None if form == "jsonl" else 2))
    if found.value is None:
        typer.echo(most_line(found), err=True)
        raise typer.Exit(THE_ANSWER_IS_NO)
    if write_plan is not None:
        _write_plan(write_plan, found.estimate.plan)


def _write(ask: Ask, asked: Search, found: Found, told: tuple[str, ...], changes: list[Change], form: str) -> None:
    """The answer on stdout; a table of nothing is not written, the reasons go to stderr."""
    if form == "table":
        if found.best:
            from llmplan.report.search import print_found

            print_found(asked, found, told)
        return
    from llmplan.report.json import dumps
    from llmplan.report.search_json import csv_text, fit_json, results

    if form == "json":
        typer.echo(dumps(fit_json(ask, asked, found, told, changes)))
    elif form == "csv":
        typer.echo(csv_text(asked, found), nl=False)
    else:
        for one in results(asked, found):
            typer.echo(dumps(one, indent=None))


def _write_plan(path: Path, plan: Any) -> None:
    from llmplan.files import to_yaml, write_text

    said = plan.words()
    model = said["model"]
    if isinstance(model, str) and Path(model).exists():
        said["model"] = str(Path(model).resolve())  # the plan file may be read from another folder
    write_text(path, to_yaml(said))
    typer.echo(f"wrote {path}", err=True)


app = typer.Typer(add_completion=False)
app.command("fit")(plan_options(_fit, lists=LISTS))
