"""`llmplan explain`: what a warning's code means; where a figure of an estimate comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from llmplan.answer.data import dumps
from llmplan.cli.plan_options import CatalogFolders, PlanCommand, PlanFile, plan_options
from llmplan.errors import Fault, InputError, did_you_mean

app = typer.Typer(add_completion=False)


def _explain(
    given: Mapping[str, Any],
    *,
    code: Annotated[str, typer.Argument(help="A warning's code, such as LP012; `codes` lists them.")] = "",
    plan: PlanFile = None,
    term: Annotated[
        str,
        typer.Option(
            "--term", metavar="NAME", help="Figure of the plan: activations, tensor_parallel_seconds, ... or all."
        ),
    ] = "",
    depth: Annotated[
        int | None, typer.Option("--depth", min=1, max=99, help="Levels of calls that the text shows; JSON holds all.")
    ] = None,
    catalog: CatalogFolders = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: Annotated[
        Literal["table", "json"], typer.Option("--format", help="For people, or for programs.")
    ] = "table",
) -> None:
    """Explain a warning's code, or a figure of a plan: formula, numbers put in, sources, the next level down.

    llmplan explain LP031

    llmplan explain codes

    llmplan explain --model llama-3.1-8b --hardware h100 --devices 8 --term activations
    """
    form = "json" if as_json else output
    if code:
        _code(code, form)
    elif plan is None and not given:
        raise InputError("nothing to explain: name a code (LP012; `codes` lists them), or a plan and --term")
    else:
        _terms(given, plan, term or "all", catalog, form, depth)


def _code(name: str, form: str) -> None:
    from llmplan.report.explain import code_text
    from llmplan.setup.codes import CODES

    wanted = name.strip().upper()
    if wanted != "CODES" and wanted not in CODES:
        hint = (
            did_you_mean(wanted, [known.lower() for known in CODES]).upper().replace("; DID YOU MEAN", "; did you mean")
        )
        raise InputError(
            Fault(f"unknown code {name[:40]!r}{hint.replace(' OR ', ' or ')} (`llmplan explain codes` lists them)")
        )
    chosen = CODES if wanted == "CODES" else {wanted: CODES[wanted]}
    if form == "json":
        from llmplan.answer.explanation import CodeAnswer, Explanation

        codes = {one: CodeAnswer(title=c.title, sentence=c.sentence, doc=c.doc) for one, c in chosen.items()}
        typer.echo(dumps(Explanation(codes=codes)))
    elif wanted == "CODES":
        typer.echo("\n".join(f"{one}  {c.title}" for one, c in chosen.items()))
    else:
        typer.echo(code_text(wanted, CODES[wanted]), nl=False)


def _terms(
    given: Mapping[str, Any], plan: str | None, term: str, catalog: list[Path] | None, form: str, depth: int | None
) -> None:
    from llmplan.answer.explain import explain
    from llmplan.answer.resolve import resolve
    from llmplan.answer.terms import terms_named
    from llmplan.catalog.catalog import open_catalog
    from llmplan.cli.plan_input import read_requests

    opened = open_catalog(catalog or ())
    requests, _ = read_requests(plan, given)
    if len(requests) > 1:
        raise InputError(Fault(f"holds {len(requests)} plans; explain takes one", plan))
    resolved = resolve(requests[0], opened)
    found = explain(resolved, opened, terms_named(term, resolved))
    if form == "json":
        from llmplan.answer.explanation import explanation

        typer.echo(dumps(explanation(found), indent=None))
        return
    from llmplan.report.explain import explanation_lines

    for line in explanation_lines(found, depth):
        typer.echo(line)


app.command("explain", cls=PlanCommand)(plan_options(_explain))
