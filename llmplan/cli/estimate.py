"""`llmplan estimate`: memory, verdict, step time and throughput of a plan, or of each of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmplan.answer.answer import Answer, Answers, answer, estimated
from llmplan.answer.data import dumps
from llmplan.answer.resolve import resolve_all
from llmplan.answer.training import TrainingResult
from llmplan.catalog.catalog import open_catalog
from llmplan.cli.folders import CatalogFolders
from llmplan.cli.gate import THE_ANSWER_IS_NO, Check, place
from llmplan.cli.output import AsJson, Columns, Format, columns_of, write
from llmplan.cli.plan_input import From, Given, documents_of, name_of, open_plan, read_requests
from llmplan.cli.plan_options import PlanCommand, PlanFile, plan_options
from llmplan.errors import Fault, InputError
from llmplan.files import read_bytes
from llmplan.records import replace

if TYPE_CHECKING:
    from llmplan.answer.resolve import AnyPlan
    from llmplan.catalog.catalog import Catalog
    from llmplan.documents import Document
    from llmplan.report.sheet import Sheet
    from llmplan.setup.request import Request

MANY = "Many plans"
MOST_WORKERS = 256

app = typer.Typer(add_completion=False)


def _estimate(
    given: Mapping[str, Any],
    *,
    words: Given = None,
    source: From = None,
    plan: PlanFile = None,
    catalog: CatalogFolders = None,
    as_json: AsJson = False,
    output: Format = "table",
    columns: Columns = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Write only the main figures, one JSON line a plan.", rich_help_panel=MANY)
    ] = False,
    workers: Annotated[
        int,
        typer.Option(min=1, max=MOST_WORKERS, help="Number of processes that answer JSON lines.", rich_help_panel=MANY),
    ] = 1,
    check: Check = False,
) -> None:
    """Estimate a training run or a deployment: does it fit, how fast is it, what holds it back.

    llmplan estimate --model llama-3.1-8b --hardware h100 --devices 8 --workload pretrain

    llmplan estimate --plan docs/examples/plan.yaml --check

    llmplan estimate --from vllm --hardware h100 -- vllm serve meta-llama/Llama-3.3-70B-Instruct -tp 4
    """
    form, documents = "json" if as_json else output, None
    chosen = columns_of(columns, form)
    if form != "jsonl" and (summary or workers > 1):
        raise InputError("--summary and --workers go with --format jsonl")
    if form == "jsonl" and plan is not None and source is None and not words:
        found = _lines(plan, given, catalog or (), summary=summary, workers=workers)
        if isinstance(found, bool):
            raise typer.Exit(THE_ANSWER_IS_NO if check and not found else 0)
        documents = found
    opened = open_catalog(catalog or ())
    wanted, many = read_requests(plan, given, source, words, documents)
    plans = resolve_all(wanted, opened)
    if summary:
        passes = _write_summaries(plans, opened)
    else:
        answers = [answer(one, opened) for one in plans]
        _write(answers, form, chosen, wanted, many=many)
        passes = not check or _passes(wanted, answers, opened)
    if check and not passes:
        raise typer.Exit(THE_ANSWER_IS_NO)


def _lines(
    plan: str, given: Mapping[str, Any], folders: Sequence[Path], *, summary: bool, workers: int
) -> bool | list[Document]:
    """Answers the lines of JSON lines as they come; whether all answers are yes. Of other texts, the documents.

    Raises InputError where a line was refused.
    """
    from llmplan.cli import stream

    name = name_of(plan)
    with open_plan(plan) as source:
        head = stream.at_hand(source)
        if not stream.is_json_lines(head, name):
            return documents_of(head + read_bytes(source, name), name)
        ask = stream.StreamAsk(name, given, tuple(folders), summary)
        refused, negative = stream.stream(source, head, ask, workers)
    if refused:
        raise InputError(Fault(f"lines that hold no plan to be answered: {refused}", name))
    return negative == 0


def _write_summaries(plans: list[AnyPlan], catalog: Catalog) -> bool:
    """Writes a line a plan; whether all answers are yes."""
    from llmplan.answer.summary import summary_of

    short = [summary_of(estimated(one), catalog) for one in plans]
    typer.echo("\n".join(dumps(one, indent=None) for one in short))
    return all(one.is_yes for one in short)


def _write(answers: list[Answer], form: str, columns: list[str] | None, wanted: list[Request], *, many: bool) -> None:
    write(
        Answers(results=tuple(answers)) if many else answers[0], answers,
        lambda: _sheet(answers, wanted, many=many), form, columns, table=lambda _: _print(answers),
        picture=lambda: _picture(answers),
    )  # fmt: skip


def _picture(answers: list[Answer]) -> str:
    from llmplan.report.pictures import answers_svg

    return answers_svg(answers)


def _print(answers: list[Answer]) -> None:
    from llmplan.report.table import print_answers

    print_answers(answers)


def _sheet(answers: list[Answer], wanted: list[Request], *, many: bool) -> Sheet:
    """The rows of a comparison that sets nothing apart."""
    from llmplan.report import compare as report
    from llmplan.search.comparison import Alternative, beside

    names = [f"plan {number}" if many else "plan" for number in range(1, len(answers) + 1)]
    outcomes = [(Alternative(name, {}, one), found) for name, one, found in zip(names, wanted, answers, strict=True)]
    found = report.sheet(beside(outcomes).whole(), dict(zip(names, map(place, wanted), strict=True)))
    lines = [replace(line, data=one) for line, one in zip(found.lines, answers, strict=True)]
    return replace(found, lines=lines)


def _passes(wanted: list[Request], answers: list[Answer], catalog: Catalog) -> bool:
    """Whether every plan fits and keeps its limits; on stderr, what does not and what would."""
    from llmplan.report.limits import missed_lines

    passes = True
    for number, (one, found) in enumerate(zip(wanted, answers, strict=True), 1):
        prefix = f"plan {number}: " if len(answers) > 1 else ""
        passes = _does(one, found, prefix, catalog) and passes
        passes = all(limit.kept for limit in (found.result.limits or {}).values()) and passes
        for line in missed_lines(found):
            typer.echo(prefix + line, err=True)
    return passes


def _does(one: Request, found: Answer, prefix: str, catalog: Catalog) -> bool:
    """Whether it fits, and as a deployment keeps up; on stderr, by how much it misses and what would fit."""
    if isinstance(found.result, TrainingResult):
        if not found.fits:
            from llmplan.answer.advice import what_would_fit
            from llmplan.report.verdict import advice_lines, verdict_line

            typer.echo(prefix + verdict_line(found.result), err=True)
            for line in advice_lines(what_would_fit(one, catalog)):
                typer.echo(line, err=True)
        return found.fits
    from llmplan.report.serving import serving_no

    for line in serving_no(found, found.result):
        typer.echo(prefix + line, err=True)
    return found.result.is_yes


app.command("estimate", cls=PlanCommand)(plan_options(_estimate))
