"""Alternatives side by side: each planned alone, then ranked and measured against the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, Protocol

from llmplan.answer.answer import Answer
from llmplan.answer.many import answers, outlines
from llmplan.answer.shown import Shown
from llmplan.answer.training import TrainingResult
from llmplan.errors import InputError
from llmplan.records import dataclass, fields_of
from llmplan.search.measures import MEASURES, Measure
from llmplan.software.band import Interval
from llmplan.version import __version__
from llmplan.vocabulary import Amount

if TYPE_CHECKING:
    from llmplan.answer.resolve import AnyPlan
    from llmplan.catalog.catalog import Catalog
    from llmplan.setup.request import Request

    Plans = Callable[[Sequence[Request]], Sequence[Request | AnyPlan | InputError]]
    """What is answered for requests."""

Words = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One thing to compare: what it is called, the options that set it apart, and the request."""

    name: str
    words: Words
    request: Request


class Alternatives(Protocol):
    """Things to compare, by their number: a list of them, or what makes each when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> Alternative: ...


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


BATCH, SEARCHED = 1024, 2048
"""Alternatives that are worked out at once, and that are searched for at once."""
HELD = 20_000
"""Alternatives up to which whole answers are held; of more, only what they are ranked by."""

Outcome = tuple[Alternative, "Answer | tuple[str, ...]"]
"""An alternative with its answer, or with the reasons why there is none."""


@dataclass(frozen=True, slots=True)
class Standings:
    """Alternatives in their order, each worked out whole when its turn comes.

    order: their numbers, the best first of what does, then of what misses a limit, and what does not fit last; as given
    without `by`, a key of `MEASURES`; first: what the others stand beside, the first that fits, or else that could be
    planned at all; outcomes: whole, of so many numbers.
    """

    by: str | None
    order: Sequence[int]
    first: Answer | None
    outcomes: Callable[[Sequence[int]], Iterable[Outcome]]

    def whole(self) -> Comparison:
        """All of them in one answer."""
        return Comparison(by=self.by, results=tuple(self))

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Compared | NotPlanned]:
        numbers, first = count(1), self.first
        figures = {} if first is None else {name: measure.figure(first) for name, measure in MEASURES.items()}
        for start in range(0, len(self.order), BATCH):
            for one, found in self.outcomes(self.order[start : start + BATCH]):
                if not isinstance(found, Answer):
                    yield NotPlanned(name=one.name, words=one.words, problems=found)
                elif first is not None:
                    yield _compared(next(numbers) if found.fits else None, one, found, figures, fit=first.fits)


def compare(
    wanted: Alternatives, catalog: Catalog, *, fit: bool = False, by: str | None = None,
    watched: Callable[[Iterable[Outcome]], Iterable[Outcome]] = iter,
) -> Standings:  # fmt: skip
    """Each alternative as `estimate` gives it (fit: at the best layout that `fit` finds), or why there is none.

    by: a key of `MEASURES`, or in the order given; watched: sees every one pass. What shares a model is worked out
    together. Of more than `HELD` only figures are, before the whole answers are asked for one after another.
    """
    plans: Plans = list
    if fit:
        from llmplan.search.best_layouts import BestLayouts

        plans = BestLayouts(catalog).plans
    size = SEARCHED if fit else BATCH

    def some(places: Sequence[int], made: Callable[..., Sequence[Any]]) -> Iterator[Outcome]:
        for start in range(0, len(places), size):
            batch = [wanted[place] for place in places[start : start + size]]
            for one, found in zip(batch, made(plans([each.request for each in batch]), catalog), strict=True):
                yield one, _reasons(found) if isinstance(found, InputError) else found

    every = range(len(wanted))
    if len(wanted) > HELD:
        return standings(watched(some(every, outlines)), len(wanted), lambda places: some(places, answers), by)
    return beside(list(watched(some(every, answers))), by)


def _reasons(error: InputError) -> tuple[str, ...]:
    return tuple(dict.fromkeys(fault.message for fault in error.faults))


def beside(outcomes: Sequence[Outcome], by: str | None = None) -> Standings:
    """Alternatives that were planned, or were not, side by side."""
    return standings(outcomes, len(outcomes), lambda places: [outcomes[place] for place in places], by)


def standings(
    figures: Iterable[Outcome], total: int, outcomes: Callable[[Sequence[int]], Iterable[Outcome]], by: str | None
) -> Standings:
    """So many alternatives ranked by their figures; outcomes: whole, of their numbers.

    Raises InputError where `by` says nothing here, or is about the whole run and none says how long it is.
    """
    measure = None if by is None else MEASURES[by]
    keys: list[tuple[int, float]] = []
    kinds: dict[type, Answer] = {}
    for _, one in figures:
        keys.append(_key(one, measure))
        if isinstance(one, Answer):
            if type(one.result) not in kinds or (isinstance(one.result, TrainingResult) and one.result.run):
                kinds[type(one.result)] = one
            if measure is None and one.fits:
                break  # what the others stand beside; they are not ranked
    if measure is not None:
        _check(measure, str(by), [*kinds.values()])
    order = range(total) if measure is None else sorted(range(total), key=keys.__getitem__)
    first = min(range(len(keys)), key=lambda place: keys[place][0] // UNFIT) if measure is None else order[0]
    answer = next(iter(outcomes([first])))[1] if kinds else None
    return Standings(by, order, answer if isinstance(answer, Answer) else None, outcomes)


def _check(measure: Measure, by: str, ones: Sequence[Answer]) -> None:
    """ones: an answer of every kind that there is, with a run where some of its kind has one."""
    if ones and not any(measure.applies(one) for one in ones):
        kind = "training" if isinstance(ones[0].result, TrainingResult) else "serving"
        raise InputError(f"--by {by} says nothing about {kind}")
    trainings = [one.result for one in ones if isinstance(one.result, TrainingResult)]
    if measure.whole_run and trainings and not any(one.run for one in trainings):
        raise InputError(f"--by {by} is about the whole run: say how long it is (--tokens)")


UNKNOWN, MISSED, UNFIT, UNPLANNED = 1, 2, 4, 8
"""What puts an alternative behind others, the least first."""


def _key(one: Answer | tuple[str, ...], measure: Measure | None) -> tuple[int, float]:
    """What an alternative is ranked by: what puts it behind, and its figure, of which less is better."""
    if not isinstance(one, Answer):
        return UNPLANNED, 0.0
    value = None if measure is None else measure.figure(one)
    number = 0.0 if value is None or measure is None else value.value if measure.less else -value.value
    return UNFIT * (not one.fits) + MISSED * (not one.is_yes) + UNKNOWN * (value is None), number


def _compared(
    rank: int | None, one: Alternative, found: Answer, first: Mapping[str, Interval | None], *, fit: bool
) -> Compared:
    """first: figures of what the others stand beside; fit: whether that fits."""
    pairs = ((name, first[name], measure.figure(found)) for name, measure in MEASURES.items())
    known = {
        name: (a, b) for name, a, b in pairs
        if a is not None and b is not None and ((fit and found.fits) or MEASURES[name].unfit)
    }  # fmt: skip
    return Compared(
        name=one.name, rank=rank, words=one.words, does=found.is_yes,
        ratios={name: b.value / a.value for name, (a, b) in known.items() if a.value},
        beyond_error={name: b.low > a.high or b.high < a.low for name, (a, b) in known.items()},
        **fields_of(found),
    )  # fmt: skip
