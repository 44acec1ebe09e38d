"""Names for what numbers go through: while it records, functions of the physics mark their arguments and results.

`with recorded():` puts a marking twin in the place of each function of the physics, in every module that knows it, and
a named number in the place of each constant, and puts all back afterwards: an estimate that is not explained pays
nothing. Marks change no number. Other threads may go on meanwhile; only one at a time records.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from llmplan.formulas.traced import leaf, remembers, renamed
from llmplan.records import dataclass, fields_of, replace

ROOMS = ("formulas", "machine", "work", "training", "serving", "answer.economics")
"""Where the functions stand whose names are marked."""
_ARITHMETIC = ("llmplan.formulas.numeric", "llmplan.formulas.traced", "llmplan.formulas.traced_arrays")
_OTHER_KINDS = 0x04 | 0x08 | 0x20  # functions that take any number of arguments, or yield
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """A call of a function: its arguments by name, as they were given; what it made, by the `id` of it inside."""

    function: FunctionType
    arguments: Mapping[str, Any]
    results: dict[int, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the function."""
        return self.function.__name__.lstrip("_")


@dataclass(frozen=True, eq=False, slots=True)
class ArgumentMark:
    """Mark of a number that a call was given."""

    call: Call
    name: str


@dataclass(frozen=True, eq=False, slots=True)
class ResultMark:
    """Mark of a number that a call gave; field: which, where it gave several."""

    call: Call
    field: str


@dataclass(frozen=True, slots=True)
class Constant:
    """Mark of a constant of the code."""

    module: str
    name: str


@contextmanager
def recorded() -> Iterator[None]:
    """Within it, numbers that remember also remember what they were arguments and results of."""
    with _ONE_AT_A_TIME:
        marking: dict[FunctionType, Any] = {}
        before: dict[int, tuple[Any, Any]] = {}  # by id of what took its place, which is kept alive here
        for module in _modules():
            for name, value, new in list(_changes(module, marking)):
                before[id(new)] = new, value
                setattr(module, name, new)
        try:
            yield
        finally:
            for module in _modules():  # also those that were loaded meanwhile and took marked functions over
                for name, value in list(vars(module).items()):
                    if id(value) in before:
                        setattr(module, name, before[id(value)][1])


def _modules() -> list[ModuleType]:
    """Modules of the program that are loaded."""
    return [module for name, module in list(sys.modules.items()) if name.startswith("llmplan.")]


def _in_rooms(module: str) -> bool:
    return module.startswith(tuple(f"llmplan.{room}" for room in ROOMS)) and module not in _ARITHMETIC


def _changes(module: ModuleType, marking: dict[FunctionType, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Functions and constants of a module with what takes their place."""
    physics = _in_rooms(module.__name__)
    for name, value in vars(module).items():
        if isinstance(value, FunctionType):
            new = _marking(value, marking)
        elif physics and name.lstrip("_").isupper():
            new = _constant(value, Constant(module.__name__, name), marking)
        else:
            continue
        if new is not value:
            yield name, value, new


def _constant(value: Any, mark: Constant, marking: dict[FunctionType, Any]) -> Any:
    """A named number, or a mapping of such numbers or of functions."""
    if isinstance(value, dict):
        parts = {
            key: _constant(part, Constant(mark.module, f"{mark.name}.{key}"), marking) for key, part in value.items()
        }
        return parts if any(parts[key] is not value[key] for key in value) else value
    if isinstance(value, FunctionType):
        return _marking(value, marking)
    return leaf(value, mark) if _is_number(value) else value


def _marking(function: FunctionType, marking: dict[FunctionType, Any]) -> Any:
    """The function, marking what goes in and comes out, where it belongs to the physics; each has one such twin."""
    code = function.__code__
    if not _in_rooms(function.__module__) or code.co_flags & _OTHER_KINDS or function.__name__ == "<lambda>":
        return function
    if function in marking:
        return marking[function]
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    def marked(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(names, args, strict=False)) | kwargs
        call = Call(function, given)
        inside = {
            name: renamed(value, ArgumentMark(call, name)) if _is_number(value) else value
            for name, value in given.items()
        }
        first = leaf(0.0, None).serial  # what was made before is only handed on
        return _results(function(**inside), call, "", first)

    marking[function] = marked
    return marked


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _results(value: Any, call: Call, path: str, first: int) -> Any:
    """A result, or a structure of results, with the numbers marked that the call made."""
    if _is_number(value):
        if remembers(value) and value.serial < first:
            return value
        call.results[id(value)] = renamed(value, ResultMark(call, path))
        return call.results[id(value)]
    dot = f"{path}." if path else ""
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(_results(part, call, f"{dot}{index}", first) for index, part in enumerate(value))
    if type(value) is dict:
        return {key: _results(part, call, f"{dot}{key}", first) for key, part in value.items()}
    if not isinstance(value, type) and (parts := fields_of(value)):
        new = {
            name: made for name, part in parts.items() if (made := _results(part, call, dot + name, first)) is not part
        }
        return replace(value, **new) if new else value
    return value


@lru_cache(maxsize=512)
def defined_in(mark: Constant) -> str:
    """The file in which a constant gets its value, of those modules that know it under its name."""
    name = mark.name.partition(".")[0]
    value = getattr(sys.modules[mark.module], name)
    sets = re.compile(rf"^(?:\w+, )*{name}\b[^\n(]*=", re.MULTILINE)
    for module in _modules():
        known = _in_rooms(module.__name__) and getattr(module, name, None) is value
        if known and sets.search(Path(module.__file__ or "").read_text(encoding="utf-8")):
            return _file(module.__name__)
    return _file(mark.module)


def _file(module: str) -> str:
    return f"{module.replace('.', '/')}.py"
