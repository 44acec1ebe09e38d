"""Where a number comes from: the word of the plan, the field of a catalogue entry, or an earlier call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from llmplan.setup.plan import Plan

_TELLING = 1024.0  # whole numbers up to it (degrees, bytes of an element) are equal by chance too often

_MOST_NAMES = 2  # that are shown where several things have the same value


class Origins:
    """Numbers and their names, for looking up where an argument is from."""

    def __init__(self, plan: Plan) -> None:
        self._by_value: dict[float, list[str]] = {}
        stack = plan.stack
        parts: dict[str, Any] = {
            "layout": plan.layout, "workload": plan.workload, "model": plan.model, "device": plan.device,
            "cluster": plan.cluster, "stack.fitted": stack.fitted, "stack.memory": stack.memory,
            "stack.training": stack.training,
        }  # fmt: skip
        for name, part in parts.items():
            self.add_all(name, part)

    def add(self, name: str, value: float) -> None:
        """Remembers a number under a name."""
        names = self._by_value.setdefault(float(value), [])
        if name not in names:
            names.append(name)

    def add_all(self, name: str, part: Any) -> None:
        """Remembers every number of nested data."""
        for path, value in _numbers(part, name):
            self.add(path, value)

    def add_result(self, name: str, result: Any) -> None:
        """Remembers what a call gave: a number, or several side by side; answers made of answers are left out."""
        if isinstance(result, (int, float)):
            self.add(name, float(result))
        elif isinstance(result, tuple):
            for number, value in enumerate(result, 1):
                self._add_field(f"{name}.{number}", value)
        elif is_dataclass(result) and not isinstance(result, type):
            for field in fields(result):
                self._add_field(f"{name}.{field.name}", getattr(result, field.name))

    def _add_field(self, name: str, value: Any) -> None:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self.add(name, float(value))

    def of(self, argument: str, value: Any) -> str:
        """The name of a number that an argument was given; nothing where it is not clear."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return ""
        names = self._by_value.get(float(value), [])
        same = [name for name in names if name.rsplit(".", 1)[-1] == argument]
        if same:
            return same[0]
        if not names or (abs(value) <= _TELLING and value == int(value)):
            return ""
        overlap = {name: len(_words(name) & _words(argument)) for name in names}
        best = max(overlap.values())
        return " or ".join([name for name in names if overlap[name] == best][:_MOST_NAMES])


def _words(name: str) -> set[str]:
    return set(name.replace(".", "_").replace("()", "").split("_"))


def _numbers(data: Any, path: str) -> Iterator[tuple[str, float]]:
    """Every number in nested data with its dotted path."""
    if isinstance(data, bool) or data is None or isinstance(data, str):
        return
    if isinstance(data, (int, float)):
        yield path, float(data)
    elif isinstance(data, BaseModel):
        for name in type(data).model_fields:
            yield from _numbers(getattr(data, name), f"{path}.{name}")
    elif is_dataclass(data):
        for field in fields(data):
            yield from _numbers(getattr(data, field.name), f"{path}.{field.name}")
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _numbers(value, f"{path}.{key}")
    elif isinstance(data, (tuple, list)):
        for number, value in enumerate(data):
            label = getattr(value, "name", None)
            yield from _numbers(value, f"{path}.{label if isinstance(label, str) else number}")
