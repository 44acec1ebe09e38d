"""Alternatives side by side: each planned alone, then ranked and measured against the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llmplan.answer.answer import answer_plan
from llmplan.answer.resolve import resolve
from llmplan.errors import InputError
from llmplan.software.band import Interval
from llmplan.training.estimate import TrainingEstimate

if TYPE_CHECKING:
    from llmplan.answer.answer import Estimate
    from llmplan.answer.economics.serving import PerMillion
    from llmplan.answer.resolve import Plan
    from llmplan.catalog.catalog import Catalog
    from llmplan.serving.estimate import ServingEstimate
    from llmplan.setup.request import Request

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
    answer: Estimate | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure that alternatives are compared by.

    training, serving: it off an answer of that kind, None where not known; None where there is no such figure.
    less: whether less of it is better; whole_run: whether a training must say how long it is.
    """

    training: Callable[[TrainingEstimate], Interval | None] | None
    serving: Callable[[ServingEstimate], Interval | None] | None
    less: bool
    whole_run: bool = False

    def applies(self, answer: Estimate) -> bool:
        """Whether that kind of answer has such a figure."""
        return (self.training if isinstance(answer, TrainingEstimate) else self.serving) is not None

    def figure(self, answer: Estimate) -> Interval | None:
        """The figure of an answer; None where it is not known or there is none."""
        if isinstance(answer, TrainingEstimate):
            return self.training(answer) if self.training else None
        return self.serving(answer) if self.serving else None


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


def _requests(answer: ServingEstimate) -> PerMillion | None:
    """The same work everywhere: requests of the plan's lengths in all, not the share of their input or output."""
    return None if answer.economics is None else answer.economics.request


def _devices(answer: Estimate) -> Interval:
    return Interval(float(answer.plan.devices), float(answer.plan.devices), float(answer.plan.devices))


MEASURES: dict[str, Measure] = {
    "throughput": Measure(
        lambda answer: answer.tokens_per_second,
        lambda answer: answer.output_tokens_per_second or answer.requests_per_second, less=False,
    ),
    "step": Measure(lambda answer: answer.step, None, less=True),
    "mfu": Measure(_mfu, None, less=False),
    "ttft": Measure(None, lambda answer: answer.ttft, less=True),
    "tpot": Measure(None, lambda answer: answer.tpot, less=True),
    "latency": Measure(lambda answer: answer.step, lambda answer: answer.request, less=True),
    "memory": Measure(lambda answer: answer.peak, lambda answer: answer.needed, less=True),
    "devices": Measure(_devices, _devices, less=True),
    "days": Measure(
        lambda answer: answer.economics.run.wall if answer.economics else None, None, less=True, whole_run=True
    ),
    "cost": Measure(_cost, lambda answer: getattr(_requests(answer), "usd", None), less=True, whole_run=True),
    "energy": Measure(_energy, lambda answer: getattr(_requests(answer), "joules", None), less=True, whole_run=True),
    "carbon": Measure(_carbon, lambda answer: getattr(_requests(answer), "carbon", None), less=True, whole_run=True),
}  # fmt: skip
"""What `--by` takes: of a training, the run; of a deployment, requests of the plan's lengths."""


def compare(alternatives: Iterable[Alternative], catalog: Catalog, *, fit: bool = False) -> list[Outcome]:
    """Each alternative as `estimate` gives it (fit: at the best layout that `fit` finds), or why there is none."""
    return [_outcome(one, catalog, fit=fit) for one in alternatives]


def _outcome(one: Alternative, catalog: Catalog, *, fit: bool) -> Outcome:
    try:
        plan = _best(one.request, catalog) if fit else resolve(one.request, catalog)
        return Outcome(one.name, one.words, answer_plan(plan, catalog))
    except InputError as error:
        return Outcome(one.name, one.words, None, tuple(dict.fromkeys(fault.message for fault in error.faults)))


def _best(request: Request, catalog: Catalog) -> Plan:
    """The fastest layout that fits, else the one that misses by least; devices are given, so it is the cheapest too."""
    from llmplan.search.request import Ask, Wishes

    # The best is wanted, whether or not it keeps the limits that the plan has for `--check`.
    ask = Ask(request.changed(limits=None), {}, Wishes(objective="throughput", top=1))
    found: Sequence[Estimate]
    if request.options.workload == "serve":
        from llmplan.search.serving import search_serving
        from llmplan.search.serving_request import serving_question

        deployments = search_serving(serving_question(ask, catalog)[0])
        found = deployments.best or deployments.misses
    else:
        from llmplan.search.request import question
        from llmplan.search.training import search

        layouts = search(question(ask, catalog)[0])
        found = layouts.best or layouts.misses
    if not found:
        raise InputError("no layout is legal")
    plan = found[0].plan
    return replace(plan, options=plan.options.model_copy(update={"limits": request.options.limits}))


def ranked(outcomes: Sequence[Outcome], by: str | None) -> list[Outcome]:
    """What fits first, the best of it first; without `by` in the order given.

    Raises InputError where `by` says nothing here, or is about the whole run and none says how long it is.
    """
    if by is None:
        return list(outcomes)
    measure = MEASURES[by]
    answers = [one.answer for one in outcomes if one.answer is not None]
    if answers and not any(measure.applies(answer) for answer in answers):
        raise InputError(f"--by {by} says nothing about {'serving' if answers[0].plan.kind == 'serve' else 'training'}")
    trainings = [one.answer for one in outcomes if isinstance(one.answer, TrainingEstimate)]
    if measure.whole_run and trainings and not any(one.economics for one in trainings):
        raise InputError(f"--by {by} is about the whole run: say how long it is (--tokens)")

    def key(one: Outcome) -> tuple[bool, bool, bool, float]:
        value = measure.figure(one.answer) if one.answer else None
        number = 0.0 if value is None else value.value
        fits = one.answer is not None and one.answer.fits
        return one.answer is None, not fits, value is None, number if measure.less else -number

    return sorted(outcomes, key=key)


def reference(outcomes: Sequence[Outcome]) -> Estimate | None:
    """The estimate that the others are measured against: the first that there is."""
    return next((one.answer for one in outcomes if one.answer is not None), None)


def ratio(measure: Measure, first: Estimate, one: Estimate) -> float | None:
    """A figure over that of the first [1]; None where either is not known."""
    a, b = measure.figure(first), measure.figure(one)
    return None if a is None or b is None or a.value == 0 else b.value / a.value


def apart(measure: Measure, first: Estimate, one: Estimate) -> bool | None:
    """Whether the difference to the first is larger than the error bands, which then do not overlap."""
    a, b = measure.figure(first), measure.figure(one)
    return None if a is None or b is None else b.low > a.high or b.high < a.low
