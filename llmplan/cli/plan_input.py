"""Reads the plans that a command line asks for: a file, standard input, or the options alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import IO, Annotated, Any

import typer

from llmplan.cli.completion import frameworks
from llmplan.documents import Document, parse_documents
from llmplan.errors import Fault, InputError
from llmplan.files import decode, open_bytes, read_bytes
from llmplan.setup.request import Request, holds_many, request, requests

STDIN = "standard input"

From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="FRAMEWORK",
        help="Read a framework's command line (after --), its files, or - (standard input).",
        autocompletion=frameworks,
    ),
]
Given = Annotated[list[str] | None, typer.Argument(metavar="[-- COMMAND | FILES]", help="What --from reads.")]


def read_requests(
    plan: str | None, given: Mapping[str, Any], source: str | None = None, words: list[str] | None = None,
    documents: list[Document] | None = None,
) -> tuple[list[Request], bool]:  # fmt: skip
    """The requests of `--plan`, overridden by the options; and whether many plans were written there.

    source: a framework (`--from`), whose command line or files `words` are; documents: of `plan`, where they were read.
    """
    if source is not None:
        if plan is not None:
            raise InputError("--plan and --from are two places of a plan; give one")
        return [_launched(source, words or [], given)], False
    if words:
        raise InputError(f"unexpected argument {words[0][:60]!r}; a command line of a framework goes with --from")
    if plan is None:
        return [request(given)], False
    documents = documents or plan_documents(plan)
    return requests(documents, given), holds_many(documents)


def _launched(source: str, words: list[str], given: Mapping[str, Any]) -> Request:
    """The request of a framework's command line or files; options that were not understood are reported."""
    from llmplan.launch.read import read_launch
    from llmplan.launch.target import target

    framework = target(source)
    found = read_launch(framework, words, given, _stdin_text() if words == ["-"] else None)
    if found.unread:
        listed = ", ".join(map(str, found.unread))
        typer.echo(f"warning: {framework.name}: not read: {listed}", err=True)
    if found.by_recipe:
        listed = ", ".join(found.by_recipe)
        typer.echo(f"warning: {framework.name}: its recipe decides, and this plan has defaults of: {listed}", err=True)
    return requests([found.document], given)[0]


def plan_documents(plan: str) -> list[Document]:
    """The documents of a plan file or of standard input; an InputError where there are none."""
    with open_plan(plan) as source:
        return documents_of(read_bytes(source, name_of(plan)), name_of(plan))


def name_of(plan: str) -> str:
    """What messages call a plan file."""
    return STDIN if plan == "-" else plan


def open_plan(plan: str) -> IO[bytes]:
    """A plan file or standard input, to read from."""
    if plan != "-":
        return open_bytes(plan)
    if sys.stdin is None:
        raise InputError(Fault("is closed", STDIN))
    return sys.stdin.buffer


def _stdin_text() -> str:
    with open_plan("-") as source:
        return decode(read_bytes(source, STDIN), STDIN)


def documents_of(raw: bytes, name: str) -> list[Document]:
    """The documents of a text; an InputError where there are none."""
    documents = list(parse_documents(decode(raw, name), name))
    if not documents:
        raise InputError(Fault("holds no plan", name))
    return documents
