"""A request: the options of one plan, and for each the file and line where it was written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from llmplan.documents import Document
from llmplan.errors import Fault, InputError
from llmplan.plain import plainly
from llmplan.records import dataclass, replace
from llmplan.schema import check, validated
from llmplan.setup.options import FLAGS, VOCABULARY, PlanOptions
from llmplan.setup.written import notes

LENGTHS = ("tokens", "steps", "epochs")
"""Options that say how long a run is; one of them does."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one plan was asked for with.

    document: the plan file's part, if there was one; overridden: names that the command line gave; notes: how options
    that could be read in two ways were understood; ran: it is a run that was measured, so that it did fit.
    """

    options: PlanOptions
    document: Document | None = None
    overridden: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    ran: bool = False

    def fault(self, message: str, *names: str) -> Fault:
        """A fault at the line of the first of `names` that the plan file contains."""
        for name in names:
            if self.document and name in self.document.data and name not in self.overridden:
                return Fault(message, self.document.file, self.document.line((name,)))
        if self.document and not names:  # something that should stand there and does not
            return Fault(message, self.document.file, self.document.line(()))
        return Fault(message)

    def blame(self, error: InputError, name: str) -> list[Fault]:
        """The faults of a look-up, at the line of the option that caused it."""
        return [self.fault(fault.message, name) if fault.file is None else fault for fault in error.faults]

    def changed(self, **changes: Any) -> Request:
        """The same request with other options; None takes one away."""
        given = self.options.stated() | changes
        options = validated({name: value for name, value in given.items() if value is not None}, PlanOptions)
        return replace(self, options=options)


def requests(documents: Iterable[Document], given: Mapping[str, Any]) -> list[Request]:
    """One request for each plan of the documents (a list is many), each overridden by `given`.

    Raises InputError with the faults of all plans and of the options together.
    """
    faults: list[Fault] = []
    over, found = _checked_options(given, faults), []
    for document in documents:
        for part in parts_of(document):
            try:
                found.append((part, _checked(part)))
            except InputError as error:
                faults += error.faults
    if faults or over is None:
        raise InputError(faults)
    overriding = over.stated()
    return [_request(part, options, overriding, given) for part, options in found]


def holds_many(documents: list[Document]) -> bool:
    """Whether the documents hold a list of plans, even a list of one."""
    return len(documents) > 1 or isinstance(documents[0].data, list)


class RequestReader:
    """Reads plans one by one, each overridden by `given`; raises InputError with the faults of `given` at once."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given, self.stated = given, request(given).options.stated()

    def read(self, document: Document) -> Request:
        """The request of a document that holds one plan; raises InputError with its faults."""
        return _request(document, _checked(document), self.stated, self.given)


def _request(part: Document, options: PlanOptions, overriding: dict[str, Any], given: Mapping[str, Any]) -> Request:
    return Request(_merged(options, overriding), part, frozenset(overriding), notes({**part.data, **given}))


def request(given: Mapping[str, Any]) -> Request:
    """A request without a file."""
    faults: list[Fault] = []
    options = _checked_options(given, faults)
    if options is None:
        raise InputError(faults)
    return Request(options, None, frozenset(options.stated()), notes(given))


def _checked_options(given: Mapping[str, Any], faults: list[Fault]) -> PlanOptions | None:
    """Options of the command line; their faults name the option as it is typed there."""
    try:
        return _checked(Document(dict(given), ""))
    except InputError as error:
        faults += [Fault(_as_option(fault.message)) for fault in error.faults]
        return None


def _checked(document: Document) -> PlanOptions:
    """The document as options; a truth (`tp: yes`) is no number, though Python counts it as 1."""
    with suppress(ValueError):
        plain: PlanOptions = plainly(document.data, PlanOptions)
        return plain
    data = document.data if isinstance(document.data, dict) else {}
    truths = [name for name, value in data.items() if isinstance(value, bool) and name not in FLAGS]
    known = [name for name in truths if name in VOCABULARY]
    if not known:
        return check(document, PlanOptions)
    got = {name: f"{name}: expected a value, got {str(data[name]).lower()}" for name in known}
    faults = [Fault(message, document.file or None, document.line((name,))) for name, message in got.items()]
    rest = {name: value for name, value in data.items() if name not in known}
    try:
        check(replace(document, data=rest), PlanOptions)
    except InputError as error:
        faults += error.faults
    raise InputError(faults)


def _as_option(message: str) -> str:
    """`seq_len: should be ...` as `--seq-len: should be ...`."""
    name, colon, rest = message.partition(":")
    field = name.partition(".")[0]
    return f"--{field.replace('_', '-')}:{rest}" if colon and field in VOCABULARY else message


def _merged(options: PlanOptions, overriding: Mapping[str, Any]) -> PlanOptions:
    """The options of a file under those of the command line, where one way to say a length replaces the others."""
    if not overriding:
        return options
    replaced = dict.fromkeys(LENGTHS) if any(name in overriding for name in LENGTHS) else {}
    return replace(options, **{**replaced, **overriding})


def parts_of(document: Document) -> list[Document]:
    """The plans of a document: itself, or each item of a list with its own lines."""
    if not isinstance(document.data, list):
        return [document]
    if not document.data:
        raise InputError(Fault("holds an empty list, no plan", document.file, document.line(())))
    return [
        Document(item, document.file, {path[1:]: line for path, line in document.lines.items() if path[:1] == (index,)})
        for index, item in enumerate(document.data)
    ]
