"""`llmplan fit`: the best layouts out of all of them, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llmplan.catalog.catalog import open_catalog
from llmplan.cli.fit_output import say_why, start_best, write_found, write_plan_file
from llmplan.cli.folders import CatalogFolders
from llmplan.cli.gate import THE_ANSWER_IS_NO, Check
from llmplan.cli.output import OUTPUT, AsJson, Columns, Format, columns_of
from llmplan.cli.plan_input import plan_documents
from llmplan.cli.plan_options import PlanCommand, PlanFile, plan_options
from llmplan.cli.progress import progress
from llmplan.documents import Document
from llmplan.errors import Fault, InputError
from llmplan.schema import check
from llmplan.search.choices import is_open
from llmplan.setup.limits import Limits
from llmplan.si import DAY, HOUR

if TYPE_CHECKING:
    pass

SEARCH, LIMITS = "Search", "Limits"
MOST_SHOWN = 1000
OF_COMPARE = {"step": "time", "memory": "memory-headroom"}
"""Measures of `compare` that are objectives under another name here."""
# Options that take a value, a list or a range here, and what is tried without them.
LISTS = {
    "hardware": "Device: one, or several to choose from (h100,h200,b200).",
    "stack": "Software stack: one, or several to choose from (vllm,sglang); default: generic.",
    "devices": "Number of devices: 64, or 64,128, or 64..1024.",
    "tp": "Tensor parallelism: 8, or 4,8, or 1..8; default: all that divide devices and heads.",
    "pp": "Pipeline stages; default: all that divide the devices, up to the layers.",
    "vp": "Virtual stages on each device; default: all that divide a stage's layers.",
    "cp": "Context parallelism; default: all that leave a device 512 tokens of a sequence; serving: 1, 2, 4, 8 for "
    "prompts of 8192 tokens or more, where the engine shares them.",
    "dcp": "Devices that share the tokens of a cache; default: 1, 2, 4, 8 for prompts of 8192 tokens or more.",
    "prefill_cp": "Context parallelism of the prefill pool; default: as --cp.",
    "ep": "Expert parallelism; default: all that divide the experts.",
    "dp": "Data parallelism; default: what the other degrees leave.",
    "zero": "ZeRO stage; default: 0 to 3.",
    "micro_batch": "Sequences in a micro-batch; default: all that divide the batch, up to 512.",
    "recompute": "none, selective, full, or several; default: all, with full in as few layers as memory allows.",
    "recompute_layers": "Layers of each virtual stage that full recomputes: 2, or 1,2,4, or 1..8.",
    "precision": "Precision of matrix products; several are compared. Default: the stack's.",
    "batch": "Concurrent requests, over all devices; default: powers of two, and the most that keep the limits.",
    "weight_precision": "Precision of the weights; several are compared. Default: as released.",
    "activation_precision": "Precision of inputs of matrix products; several are compared. Default: as the weights.",
    "prefill_devices": "Devices that only prefill (disaggregated serving). Default: none; see --try-split.",
    "prefill_tp": "Tensor parallelism of the prefill pool; default: all that divide the heads.",
    "prefill_ep": "Expert parallelism of the prefill pool; default: all that divide the experts.",
    "prefill_dp": "Data parallelism of the prefill pool; default: 1 to 8, then powers of two and 1.5 times them.",
    "kv_precision": "Precision of the key-value cache; several are compared. Default: as released.",
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
        Literal["throughput", "time", "cost", "devices", "latency", "memory-headroom", "step", "memory"] | None,
        typer.Option(
            "--objective",
            "--by",
            help="What to optimise; default: throughput, or devices with --max-devices. Accepts compare's names too.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    pareto: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Also show the Pareto front of two objectives.", rich_help_panel=SEARCH),
    ] = None,
    maximize: Annotated[
        Literal["micro-batch", "seq-len", "batch", "concurrency", "context"] | None,
        typer.Option(
            help="Instead of searching layouts: find the largest value that fits the given layout.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    minimize: Annotated[
        Literal["memory-fraction", "devices"] | None,
        typer.Option(
            help="Instead: find the smallest value that works; devices: over all layouts.", rich_help_panel=SEARCH
        ),
    ] = None,
    try_split: Annotated[
        bool,
        typer.Option("--try-split", help="Also try disaggregated prefill.", rich_help_panel=SEARCH),
    ] = False,
    try_offload: Annotated[
        bool, typer.Option("--try-offload", help="Also try optimizer states in host memory.", rich_help_panel=SEARCH)
    ] = False,
    max_cost: Annotated[str | None, _limit("Maximum cost of the whole run.", "USD")] = None,
    max_days: Annotated[str | None, _limit("Maximum days of the whole run, interruptions included.", "DAYS")] = None,
    max_hours: Annotated[float | None, _limit("Maximum hours of the whole run.", "HOURS")] = None,
    max_step: Annotated[str | None, _limit("Maximum time of an optimizer step.", "SECONDS")] = None,
    max_memory: Annotated[str | None, _limit("Maximum memory of the fullest device (72 GiB).", "BYTES")] = None,
    min_mfu: Annotated[str | None, _limit("Minimum model FLOPs utilisation (0.4).")] = None,
    min_tokens_per_second: Annotated[str | None, _limit("Minimum training throughput, over all devices.")] = None,
    min_output_tokens_per_second: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="NUMBER",
            help="Minimum output tokens per second, over all devices.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    max_cost_per_million: Annotated[
        str | None, _limit("Maximum cost of a million output tokens, prompts included.", "USD")
    ] = None,
    surely: Annotated[
        bool,
        typer.Option("--surely", help="Require that the whole error band of the memory fits.", rich_help_panel=LIMITS),
    ] = False,
    top: Annotated[
        int, typer.Option(min=1, max=MOST_SHOWN, help="How many layouts to show.", rich_help_panel=OUTPUT)
    ] = 5,
    as_json: AsJson = False,
    output: Format = "table",
    columns: Columns = None,
    write_plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the best layout as a plan file.", rich_help_panel=OUTPUT),
    ] = None,
    check_limits: Check = False,
    launch: Annotated[
        str | None,
        typer.Option(
            metavar="FRAMEWORK",
            help="Also print how to launch the best layout, as `llmplan launch` does.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
) -> None:
    """Find the best layout: every legal tp x pp x vp x cp x ep x dp with sharding, micro-batch and recomputation.

    llmplan fit --model llama-3.1-70b --hardware h100 --devices 64 --workload pretrain --seq-len 8192 --global-batch 512

    llmplan fit --model llama-3.3-70b --hardware h100,h200 --max-devices 16 --workload serve --by cost

    llmplan fit --plan docs/examples/plan.yaml --devices 64 --tp 1..8 --launch megatron
    """
    from llmplan.search.api import answered
    from llmplan.search.ask import Ask, Wishes
    from llmplan.search.written import one_request

    opened, form = open_catalog(catalog or ()), "json" if as_json else output
    chosen = columns_of(columns, form)
    limits = _limits({
        "max_cost": max_cost, "max_days": _days(max_days, max_hours), "max_step": max_step, "max_memory": max_memory,
        "min_mfu": min_mfu, "min_tokens_per_second": min_tokens_per_second,
        "max_cost_per_million": max_cost_per_million,
    })  # fmt: skip
    opens = {name: value for name, value in given.items() if is_open(name, value)}
    fixed = {name: value for name, value in given.items() if name not in opens}
    wanted, listed = one_request(None if plan is None else plan_documents(plan), fixed)
    if maximize is not None and minimize is not None:
        raise InputError("give one of --maximize and --minimize")
    best = None if objective is None else OF_COMPARE.get(objective, objective)
    wishes = Wishes(best, limits, surely, max_devices, top, _two(pareto), try_offload, try_split)
    if launch is not None:
        from llmplan.launch.target import target
        from llmplan.launch.write import meant_for

        if form != "table" or maximize:
            raise InputError("--launch goes with the table of layouts; --write-plan and `llmplan launch` with the rest")
        wanted = meant_for(target(launch), wanted, (*opens, *listed))
    ask = Ask(wanted, {**{name: value for name, value in listed.items() if name not in given}, **opens}, wishes)
    with progress("searching layouts"):
        found = answered(ask, opened, least_rate=min_output_tokens_per_second, maximize=maximize, minimize=minimize)
    write_found(found, form, chosen)
    if not found.results:
        say_why(found)
        raise typer.Exit(THE_ANSWER_IS_NO)
    if check_limits and not found.results[0].is_yes:
        from llmplan.report.limits import missed_lines

        for line in missed_lines(found.results[0]):
            typer.echo(line, err=True)
        raise typer.Exit(THE_ANSWER_IS_NO)
    if write_plan is not None:
        write_plan_file(write_plan, found.results[0].inputs)
    if launch is not None:
        start_best(found, launch, opened)


def _days(days: str | None, hours: float | None) -> str | float | None:
    if days is not None and hours is not None:
        raise InputError("--max-days and --max-hours say the same; give one")
    return days if hours is None else hours / (DAY / HOUR)


def _limits(given: dict[str, Any]) -> Limits:
    """The limits of the command line, checked."""
    limits = {name: value for name, value in given.items() if value is not None}
    try:
        return check(Document(limits, ""), Limits)
    except InputError as error:
        raise InputError([Fault(f"--{fault.message.replace('_', '-', fault.message.split(':')[0].count('_'))}")
                          for fault in error.faults]) from None  # fmt: skip


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


app = typer.Typer(add_completion=False)
app.command("fit", cls=PlanCommand)(plan_options(_fit, lists=LISTS))
