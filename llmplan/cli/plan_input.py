"""Reads the plans that a command line asks for: a file, standard input, or the options alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from llmplan.errors import Fault, InputError
from llmplan.files import MAX_BYTES, Document, decode, parse_documents, read_documents
from llmplan.setup.request import Request, request, requests

STDIN = "standard input"


def read_requests(plan: str | None, given: Mapping[str, Any]) -> tuple[list[Request], bool]:
    """The requests of `--plan`, overridden by the options; and whether many plans were written there."""
    if plan is None:
        return [request(given)], False
    documents = plan_documents(plan)
    return requests(documents, given), holds_many(documents)


def plan_documents(plan: str) -> list[Document]:
    """The documents of a plan file or of standard input; an InputError where there are none."""
    documents = _from_stdin() if plan == "-" else read_documents(plan)
    if not documents:
        raise InputError(Fault("holds no plan", STDIN if plan == "-" else plan))
    return documents


def holds_many(documents: list[Document]) -> bool:
    """Whether many plans are written there, be it a list of one."""
    return len(documents) > 1 or isinstance(documents[0].data, list)


def _from_stdin() -> list[Document]:
    """Standard input, at most one byte more than is allowed of it."""
    try:
        raw = sys.stdin.buffer.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(Fault(f"cannot be read: {error.strerror}", STDIN)) from None
    return list(parse_documents(decode(raw, STDIN), STDIN))
