"""`llmplan explain`: what a warning's code means; where a figure of an estimate comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from llmplan.answer.data import dumps
from llmplan.cli.folders import CatalogFolders
from llmplan.cli.gate import Check
from llmplan.cli.output import AsJson, Columns, Format, columns_of, width, write
from llmplan.cli.plan_options import PlanCommand, PlanFile, plan_options
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
    as_json: AsJson = False,
    output: Format = "table",
    columns: Columns = None,
    check: Check = False,
) -> None:
    """Explain a warning's code, or a figure of a plan: formula, numbers put in, sources, the next level down.

    llmplan explain LP031

    llmplan explain codes

    llmplan explain --model llama-3.1-8b --hardware h100 --devices 8 --term activations
    """
    form = "json" if as_json else output
    chosen = columns_of(columns, form)
    if code:
        _code(code, form, chosen)
    elif plan is None and not given:
        raise InputError("nothing to explain: name a code (LP012; `codes` lists them), or a plan and --term")
    else:
        _terms(given, plan, term or "all", catalog, form, chosen, depth, check=check)


def _code(name: str, form: str, columns: list[str] | None) -> None:
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
    from llmplan.answer.explanation import CodeAnswer, Explanation
    from llmplan.report import explain as report
    from llmplan.report.formats import wrapped

    named = CODES if wanted == "CODES" else {wanted: CODES[wanted]}
    codes = {one: CodeAnswer(title=c.title, sentence=c.in_general, doc=c.doc) for one, c in named.items()}
    found = Explanation(codes=codes)
    text = "\n".join(f"{one}  {c.title}" for one, c in named.items()) + "\n"
    if wanted != "CODES":
        text = code_text(wanted, CODES[wanted])
    text = "".join(f"{line}\n" for one in text.splitlines() for line in wrapped(one, width()))
    write(
        found, [line.data for line in report.sheet(found).lines], lambda: report.sheet(found), form, columns,
        table=lambda _: typer.echo(text, nl=False), picture=lambda: report.picture(found),
    )  # fmt: skip


def _terms(
    given: Mapping[str, Any], plan: str | None, term: str, catalog: list[Path] | None, form: str,
    columns: list[str] | None, depth: int | None, *, check: bool,
) -> None:  # fmt: skip
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
    from llmplan.answer.explanation import explanation
    from llmplan.report import explain as report

    if form == "table" and columns is None:
        for line in report.explanation_lines(found, depth):
            typer.echo(line)
    elif form == "json":
        typer.echo(dumps(explanation(found), indent=None))
    else:
        whole = explanation(found)
        write(
            whole, whole.terms or (), lambda: report.sheet(whole), form, columns,
            picture=lambda: report.picture(whole),
        )  # fmt: skip
    if check:
        from llmplan.answer.answer import answer
        from llmplan.cli.gate import check_answer

        check_answer(answer(resolved, opened))


app.command("explain", cls=PlanCommand)(plan_options(_explain))
