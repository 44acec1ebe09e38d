"""An estimate walked down: for each figure the formulas, the numbers put in, their sources, and the next level."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from llmplan.plan.facilities import EnergyTable, ReliabilityTable
from llmplan.planner.answer import answer_plan
from llmplan.planner.explain.expressions import Expression, expression
from llmplan.planner.explain.formula_text import formula_text
from llmplan.planner.explain.origins import Origins
from llmplan.planner.explain.terms import Selector, terms_of
from llmplan.planner.explain.trace import Call, record

if TYPE_CHECKING:
    from llmplan.catalog import Catalog
    from llmplan.plan.plan import Plan
    from llmplan.planner.answer import Estimate


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


@dataclass(frozen=True, slots=True)
class Explanation:
    """One figure.

    expression: how the planner puts it together; values: the numbers behind the names in it; numbers: catalogue
    numbers that it is, by path.
    """

    term: str
    unit: str
    value: float
    expression: str
    values: dict[str, float]
    numbers: dict[str, float]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A catalogue entry that numbers came from, with what it names as sources."""

    kind: str
    id: str
    date: str
    sources: tuple[tuple[str, str], ...]


def explain(plan: Plan, catalog: Catalog, terms: Sequence[str]) -> tuple[Estimate, list[Explanation]]:
    """The estimate of a plan, and each of its terms explained; those that are nothing are left out unless alone."""
    answer, root = record(lambda: answer_plan(plan, catalog))
    origins = Origins(plan)
    if answer.economics is not None:
        origins.add_all("energy.yaml", catalog.table("energy", EnergyTable))
        origins.add_all("reliability.yaml", catalog.table("reliability", ReliabilityTable))
    for call in root.walk():
        origins.add_result(f"{call.function.lstrip('_')}()", call.result)
    found = [_explained(name, answer, root, origins) for name in terms]
    return answer, [one for one in found if one is not None and (one.value != 0 or len(terms) == 1)]


def entries(plan: Plan) -> list[Entry]:
    """The catalogue entries of a plan and their sources."""
    found = []
    for kind, entry in (("device", plan.device), ("cluster", plan.cluster), ("stack", plan.stack)):
        sources = [(source.what, source.where) for source in entry.sources]
        if kind == "device" and plan.device.efficiency.source:
            sources.append(("measured efficiency", plan.device.efficiency.source))
        found.append(Entry(kind, entry.id, entry.date, tuple(sources)))
    return found


def _explained(name: str, answer: Estimate, root: Call, origins: Origins) -> Explanation | None:
    term = terms_of(answer.plan)[name]
    value = term.value(answer)
    if value is None:
        return None
    scope = _scope(name, float(value), root) if term.within is None else _giving(term.within(answer), root)
    calls = [call for selector in term.calls for call in _select(scope, selector) or _select(root, selector)]
    steps = tuple(_steps(calls, origins))
    numbers = {path: _number(answer.plan, path) for path in term.numbers}
    made = expression(name)
    values = made.numbers(_variables(made, name, float(value), root))
    return Explanation(name, term.unit, float(value), made.text, values, numbers, steps)


def _variables(made: Expression, name: str, value: float, root: Call) -> dict[str, Any]:
    """The variables of the call that made the figure."""
    calls = (call for call in root.walk() if call.function == made.function)
    return next((call.variables for call in calls if getattr(call.result, name, None) == value), {})


def _scope(name: str, value: float, root: Call) -> Call:
    """The call to look in: of the two pipeline stages that are compared, the one that this figure is of."""
    for call in root.walk():
        if call.function.lstrip("_") == "stage" and getattr(call.result, name, None) == value:
            return call
    return root


def _giving(result: Any, root: Call) -> Call:
    """The call that gave this very thing."""
    return next((call for call in root.walk() if call.result is result), root)


def _select(call: Call, selector: Selector) -> list[Call]:
    """Calls below that a selector means, not looking inside those that it found."""
    found = []
    for one in call.calls:
        if one.function.lstrip("_") == selector.function and selector.target in (None, one.target):
            found.append(one)
        else:
            found += _select(one, selector)
    return found


def _steps(calls: Iterable[Call], origins: Origins) -> Iterator[Step]:
    """Calls as steps, those that are alike as one."""
    alike: dict[tuple[Any, ...], list[Call]] = {}
    for call in calls:
        if not call.calls and not isinstance(call.result, (int, float)) and not _result(call.result):
            continue  # gives words or nothing: no number to follow
        key = (call.function, repr(_inputs_plain(call)), repr(call.result))
        alike.setdefault(key, []).append(call)
    for same in alike.values():
        yield _step(same[0], len(same), origins)


def _step(call: Call, times: int, origins: Origins) -> Step:
    function = getattr(
        sys.modules[call.module], call.function, None
    )  # a function inside another has no text of its own
    text = formula_text(function) if callable(function) else None
    meaning = {one.name: (one.unit, one.meaning) for one in text.arguments} if text else {}
    inputs = tuple(
        Input(name, value, *meaning.get(name, ("", "")), origins.of(name, value)) for name, value in _inputs_plain(call)
    )
    return Step(
        function=call.function.lstrip("_"), module=call.module, says=text.says if text else "",
        formula=text.formula if text else "", unit=text.unit if text else "", inputs=inputs,
        result=_result(call.result), references=text.references if text else (),
        times=times, steps=tuple(_steps(call.calls, origins)),
    )  # fmt: skip


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


def _result(result: Any) -> float | dict[str, float]:
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


def _number(plan: Plan, path: str) -> float:
    """`stack.memory.context` of a plan; 0 where a stack does not set it."""
    value: Any = plan
    for step in path.split("."):
        value = value.get(step, 0.0) if isinstance(value, dict) else getattr(value, step)
    return float(value)
