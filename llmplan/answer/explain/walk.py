"""An estimate walked down: for each figure the formulas, the numbers put in, their sources, and the next level."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmplan.answer.answer import answer_plan
from llmplan.answer.explain.expressions import Expression, expression
from llmplan.answer.explain.figures import figure
from llmplan.answer.explain.made import Made
from llmplan.answer.explain.origins import Origins
from llmplan.answer.explain.steps import Step, steps_of
from llmplan.answer.explain.terms import SERVING_TERMS, TERMS, Selector, Term
from llmplan.answer.explain.things import Things
from llmplan.answer.explain.trace import Call, record
from llmplan.machine.facilities import EnergyTable, ReliabilityTable
from llmplan.training.estimate import TrainingEstimate

if TYPE_CHECKING:
    from llmplan.answer.answer import Estimate
    from llmplan.catalog.catalog import Catalog
    from llmplan.serving.estimate import ServingEstimate
    from llmplan.setup.plan import Plan


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
    tables: dict[str, Any] = {}
    if answer.economics is not None:
        tables["energy.yaml"] = catalog.table("energy", EnergyTable)
        tables["reliability.yaml"] = catalog.table("reliability", ReliabilityTable)
    if isinstance(answer, TrainingEstimate):
        origins = _origins(plan, tables, root)
        found = [_trained(name, answer, root, origins) for name in terms]
    else:
        things = Things(_parts_of(answer, root) | tables, _terms_below(answer), root)
        found = [_served(name, answer, root, things) for name in terms]
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


def _origins(plan: Plan, tables: Mapping[str, Any], root: Call) -> Origins:
    """Where numbers of a training are from."""
    origins = Origins(plan)
    for name, table in tables.items():
        origins.add_all(name, table)
    for call in root.walk():
        origins.add_result(f"{call.function.lstrip('_')}()", call.result)
    return origins


def _trained(name: str, answer: TrainingEstimate, root: Call, origins: Origins) -> Explanation | None:
    """A figure of a training."""
    term = TERMS[name]
    value = term.value(answer)
    if value is None:
        return None
    scope = _scope(name, float(value), root) if term.within is None else _giving(term.within(answer), root)
    steps = tuple(steps_of(_calls(term, scope, root), lambda _, argument, given: origins.of(argument, given)))
    numbers = {path: _number(answer.plan, path) for path in term.numbers}
    made = expression(name)
    values = made.numbers(_variables(made, name, float(value), root))
    return Explanation(name, term.unit, float(value), made.text, values, numbers, steps)


def _served(name: str, answer: ServingEstimate, root: Call, things: Things) -> Explanation | None:
    """A figure of a deployment."""
    term = SERVING_TERMS[name]
    value = term.value(answer)
    if value is None:
        return None
    result = None if term.within is None else term.within(answer)
    steps = tuple(steps_of(_calls(term, _giving(result, root), root), things.origin))
    if term.made is None:
        parts: dict[str, float] = {} if result is None else result.parts()
        return Explanation(name, term.unit, float(value), " + ".join(parts), parts, {}, steps)
    node = ast.parse(term.made.expression, mode="eval").body
    calls = (call for call in root.walk() if call.function == term.made.function)
    at = Made(next(call for call in calls if result is None or call.result is result), node)
    text, values, step = figure(at, float(value), term.unit, things)
    return Explanation(name, term.unit, float(value), text, values, {}, (step, *steps))


def _parts_of(answer: ServingEstimate, root: Call) -> dict[str, Any]:
    """What a deployment's numbers are read from, by name: the parts of its plan, and a figure of its own."""
    made = next(call.variables for call in root.walk() if call.function == "estimate_serving")
    plan = answer.plan
    return {
        "serving": plan.serving, "layout": plan.layout, "model": plan.model, "device": plan.device,
        "cluster": plan.cluster, "stack.serving.fitted": made["numbers"], "stack.serving.policy": made["policy"],
        "stack": plan.stack, "requests_per_second": answer.requests_per_second,
    }  # fmt: skip


def _terms_below(answer: ServingEstimate) -> dict[str, Any]:
    """Terms that other terms of a deployment are made of, with the results that they stand for."""
    memory = answer.memory
    found = {
        "weights_bytes": memory.weights_bytes, "activations_bytes": memory.activations_bytes,
        "prefill_seconds": answer.prefill,
    }  # fmt: skip
    return found if answer.tpot is None else found | {"decode_step_seconds": answer.decode}


def _calls(term: Term, scope: Call, root: Call) -> list[Call]:
    return [call for selector in term.calls for call in _select(scope, selector) or _select(root, selector)]


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


def _number(plan: Plan, path: str) -> float:
    """`stack.memory.context` of a plan; 0 where a stack does not set it."""
    value: Any = plan
    for step in path.split("."):
        value = value.get(step, 0.0) if isinstance(value, dict) else getattr(value, step)
    return float(value)
