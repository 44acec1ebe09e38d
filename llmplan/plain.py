"""Reads data that plainly is what a record says: values of its types, or the few others that can mean nothing else.

It takes no schema to be made, which takes longer than a plan to be estimated. What is not plain is not refused here:
pydantic says what it means, or what is wrong with it (`llmplan.pydantic_models`); what is plain means the same to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from inspect import get_annotations
from math import isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from llmplan.records import defaults, filled, names
from llmplan.rules import ReadBy, Within

Reader = Callable[[Any], Any]


class NotPlainError(ValueError):
    """It takes pydantic to read it, or to say what is wrong."""


class RefusedError(ValueError):
    """What pydantic says is wrong with data: its errors."""

    def __init__(self, errors: list[Any]) -> None:
        super().__init__(f"{len(errors)} errors")
        self.errors = errors


def plainly(data: Any, kind: Any) -> Any:
    """`data` as a record of a kind; a ValueError where it is not plain, or contradicts itself."""
    return _reader(kind)(data)


def kinds_of(record: type[Any]) -> dict[str, Any]:
    """The types of the fields of a class of records, those of its bases included."""
    own = [get_annotations(one, eval_str=True) for one in reversed(record.__mro__) if "__parts__" in one.__dict__]
    return {name: kind for some in own for name, kind in some.items()}


@cache
def _reader(kind: Any, exact: bool = False) -> Reader:
    """What reads a value as a kind; exact: nothing is converted, as where another kind may be meant."""
    origin, parts = get_origin(kind), get_args(kind)
    found: Reader = _never
    if origin is Annotated:
        found = _ruled(_reader(parts[0], exact), parts[1:])
    elif origin in (Union, UnionType):
        found = _one_of(parts, exact)
    elif origin is dict:
        found = _mapping(_reader(parts[0], exact), _reader(parts[1], exact))
    elif origin is list:
        found = _list(_reader(parts[0], exact))
    elif origin is tuple and parts[1:] == (Ellipsis,):
        found = _several(_reader(parts[0], exact))
    elif origin is tuple:
        found = _fixed([_reader(part, exact) for part in parts])
    elif origin is Literal:
        found = _word(frozenset(part for part in parts if isinstance(part, str)))
    elif kind is Any:
        found = _anything
    elif kind in _CONVERTED:
        found = _exactly(kind) if exact else _CONVERTED[kind]
    elif isinstance(kind, type) and names(kind):
        found = _record(kind)
    return found


def _never(value: Any) -> Any:
    raise NotPlainError


def _anything(value: Any) -> Any:
    return value


def _exactly(kind: type[Any]) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is kind and (kind is not float or isfinite(value)):
            return value
        raise NotPlainError

    return read


_EXACT = 2**53  # whole numbers below it are the same as floats
_DIGITS = re.compile(r"(?:0|[1-9]\d{0,14})\Z", re.ASCII)
_NUMBER = re.compile(r"[-+]?\d{1,15}(?:\.\d{1,15})?(?:[eE][-+]?\d{1,2})?\Z", re.ASCII)


def _whole(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is str and _DIGITS.match(value):
        return int(value)
    if type(value) is float and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    raise NotPlainError


def _real(value: Any) -> float:
    if type(value) is float and isfinite(value):
        return value
    if (type(value) is int and abs(value) < _EXACT) or (type(value) is str and _NUMBER.match(value)):
        return float(value)
    raise NotPlainError


_CONVERTED: dict[Any, Reader] = {str: _exactly(str), bool: _exactly(bool), int: _whole, float: _real}


def _word(words: frozenset[str]) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is str and value in words:
            return value
        raise NotPlainError

    return read


def _one_of(kinds: tuple[Any, ...], exact: bool) -> Reader:
    """Of several kinds that which a value is; where it is one or nothing, values are converted to it."""
    some = [kind for kind in kinds if kind is not NoneType]
    readers = [_reader(kind, exact or len(some) > 1) for kind in some]
    if len(some) == 1 and len(kinds) > 1:
        return _or_nothing(readers[0])

    def read(value: Any) -> Any:
        if value is None and len(some) < len(kinds):
            return None
        for one in readers[:-1]:
            try:
                return one(value)
            except NotPlainError:
                continue
        return readers[-1](value)

    return read


def _or_nothing(one: Reader) -> Reader:
    return lambda value: None if value is None else one(value)


def _mapping(key: Reader, item: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise NotPlainError
        return {key(name): item(part) for name, part in value.items()}

    return read


def _list(item: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise NotPlainError
        return [item(part) for part in value]

    return read


def _several(item: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise NotPlainError
        return tuple(item(part) for part in value)

    return read


def _fixed(items: list[Reader]) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) != len(items):
            raise NotPlainError
        return tuple(item(part) for item, part in zip(items, value, strict=True))

    return read


def _ruled(bare: Reader, rules: tuple[Any, ...]) -> Reader:
    """What is annotated, read as its rules say: the last reader comes first, as with pydantic."""
    reads = [rule.read for rule in reversed(rules) if isinstance(rule, ReadBy)]
    bounds = [rule.holds for rule in rules if isinstance(rule, Within)]
    if len(reads) + len(bounds) < len(rules):
        return _never

    def read(value: Any) -> Any:
        for one in reads:
            value = one(value)
        found = bare(value)
        for holds in bounds:
            if not holds(found):
                raise NotPlainError
        return found

    return read


class _Fields(dict[str, Reader]):
    """What reads the fields of a class of records; made for those that are there."""

    def __init__(self, kind: type[Any]) -> None:
        super().__init__()
        self.kinds = kinds_of(kind)

    def __missing__(self, name: str) -> Reader:
        if name not in self.kinds:
            raise NotPlainError
        self[name] = found = _reader(self.kinds[name])
        return found


def _record(kind: type[Any]) -> Reader:
    fields, needed = _Fields(kind), frozenset(names(kind)).difference(defaults(kind))

    def read(data: Any) -> Any:
        if isinstance(data, kind):
            return data
        if not isinstance(data, dict) or not needed <= data.keys():
            raise NotPlainError
        return made(kind, {name: fields[name](value) for name, value in data.items()}, data)

    return read


def made(kind: type[Any], values: dict[str, Any], given: Any) -> Any:
    """A record that was read; given: names that it was read from."""
    found = filled(kind, values)
    found.__dict__["given"] = frozenset(given)
    return found
