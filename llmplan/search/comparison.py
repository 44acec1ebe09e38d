"""Alternatives side by side: each planned alone, then ranked and measured against the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Literal

from llmplan.answer.answer import Answer
from llmplan.answer.many import answers
from llmplan.answer.shown import Shown
from llmplan.answer.training import TrainingResult
from llmplan.errors import InputError
from llmplan.records import dataclass
from llmplan.software.band import Interval
from llmplan.version import __version__
from llmplan.vocabulary import Amount

if TYPE_CHECKING:
    from llmplan.answer.economics.serving import PerMillion
    from llmplan.answer.resolve import AnyPlan
    from llmplan.answer.serving import ServingResult
    from llmplan.catalog.catalog import Catalog
    from llmplan.setup.request import Request

    Plans = Callable[[Sequence[Request]], Sequence[Request | AnyPlan | InputError]]
    """What is answered for requests."""

Words = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One thing to compare: what it is called, the words that set it apart, and the request."""

    name: str
    words: Words
    request: Request


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an alternative comes in a comparison."""

    name: str
    rank: int | None = None
    """Left out for what cannot be planned or does not fit."""
    words: dict[str, Any]
    """What sets it apart from the others."""


@dataclass(frozen=True, kw_only=True)
class _Beside:
    """How an alternative stands to the first that fits, by measure; what does not fit has no speed to compare."""

    does: bool
    """Whether it fits, keeps up with its load, and keeps its targets and limits: what does not ranks behind."""
    ratios: dict[str, Amount]
    """Figures over those of the first that fits."""
    beyond_error: dict[str, bool]
    """Whether the error bands of the two do not overlap."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Compared(Answer, _Beside, Place):
    """An alternative that could be planned: its estimate, and how it stands to the first that fits."""


@dataclass(frozen=True, kw_only=True)
class NotPlanned(Place):
    """An alternative that could not be planned."""

    problems: tuple[str, ...]
    """Why, one sentence each."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(Shown):
    """Alternatives side by side, ranked where that was asked for."""

    schema: Literal["llmplan.compare/2"] = "llmplan.compare/2"
    llmplan_version: str = __version__
    by: str | None = None
    results: tuple[Compared | NotPlanned, ...]

    def headline(self) -> str:
        """The names, in their order, and what they are ranked by."""
        names = " > ".join(one.name for one in self.results) if self.by else ", ".join(o.name for o in self.results)
        return f"{names} by {self.by}" if self.by else names


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure that alternatives are compared by.

    training, serving: it off an answer of that kind, None where not known; None where there is no such figure.
    less: whether less of it is better; whole_run: whether a training must say how long it is; word: of the plan, where
    that is the figure of both kinds; unfit: whether it says something about what does not fit.
    """

    training: Callable[[TrainingResult], Interval | None] | None
    serving: Callable[[ServingResult], Interval | None] | None
    less: bool
    whole_run: bool = False
    word: str | None = None
    unfit: bool = False

    def applies(self, one: Answer) -> bool:
        """Whether that kind of answer has such a figure."""
        return (
            self.word is not None
            or (self.training if isinstance(one.result, TrainingResult) else self.serving) is not None
        )

    def figure(self, one: Answer) -> Interval | None:
        """The figure of an answer; None where it is not known or there is none."""
        if self.word is not None:
            number = float(one.inputs[self.word])
            return Interval(number, number, number)
        if isinstance(one.result, TrainingResult):
            return self.training(one.result) if self.training else None
        return self.serving(one.result) if self.serving else None


def _mfu(result: TrainingResult) -> Interval:
    step, mfu = result.time.step_seconds, result.mfu
    return Interval(mfu, mfu * step.value / step.high, mfu * step.value / step.low)


def _requests(found: PerMillion | None) -> Interval | None:
    return found.requests if found else None


MEASURES: dict[str, Measure] = {
    "throughput": Measure(
        lambda one: one.throughput.tokens_per_second,
        lambda one: one.throughput.output_tokens_per_second or one.throughput.requests_per_second, less=False,
    ),
    "step": Measure(lambda one: one.time.step_seconds, None, less=True),
    "mfu": Measure(_mfu, None, less=False),
    "ttft": Measure(None, lambda one: one.latency.ttft_seconds, less=True),
    "tpot": Measure(None, lambda one: one.latency.tpot_seconds, less=True),
    "latency": Measure(lambda one: one.time.step_seconds, lambda one: one.latency.request_seconds, less=True),
    "memory": Measure(lambda one: one.memory.peak_bytes, lambda one: one.memory.needed_bytes, less=True, unfit=True),
    "devices": Measure(None, None, less=True, word="devices", unfit=True),
    "days": Measure(lambda one: one.run.wall_seconds if one.run else None, None, less=True, whole_run=True),
    "cost": Measure(
        lambda one: one.cost.usd if one.cost else None, lambda one: _requests(one.cost.usd_per_million), less=True,
        whole_run=True,
    ),
    "energy": Measure(
        lambda one: one.energy.joules if one.energy else None, lambda one: _requests(one.energy.joules_per_million),
        less=True, whole_run=True,
    ),
    "carbon": Measure(
        lambda one: one.energy.co2e_kilograms if one.energy else None,
        lambda one: _requests(one.energy.co2e_kilograms_per_million), less=True, whole_run=True,
    ),
}  # fmt: skip
"""What `--by` takes: of a training, the run; of a deployment, requests of the plan's lengths in all, the same work
everywhere."""


BATCH, SEARCHED = 1024, 512
"""Alternatives that are worked out at once, and that are searched for at once."""


def compare(
    alternatives: Iterable[Alternative], catalog: Catalog, *, fit: bool = False, by: str | None = None
) -> Comparison:
    """Each alternative as `estimate` gives it (fit: at the best layout that `fit` finds), or why there is none.

    by: a key of `MEASURES`; the best first of what does, then of what misses a limit, and what does not fit last and
    without a rank; None = in the order given.
    """
    if fit:
        from llmplan.search.best_layouts import BestLayouts

        best = BestLayouts(catalog)
    batches = _batches(alternatives, SEARCHED if fit else BATCH)
    return beside([one for batch in batches for one in _outcomes(batch, catalog, best.plans if fit else list)], by)


def beside(outcomes: Sequence[Outcome], by: str | None = None) -> Comparison:
    """Alternatives that were planned, or were not, side by side."""
    found = ranked(outcomes, by)
    planned = [one for _, one in found if isinstance(one, Answer)]
    first = next((one for one in planned if one.fits), planned[0] if planned else None)
    numbers = count(1)
    ranks = [next(numbers) if isinstance(one, Answer) and one.fits else None for _, one in found]
    return Comparison(by=by, results=tuple(_place(rank, *one, first) for rank, one in zip(ranks, found, strict=True)))


Outcome = tuple[Alternative, "Answer | tuple[str, ...]"]
"""An alternative with its answer, or with the reasons why there is none."""


def _batches(alternatives: Iterable[Alternative], size: int) -> Iterator[list[Alternative]]:
    waiting = iter(alternatives)
    while batch := list(islice(waiting, size)):
        yield batch


def _outcomes(batch: list[Alternative], catalog: Catalog, plans: Plans) -> Iterator[Outcome]:
    """Every alternative with its answer; what shares a model is worked out together."""
    for one, found in zip(batch, answers(plans([one.request for one in batch]), catalog), strict=True):
        if isinstance(found, InputError):
            yield one, tuple(dict.fromkeys(fault.message for fault in found.faults))
        else:
            assert isinstance(found, Answer)
            yield one, found


def _place(
    rank: int | None, one: Alternative, outcome: Answer | tuple[str, ...], first: Answer | None
) -> Compared | NotPlanned:
    if not isinstance(outcome, Answer) or first is None:
        problems = () if isinstance(outcome, Answer) else outcome
        return NotPlanned(name=one.name, rank=rank, words=one.words, problems=problems)
    pairs = {name: (measure.figure(first), measure.figure(outcome)) for name, measure in MEASURES.items()}
    fit = first.fits and outcome.fits
    known = {
        name: (a, b) for name, (a, b) in pairs.items()
        if a is not None and b is not None and (fit or MEASURES[name].unfit)
    }  # fmt: skip
    return Compared(
        name=one.name, rank=rank, words=one.words, does=does(outcome),
        ratios={name: b.value / a.value for name, (a, b) in known.items() if a.value},
        beyond_error={name: b.low > a.high or b.high < a.low for name, (a, b) in known.items()},
        **{field.name: getattr(outcome, field.name) for field in fields(outcome)},
    )  # fmt: skip


def does(one: Answer) -> bool:
    """Whether an alternative fits, keeps up with its load, and keeps its targets and limits."""
    result = one.result
    kept = all(limit.kept for limit in (result.limits or {}).values())
    steady = isinstance(result, TrainingResult) or (result.load.stable and not result.load.missed)
    return result.fits and steady and kept


def ranked(outcomes: Sequence[Outcome], by: str | None) -> list[Outcome]:
    """What does first, then what misses a limit, then what does not fit, the best first; without `by` as given.

    Raises InputError where `by` says nothing here, or is about the whole run and none says how long it is.
    """
    if by is None:
        return list(outcomes)
    measure = MEASURES[by]
    answers = [one for _, one in outcomes if isinstance(one, Answer)]
    if answers and not any(measure.applies(one) for one in answers):
        kind = "training" if isinstance(answers[0].result, TrainingResult) else "serving"
        raise InputError(f"--by {by} says nothing about {kind}")
    trainings = [one.result for one in answers if isinstance(one.result, TrainingResult)]
    if measure.whole_run and trainings and not any(one.run for one in trainings):
        raise InputError(f"--by {by} is about the whole run: say how long it is (--tokens)")

    def key(pair: Outcome) -> tuple[bool, bool, bool, bool, float]:
        _, one = pair
        if not isinstance(one, Answer):
            return True, True, True, True, 0.0
        value = measure.figure(one)
        number = 0.0 if value is None else value.value
        return False, not one.fits, not does(one), value is None, number if measure.less else -number

    return sorted(outcomes, key=key)
