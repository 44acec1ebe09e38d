"""`llmplan estimate`: memory, verdict, step time and throughput of a plan, or of each of many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llmplan.answer.answer import answer_plan
from llmplan.answer.resolve import resolve_all
from llmplan.catalog.catalog import open_catalog
from llmplan.cli.plan_input import read_requests
from llmplan.cli.plan_options import CatalogFolders, PlanFile, plan_options

if TYPE_CHECKING:
    from llmplan.answer.answer import Estimate
    from llmplan.catalog.catalog import Catalog
    from llmplan.setup.request import Request
    from llmplan.training.estimate import TrainingEstimate

THE_ANSWER_IS_NO = 3

app = typer.Typer(add_completion=False)


def _estimate(
    given: Mapping[str, Any],
    *,
    plan: PlanFile = None,
    catalog: CatalogFolders = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: Annotated[
        Literal["table", "json", "jsonl", "svg"],
        typer.Option("--format", help="For people, for programs, or as a picture (training)."),
    ] = "table",
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Exit with 3 where the plan does not fit or misses one of its limits, and say so on stderr."
        ),
    ] = False,
) -> None:
    """Estimate a training run or a deployment: does it fit, how fast is it, what holds it back.

    llmplan estimate --model llama-3.1-8b --hardware h100 --devices 8 --workload pretrain
    """
    opened = open_catalog(catalog or ())
    wanted, many = read_requests(plan, given)
    answers = [answer_plan(one, opened) for one in resolve_all(wanted, opened)]
    _write(answers, "json" if as_json else output, many=many)
    if check and not _passes(wanted, answers, opened):
        raise typer.Exit(THE_ANSWER_IS_NO)


def _write(answers: list[Estimate], output: str, *, many: bool) -> None:
    if output == "table":
        from llmplan.report.table import print_estimates

        print_estimates(answers)
        return
    if output == "svg":
        from llmplan.report.svg import estimates_svg

        typer.echo(estimates_svg(answers), nl=False)
        return
    from llmplan.report.json import dumps, envelope, estimate_json

    results = [estimate_json(answer) for answer in answers]
    if output == "jsonl":
        for result in results:
            typer.echo(dumps(result, indent=None))
    else:
        typer.echo(dumps(envelope(results) if many else results[0]))


def _passes(wanted: list[Request], answers: list[Estimate], catalog: Catalog) -> bool:
    """Whether every plan fits and keeps its limits; on stderr, what does not and what would."""
    from llmplan.answer.limits import limits_kept
    from llmplan.report.limits import missed_lines
    from llmplan.report.serving import serving_no
    from llmplan.training.estimate import TrainingEstimate

    passes = all(answer.fits for answer in answers)
    for number, (one, answer) in enumerate(zip(wanted, answers, strict=True), 1):
        prefix = f"plan {number}: " if len(answers) > 1 else ""
        if not isinstance(answer, TrainingEstimate):
            passes = passes and answer.answers
            for line in serving_no(answer):
                typer.echo(prefix + line, err=True)
        elif not answer.fits:
            _say_what_would_fit(one, answer, prefix, catalog)
        found = limits_kept(answer)
        passes = passes and all(limit.kept for limit in found)
        for line in missed_lines(found, answer.plan.kind):
            typer.echo(prefix + line, err=True)
    return passes


def _say_what_would_fit(one: Request, answer: TrainingEstimate, prefix: str, catalog: Catalog) -> None:
    """On stderr: by how much the plan misses, and the smallest changes that make it fit."""
    from llmplan.answer.advice import what_would_fit
    from llmplan.report.verdict import advice_lines, verdict_line

    typer.echo(prefix + verdict_line(answer), err=True)
    for line in advice_lines(what_would_fit(one, answer.plan, catalog)):
        typer.echo(line, err=True)


app.command("estimate")(plan_options(_estimate))
