"""`llmplan diff`: what changes from one plan to another, or from a revision of a plan file to what it is now."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmplan.catalog.catalog import open_catalog
from llmplan.cli.folders import CatalogFolders
from llmplan.cli.gate import Check, check_answer, place
from llmplan.cli.output import AsJson, Columns, Format, columns_of, write
from llmplan.cli.plan_input import plan_documents
from llmplan.cli.plan_options import PlanCommand, plan_options
from llmplan.documents import parse_documents
from llmplan.errors import Fault, InputError
from llmplan.files import decode
from llmplan.setup.request import requests

if TYPE_CHECKING:
    from llmplan.documents import Document
    from llmplan.setup.request import Request

app = typer.Typer(add_completion=False)


def _diff(
    given: Mapping[str, Any],
    *,
    plans: Annotated[list[str], typer.Argument(metavar="BEFORE AFTER", help="Plan files; with --against the new one.")],
    against: Annotated[
        str | None,
        typer.Option(metavar="REV[:FILE]", help="Before: the file in a revision of git (main, HEAD~1, v1:a.yaml)."),
    ] = None,
    catalog: CatalogFolders = None,
    as_json: AsJson = False,
    output: Format = "table",
    columns: Columns = None,
    check: Check = False,
) -> None:
    """Say what changes in memory, time and cost from one plan to another, and what of it is beyond the error.

    llmplan diff docs/examples/a.yaml docs/examples/b.yaml

    llmplan diff docs/examples/a.yaml docs/examples/b.yaml --tokens 1e12 --format markdown

    llmplan diff --against HEAD docs/examples/plan.yaml --check --format github
    """
    from llmplan.answer.answer import answer
    from llmplan.answer.resolve import resolve_all
    from llmplan.report import difference as report
    from llmplan.report.pictures import results_svg
    from llmplan.search.difference import difference

    if len(plans) != (2 if against is None else 1):
        raise InputError("diff takes two plan files, or one and --against with a revision of git")
    old = plan_documents(plans[0]) if against is None else _of_revision(against, plans[0])
    wanted = [_one(documents, given) for documents in (old, plan_documents(plans[-1]))]
    opened = open_catalog(catalog or ())
    before, after = (answer(one, opened) for one in resolve_all(wanted, opened))
    found = difference(before, after)
    form = "json" if as_json else output
    write(
        found, report.items(found), lambda: report.sheet(found, *place(wanted[1])), form, columns_of(columns, form),
        picture=lambda: results_svg([("before", before.result), ("after", after.result)]),
    )  # fmt: skip
    if check:
        check_answer(after)


def _one(documents: list[Document], given: Mapping[str, Any]) -> Request:
    found = requests(documents, given)
    if len(found) != 1:
        raise InputError(Fault(f"holds {len(found)} plans; diff takes one of each", documents[0].file))
    return found[0]


def _of_revision(against: str, path: str) -> list[Document]:
    """The plan of a file as a revision of git has it."""
    revision, _, other = against.partition(":")
    name = f"{revision}:{other or path}"
    if not revision or revision.startswith("-"):
        raise InputError(f"--against: expected a revision and a file, such as main:plan.yaml, got {against[:60]!r}")
    inside = other or (path if path.startswith("/") else f"./{path}")
    try:
        done = subprocess.run(["git", "show", f"{revision}:{inside}"], capture_output=True, check=False)
    except OSError:
        raise InputError("--against needs git") from None
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise InputError(f"--against: git show {name[:80]}: {reason}")
    documents = list(parse_documents(decode(done.stdout, name), name))
    if not documents:
        raise InputError(Fault("holds no plan", name))
    return documents


app.command("diff", cls=PlanCommand)(plan_options(_diff))
