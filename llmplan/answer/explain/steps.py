"""Calls as they are told: what a call says of itself, what went in and where that is from, what it called."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from llmplan.answer.explain.formula_text import FormulaText, formula_text
from llmplan.answer.explain.trace import Call

Origin = Callable[[Call, str, Any], str]
"""Where an argument of a call is from: its name and value in, words out."""


@dataclass(frozen=True, slots=True)
class Input:
    """A number that was put in; unit, meaning: from the formula; origin: where the number is from."""

    name: str
    value: float | str
    unit: str
    meaning: str
    origin: str


@dataclass(frozen=True, slots=True)
class Step:
    """One call: what it says of itself, what went in, what came out, and the calls that it made.

    Or one variable of the planner: its name in `function`, in `formula` the expression that it was set to.
    times: how often the same call was made; result: a number, or numbers by name.
    """

    function: str
    module: str
    says: str
    formula: str
    unit: str
    inputs: tuple[Input, ...]
    result: float | dict[str, float]
    references: tuple[str, ...]
    times: int
    steps: tuple[Step, ...]


def steps_of(calls: Iterable[Call], origin: Origin) -> Iterator[Step]:
    """Calls as steps, those that are alike as one."""
    alike: dict[tuple[Any, ...], list[Call]] = {}
    for call in calls:
        if not call.calls and not isinstance(call.result, (int, float)) and not numbers(call.result):
            continue  # gives words or nothing: no number to follow
        key = (call.function, repr(_inputs_plain(call)), repr(call.result))
        alike.setdefault(key, []).append(call)
    for same in alike.values():
        yield step_of(same[0], origin, times=len(same))


def step_of(call: Call, origin: Origin, *, times: int = 1, deep: bool = True) -> Step:
    """A call as a step; deep: with the calls that it made."""
    text = text_of(call)
    meaning = {one.name: (one.unit, one.meaning) for one in text.arguments} if text else {}
    inputs = tuple(
        Input(name, value, *meaning.get(name, ("", "")), origin(call, name, value))
        for name, value in _inputs_plain(call)
    )
    return Step(
        function=call.function.lstrip("_"), module=call.module, says=text.says if text else "",
        formula=text.formula if text else "", unit=text.unit if text else "", inputs=inputs,
        result=numbers(call.result), references=text.references if text else (),
        times=times, steps=tuple(steps_of(call.calls, origin)) if deep else (),
    )  # fmt: skip


def text_of(call: Call) -> FormulaText | None:
    """What the called function says of itself; one inside another has no text of its own."""
    function = getattr(sys.modules[call.module], call.function, None)
    return formula_text(function) if callable(function) else None


def _inputs_plain(call: Call) -> list[tuple[str, float | str]]:
    """Arguments that are numbers, words, or things with a name."""
    found: list[tuple[str, float | str]] = []
    for name, value in call.arguments.items():
        if isinstance(value, bool):
            found.append((name, str(value).lower()))
        elif isinstance(value, (int, float)):
            found.append((name, float(value)))
        elif isinstance(value, str):
            found.append((name, value))
        elif isinstance(getattr(value, "name", None), str) and name not in ("plan", "model"):
            found.append((name, value.name))
    return found


def numbers(result: Any) -> float | dict[str, float]:
    """A number, or the numbers of a tuple or dataclass by name."""
    if isinstance(result, (int, float)):
        return float(result)
    if is_dataclass(result) and not isinstance(result, type):
        pairs = {field.name: getattr(result, field.name) for field in fields(result)}
    elif isinstance(result, tuple):
        pairs = {str(number): value for number, value in enumerate(result, 1)}
    else:
        pairs = {}
    return {name: float(value) for name, value in pairs.items() if isinstance(value, (int, float))}
