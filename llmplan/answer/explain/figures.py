"""A figure of a deployment as the planner's code made it: its expression, the numbers in it, and what made those."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from llmplan.answer.explain.made import Given, Made, called, followed, inputs, returned
from llmplan.answer.explain.steps import Input, Step, step_of, text_of
from llmplan.answer.explain.things import Things
from llmplan.answer.explain.trace import Call

_STEPS = ("decode_step", "prefill_step", "step")
_APART = (
    *_STEPS, "weight_bytes", "workspace_bytes", "serving_memory", "_rate",
    "deployment", "cost_of", "power_of", "grid_of", "estimate_serving",
)  # fmt: skip
"""Calls whose insides are not told below a figure: figures of their own, and catalogue entries put together."""

Told = set[tuple[Call, str]]


def figure(at: Made, value: float, unit: str, things: Things) -> tuple[str, dict[str, float], Step]:
    """Expression of a figure, the numbers behind its names, and the call that made it with what is below."""
    made = followed(at, lambda call: True)
    given = tuple(_leaves(made, things))
    text = text_of(made.call)
    step = Step(
        function=made.call.function.lstrip("_"), module=made.call.module, says=text.says if text else "",
        formula=text.formula if text else "", unit=unit,
        inputs=tuple(one for one in given if one.origin and not _says_origin(one)),
        result=value, references=text.references if text else (), times=1, steps=tuple(_below(made, set(), things)),
    )  # fmt: skip
    return made.text, {one.name: one.value for one in given if not isinstance(one.value, str)}, step


def _below(made: Made, told: Told, things: Things) -> Iterator[Step]:
    """What made the variables of an expression, and the calls in it; each once, and as near to the top as it stands."""
    variables, calls = [], list(_calls(made))
    for given in inputs(made, _enters):
        one = None if given.made is None else followed(given.made, _enters)
        if one is None or not isinstance(given.value, (int, float)):
            continue
        if one.is_plain:
            giving = things.call(one)
            calls += [giving] if giving is not None and giving.function in _STEPS else []
        elif (one.call, one.text) not in told:
            told.add((one.call, one.text))
            variables.append((given, one))
    calls = [call for call in dict.fromkeys(calls) if (call, "") not in told]
    told.update((call, "") for call in calls)
    for given, one in variables:
        yield _variable(given, one, made, told, things)
    for call in calls:
        yield _call(call, told, things)


def _calls(made: Made) -> Iterator[Call]:
    """The calls in an expression: each time that a loop made them, else the first."""
    loops = [part for part in ast.walk(made.node) if isinstance(part, (ast.GeneratorExp, ast.ListComp))]
    looped = {node for loop in loops for node in ast.walk(loop)}
    for node, calls in called(made):
        yield from calls if node in looped else calls[:1]


def _variable(given: Given, one: Made, made: Made, told: Told, things: Things) -> Step:
    """A variable as a step; where another call made it and handed it on, with what that says of itself."""
    text = None if one.call is made.call or _is_below(made.call, one.call) else text_of(one.call)
    return Step(
        function=given.name, module=one.call.module, says=text.says if text else "", formula=f"= {one.text}",
        unit=text.unit if text and isinstance(one.call.result, (int, float)) else "",
        inputs=tuple(_leaves(one, things)), result=float(given.value), references=(), times=1,
        steps=tuple(_below(one, told, things)),
    )  # fmt: skip


def _call(call: Call, told: Told, things: Things) -> Step:
    """A call as a step: a formula with all below it, a function of the planner with the expression of its result."""
    plain = step_of(call, things.origin, deep=call.is_formula)
    made = returned(call) if _enters(call) else None
    if made is None:
        term = things.term(call.result)
        return replace(plain, formula=f"the next level: --term {term}") if term else plain
    words = tuple(one for one in plain.inputs if isinstance(one.value, str))
    return replace(
        plain,
        formula=f"= {made.text}",
        inputs=words + tuple(_leaves(made, things)),
        steps=tuple(_below(made, told, things)),
    )


def _leaves(made: Made, things: Things) -> Iterator[Input]:
    """The numbers and words that an expression takes, with where they are from."""
    for given in inputs(made, _enters):
        looped = given.made is None and isinstance(given.value, (bool, str))  # a word and flag of each matrix
        if isinstance(given.value, (int, float, str)) and not looped:
            one = None if given.made is None else followed(given.made, _enters)
            origin = things.of(one) if one is not None and one.is_plain else ""
            value = given.value if isinstance(given.value, str) else float(given.value)
            yield Input(given.name, value, "", "", "" if origin == given.name else origin)
    for _, calls in called(made):
        call, *again = calls
        if not again and _enters(call) and returned(call) is not None and isinstance(call.result, (int, float)):
            yield Input(f"{call.function}()", float(call.result), "", "", "")


def _is_below(call: Call | None, other: Call) -> bool:
    """Whether a call was made by another, or by one that it made."""
    above = None if call is None else call.caller
    return above is not None and (above is other or _is_below(above, other))


def _says_origin(given: Input) -> bool:
    """Whether the name alone tells: `work.input_tokens` of `serving.input_tokens`."""
    _, dot, last = given.name.rpartition(".")
    return bool(dot) and given.origin.endswith(dot + last)


def _enters(call: Call) -> bool:
    return call.function not in _APART
