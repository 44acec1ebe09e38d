"""From an answer to plain data: its fields are the keys, and what is None does not apply and is left out.

`SameAs` and `PartsOf` stand in the annotations of mappings, for the JSON Schema; nothing here is validated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from itertools import groupby
from typing import Any

from llmplan.records import names


def to_data(value: Any) -> Any:
    """The value as what JSON holds: dataclasses and mappings as objects, sequences as lists.

    >>> from llmplan.software.band import Interval
    >>> to_data({"step_seconds": (Interval(2.0, 1.0, 3.0),)})
    {'step_seconds': [{'value': 2.0, 'low': 1.0, 'high': 3.0}]}
    """
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if (known := _fields_of(kind)) is not None:
        parts = ((name, getattr(value, name)) for name in known)
        return {name: part if type(part) in _PLAIN else to_data(part) for name, part in parts if part is not None}
    if isinstance(value, Mapping):
        return {name: to_data(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_data(part) for part in value]
    return value


_PLAIN = frozenset((str, int, float, bool))


@cache
def _fields_of(kind: Any) -> tuple[str, ...] | None:
    """The names of a record's fields; None of another class."""
    return tuple(names(kind)) or None


def dumps(value: Any, *, indent: int | None = 2) -> str:
    """An answer as JSON text in ASCII, or without an indent on one line, as short as can be.

    Raises ValueError for a number that is not finite, which would be a fault of ours.
    """
    return line(value) if indent is None else json.JSONEncoder(indent=indent, **_STRICT).encode(value)


def streamed(envelope: Any, results: Iterable[Any]) -> Iterator[str]:
    """The JSON text of an envelope whose results come one after another, piece by piece: as `dumps` has it of all."""
    head, _, end = dumps(envelope).rpartition("[]")
    before = f"{head}[\n    "
    for one in results:
        yield before + dumps(one).replace("\n", "\n    ")
        before = ",\n    "
    yield f"\n  ]{end}\n"


class Shared(tuple[Any, ...]):
    """Records that many answers hold: their line is written once."""

    @cached_property
    def line(self) -> str:
        """As JSON."""
        return _on_a_line(self)


_TO_SHARED = frozenset(("result", "cost", "offers"))
"""Fields under which there may be something that answers share."""


def line(value: Any) -> str:
    """The value as JSON on one line."""
    kind: Any = type(value)
    if not (parts_of := _parts_to_shared(kind)):
        return value.line if isinstance(value, Shared) else _on_a_line(value)
    texts: list[str] = []
    for leads, some in parts_of:
        parts = {name: part for name in some if (part := getattr(value, name)) is not None}
        if leads:
            texts += [f'"{name}":{line(part)}' for name, part in parts.items()]
        elif parts:
            texts.append(_on_a_line(parts)[1:-1])
    return f"{{{','.join(texts)}}}"


@cache
def _parts_to_shared(kind: Any) -> list[tuple[bool, list[str]]]:
    """The fields of a record, those together that lead to what answers share, and that do not; none where none do."""
    names = _fields_of(kind) or ()
    if _TO_SHARED.isdisjoint(names):
        return []
    return [(leads, list(some)) for leads, some in groupby(names, _TO_SHARED.__contains__)]


def _on_a_line(value: Any) -> str:
    """Any value as JSON; in a tenth of the time that the standard library takes for records and long numbers."""
    from pydantic_core import to_json  # which a cold start does without

    text = to_json(value, exclude_none=True).decode()
    if "null" in text or "NaN" in text or "Infinity" in text:  # what numbers that are not finite become, or a sentence
        json.JSONEncoder(**_STRICT).encode(value)
    return text if text.isascii() else _BEYOND_ASCII.sub(lambda part: json.dumps(part[0])[1:-1], text)


_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")


def _part(value: Any) -> dict[str, Any]:
    """One level of what JSON has no word for."""
    kind: Any = type(value)
    if (known := _fields_of(kind)) is not None:
        return {name: part for name in known if (part := getattr(value, name)) is not None}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no part of an answer")


_STRICT: dict[str, Any] = {"default": _part, "allow_nan": False, "check_circular": False}


def present(parts: Mapping[str, Any]) -> dict[str, float]:
    """PartsOf of a whole that are there; a part of nothing does not apply."""
    return {name: float(value) for name, value in parts.items() if float(value) != 0.0}


class SameAs:
    """A mapping with the JSON Schema of a class."""

    def __init__(self, described: type) -> None:
        self.described = described

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """What pydantic asks for."""
        return handler(self.described)


class PartsOf:
    """A mapping of amounts, whose keys are fields of a class."""

    def __init__(self, described: type, left_out: tuple[str, ...] = ()) -> None:
        self.described, self.left_out = described, left_out

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        """What pydantic asks for."""
        number = {"type": "number", "minimum": 0}
        properties = {name: number for name in names(self.described) if name not in self.left_out}
        return {"type": "object", "properties": properties, "additionalProperties": False}
