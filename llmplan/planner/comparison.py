"""Alternatives side by side: each planned alone, then ranked and measured against the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmplan.errors import Fault, InputError
from llmplan.plan.resolve import resolve
from llmplan.planner.economics import with_run
from llmplan.planner.estimate import Interval, estimate

if TYPE_CHECKING:
    from llmplan.catalog import Catalog
    from llmplan.plan.request import Request
    from llmplan.planner.estimate import TrainingEstimate

Figure = Callable[["TrainingEstimate"], "Interval | None"]
Words = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One thing to compare: what it is called, the words that set it apart, and the request."""

    name: str
    words: Words
    request: Request


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an alternative: an estimate, or why there is none."""

    name: str
    words: Words
    answer: TrainingEstimate | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure that alternatives are compared by; less: whether less of it is better."""

    figure: Figure
    less: bool
    whole_run: bool = False


def _exact(value: float) -> Interval:
    return Interval(value, value, value)


def _mfu(answer: TrainingEstimate) -> Interval:
    step = answer.step
    return Interval(answer.mfu, answer.mfu * step.value / step.high, answer.mfu * step.value / step.low)


def _cost(answer: TrainingEstimate) -> Interval | None:
    head = answer.economics.cost.headline if answer.economics else None
    return None if head is None else Interval(head.usd, head.low_usd, head.high_usd)


def _energy(answer: TrainingEstimate) -> Interval | None:
    energy = answer.economics.energy if answer.economics else None
    if energy is None or energy.joules is None or energy.low_joules is None or energy.high_joules is None:
        return None
    return Interval(energy.joules, energy.low_joules, energy.high_joules)


def _carbon(answer: TrainingEstimate) -> Interval | None:
    energy, carbon = _energy(answer), answer.economics.energy.carbon if answer.economics else None
    if energy is None or carbon is None:
        return None
    each = carbon / energy.value
    return Interval(carbon, energy.low * each, energy.high * each)


MEASURES: dict[str, Measure] = {
    "throughput": Measure(lambda answer: answer.tokens_per_second, less=False),
    "step": Measure(lambda answer: answer.step, less=True),
    "mfu": Measure(_mfu, less=False),
    "memory": Measure(lambda answer: answer.peak, less=True),
    "devices": Measure(lambda answer: _exact(float(answer.plan.devices)), less=True),
    "days": Measure(lambda answer: answer.economics.run.wall if answer.economics else None, less=True, whole_run=True),
    "cost": Measure(_cost, less=True, whole_run=True),
    "energy": Measure(_energy, less=True, whole_run=True),
    "carbon": Measure(_carbon, less=True, whole_run=True),
}
"""What `--by` takes."""


def compare(alternatives: Iterable[Alternative], catalog: Catalog, *, fit: bool = False) -> list[Outcome]:
    """Each alternative as `estimate` gives it (fit: at the best layout that `fit` finds), or why it cannot be planned."""
    return [_outcome(one, catalog, fit=fit) for one in alternatives]


def _outcome(one: Alternative, catalog: Catalog, *, fit: bool) -> Outcome:
    try:
        answer = _best(one.request, catalog) if fit else estimate(resolve(one.request, catalog))
        return Outcome(one.name, one.words, with_run(answer, catalog))
    except InputError as error:
        return Outcome(one.name, one.words, None, tuple(_message(fault) for fault in error.faults))


def _message(fault: Fault) -> str:
    return fault.message


def _best(request: Request, catalog: Catalog) -> TrainingEstimate:
    """The fastest layout that fits, else the one that misses by least; devices are given, so it is the cheapest too."""
    from llmplan.planner.search import search
    from llmplan.planner.search_request import Ask, Wishes, question

    asked, _ = question(Ask(request, {}, Wishes(objective="throughput", top=1)), catalog)
    found = search(asked)
    for answer in (*found.best, *found.misses):
        return answer
    raise InputError("no layout is legal")


def ranked(outcomes: Sequence[Outcome], by: str | None) -> list[Outcome]:
    """What fits first, the best of it first; without `by` in the order given. Raises InputError for an unknown measure."""
    if by is None:
        return list(outcomes)
    measure = MEASURES[by]
    if measure.whole_run and not any(one.answer and one.answer.economics for one in outcomes):
        raise InputError(f"--by {by} is about the whole run: say how long it is (--tokens)")

    def key(one: Outcome) -> tuple[bool, bool, bool, float]:
        value = measure.figure(one.answer) if one.answer else None
        number = 0.0 if value is None else value.value
        fits = one.answer is not None and one.answer.fits
        return one.answer is None, not fits, value is None, number if measure.less else -number

    return sorted(outcomes, key=key)


def reference(outcomes: Sequence[Outcome]) -> TrainingEstimate | None:
    """The estimate that the others are measured against: the first that there is."""
    return next((one.answer for one in outcomes if one.answer is not None), None)


def ratio(measure: Measure, first: TrainingEstimate, one: TrainingEstimate) -> float | None:
    """A figure over that of the first [1]; None where either is not known."""
    a, b = measure.figure(first), measure.figure(one)
    return None if a is None or b is None or a.value == 0 else b.value / a.value


def apart(measure: Measure, first: TrainingEstimate, one: TrainingEstimate) -> bool | None:
    """Whether the difference to the first is larger than the error bands, which then do not overlap."""
    a, b = measure.figure(first), measure.figure(one)
    return None if a is None or b is None else b.low > a.high or b.high < a.low
