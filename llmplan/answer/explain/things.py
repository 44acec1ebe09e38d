"""Names of the parts of a plan and of what calls gave, by identity: a number is said to be from where it was read."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel

from llmplan.answer.explain.definitions import GIVEN
from llmplan.answer.explain.made import Made, argument, called, followed
from llmplan.answer.explain.trace import Call


class Things:
    """Names of things that numbers are read from: the first that a thing was given counts.

    terms: figures that have levels of their own, by name.
    """

    def __init__(self, parts: Mapping[str, Any], terms: Mapping[str, Any], root: Call) -> None:
        self._names: dict[int, str] = {}
        self._terms = terms
        self._calls: dict[int, Call] = {}
        for name, part in parts.items():
            self._add(name, part)
        for call in root.walk():
            if _has_parts(call.result):
                self._names.setdefault(id(call.result), f"{call.function.lstrip('_')}()")
                self._calls.setdefault(id(call.result), call)

    def _add(self, name: str, part: Any) -> None:
        if _has_parts(part):
            self._names.setdefault(id(part), name)
        for step, one in _parts(part):
            self._add(f"{name}.{step}", one)

    def term(self, result: Any) -> str:
        """The term that a call's result is; nothing of another result."""
        return next((name for name, known in self._terms.items() if known == result), "")

    def call(self, made: Made) -> Call | None:
        """The call that gave the thing that a dotted name is read from."""
        return self._calls.get(id(made.part(made.node.value).value)) if isinstance(made.node, ast.Attribute) else None

    def origin(self, call: Call, name: str, _: Any) -> str:
        """Where an argument is from, as the caller's source says it; nothing for a number that stands in the code."""
        given = argument(call, name)
        return "" if given is None else self.of(followed(given, lambda inside: False))

    def of(self, made: Made) -> str:
        """A name as one of the plan or of a call's result, another expression as it stands."""
        whole, path = made, ""
        while isinstance(whole.node, ast.Attribute):
            path = f".{whole.node.attr}{path}"
            whole = made.part(whole.node.value)
            known = self._names.get(id(whole.value))
            if known is not None:
                return known + path
        if isinstance(made.node, (ast.Constant, ast.Name)):
            return ""
        call = next((calls[0] for one, calls in called(made) if one is made.node), None)
        return f"{call.function.lstrip('_')}()" if call else made.text.replace(GIVEN, "")


def _has_parts(thing: Any) -> bool:
    return isinstance(thing, BaseModel) or (is_dataclass(thing) and not isinstance(thing, type))


def _parts(thing: Any) -> list[tuple[str, Any]]:
    if isinstance(thing, BaseModel):
        return [(name, getattr(thing, name)) for name in type(thing).model_fields]
    if _has_parts(thing):
        return [(field.name, getattr(thing, field.name)) for field in fields(thing)]
    if isinstance(thing, dict):
        return [(str(key), value) for key, value in thing.items()]
    if isinstance(thing, tuple):
        return [(str(getattr(one, "name", index)), one) for index, one in enumerate(thing)]
    return []
