"""A question to `fit` as it is written: a plan whose options of the layout may be lists and ranges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmplan.documents import Document
from llmplan.errors import Fault, InputError
from llmplan.records import replace
from llmplan.search.choices import SUBJECTS, choice, is_open, names_of
from llmplan.setup.request import Request, request, requests


def one_request(documents: list[Document] | None, given: Mapping[str, Any]) -> tuple[Request, dict[str, Any]]:
    """The request, and the lists and ranges of a plan file, which no single plan can hold.

    documents: of the plan file, None where there is none.
    """
    if documents is None:
        return request(given), {}
    if len(documents) > 1 or not isinstance(documents[0].data, dict):
        found = requests(documents, given)
        if len(found) > 1:
            raise InputError(Fault(f"holds {len(found)} plans; fit searches for one", documents[0].file))
        return found[0], {}
    document = documents[0]
    listed = {
        name: value for name, value in document.data.items()
        if is_open(name, value) and isinstance(value, (str, list))
    }  # fmt: skip
    rest = {name: value for name, value in document.data.items() if name not in listed}
    (found_one,) = requests([replace(document, data=rest)], given)
    return found_one, {name: _listed(document, name, value) for name, value in listed.items()}


def _listed(document: Document, name: str, value: Any) -> str:
    """`[4, 8]`, `4,8` or `1..8` of a plan file as the command line says it."""
    text = ",".join(map(str, value)) if isinstance(value, list) else value
    try:
        _ = names_of(name, text) if name in SUBJECTS else choice(name, text)
    except InputError as error:
        raise InputError([Fault(fault.message.removeprefix("--"), document.file, document.line((name,)))
                          for fault in error.faults]) from None  # fmt: skip
    return text
