"""The best of many: the first by several keys in turn, and the Pareto front of two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np

from llmplan.records import dataclass
from llmplan.search.layouts import complexity

if TYPE_CHECKING:
    from llmplan.serving.simulation import Sample
    from llmplan.setup.layout import Layout
    from llmplan.setup.plan import Setup

PlanT = TypeVar("PlanT", bound="Setup")
Make: TypeAlias = "Callable[[int, tuple[float, ...]], Candidate[PlanT]]"
"""The candidate at an index, with what it is ranked by."""

DIGITS = 9
"""Digits that two values must share to be equal: what rounding in another order of sums may change lies behind."""
SPARE = 16
"""Layouts kept beside those that were asked for, so that ties at the end are resolved by simplicity."""


@dataclass(frozen=True, slots=True)
class Candidate(Generic[PlanT]):
    """A layout that is in the race; key: what it is ranked by, less is better; sample: times of its requests, where
    they were simulated."""

    plan: PlanT
    layout: Layout
    key: tuple[float, ...]
    sample: Sample | None = None

    @property
    def order(self) -> tuple[Any, ...]:
        """Sorts by the keys, equals by simplicity, and the rest by the layout itself: never by chance."""
        simple = complexity(self.layout, float(self.plan.cluster.devices_per_node))
        same = tuple(float(f"{value:.{DIGITS}g}") for value in self.key)
        return (*same, *simple, self.layout.vp, _ByText(self.plan))


@dataclass(frozen=True, slots=True, eq=False)
class _ByText:
    """A plan's options as the last to sort by, which are put together where all that comes before is equal."""

    plan: Setup

    @property
    def text(self) -> str:
        return repr(self.plan.as_options())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByText) and (self.plan is other.plan or self.text == other.text)

    def __lt__(self, other: _ByText) -> bool:
        return self.text < other.text

    def __hash__(self) -> int:
        return hash(self.text)


@dataclass(slots=True)
class Best(Generic[PlanT]):
    """The first `count` candidates of all that were offered."""

    count: int
    found: list[Candidate[PlanT]] = field(default_factory=list)

    def offer(self, make: Make[PlanT], index: Any, keys: list[Any]) -> None:
        """Takes in the layouts at `index`; keys: arrays as long as it, in the order that they count."""
        if not len(index):
            return
        worst = self.found[self.count - 1].key[0] if len(self.found) >= self.count else np.inf
        if len(index) > self.count:
            worst = min(worst, float(np.partition(keys[0], self.count - 1)[self.count - 1]))
        near = keys[0] <= worst + abs(worst) * 10.0**-DIGITS  # what is behind so many comes in nowhere
        index, keys = index[near], [key[near] for key in keys]
        for place in first(keys, self.count + SPARE):
            self.found.append(make(int(index[place]), tuple(float(values[place]) for values in keys)))
        self.found.sort(key=lambda one: one.order)
        del self.found[self.count + SPARE :]

    def winners(self) -> list[Candidate[PlanT]]:
        """The first `count`, best first."""
        return self.found[: self.count]


@dataclass(slots=True)
class EachBest(Generic[PlanT]):
    """The best of each device and stack, or what misses by least where none of it does."""

    kept: dict[tuple[str, str], Best[PlanT]] = field(default_factory=dict)
    missed: dict[tuple[str, str], Best[PlanT]] = field(default_factory=dict)

    def keep(self, plan: PlanT, make: Make[PlanT], index: Any, keys: list[Any]) -> None:
        """Takes in what does, as `Best.offer`; the first key: whether its memory is unsure."""
        if len(index):
            self.kept.setdefault(subject(plan), Best(1)).offer(make, index, keys)

    def miss(self, plan: PlanT, make: Make[PlanT], index: Any, keys: list[Any]) -> None:
        """Takes in what does not, while nothing of its device and stack does."""
        if subject(plan) not in self.kept:
            self.missed.setdefault(subject(plan), Best(1)).offer(make, index, keys)

    def winners(self) -> tuple[list[Candidate[PlanT]], list[Candidate[PlanT]]]:
        """The best of each, best first; and the nearest misses of those that have none, nearest first."""
        kept = [one for best in self.kept.values() for one in best.winners()]
        missed = [one for key, best in self.missed.items() if key not in self.kept for one in best.winners()]
        return sorted(kept, key=lambda one: one.order), sorted(missed, key=lambda one: one.order)


def subject(plan: Setup) -> tuple[str, str]:
    """Device and stack of a plan."""
    return plan.device.id, plan.stack.id


@dataclass(slots=True)
class Simplest(Generic[PlanT]):
    """The best layout of each degree of model parallelism among those near the best of all.

    `near` is far inside the error of any prediction: whoever finds a simpler layout there gives nothing away.
    """

    near: float
    found: dict[int, Candidate[PlanT]] = field(default_factory=dict)

    def offer(self, make: Make[PlanT], index: Any, key: Any, parallel: Any, best: float) -> None:
        """Takes in the layouts at `index`; key: what they are ranked by; parallel: devices that share one model."""
        within = key <= self._limit(best)
        index, key, parallel = index[within], key[within], parallel[within]
        for degree in sorted({int(one) for one in parallel.tolist()}):  # np.unique would load masked arrays
            places = np.flatnonzero(parallel == degree)
            place = places[np.argmin(key[places])]
            held = self.found.get(degree)
            if held is None or float(key[place]) < held.key[0]:
                self.found[degree] = make(int(index[place]), (float(key[place]),))

    def than(self, winner: Candidate[PlanT]) -> Candidate[PlanT] | None:
        """The one of the least model parallelism that is near the winner, where it has less than that."""
        limit = self._limit(winner.key[0])
        near = [degree for degree, one in self.found.items() if one.key[0] <= limit]
        degree = min(near, default=None)
        layout = winner.layout
        if degree is None or degree >= layout.tp * layout.pp * layout.cp:
            return None
        return self.found[degree]

    def _limit(self, best: float) -> float:
        return best + abs(best) * self.near


def first(keys: list[Any], count: int) -> Any:
    """Places of the `count` smallest by the keys in turn; where the last are equal in all keys, any of them.

    >>> sorted(first([np.array([3.0, 1.0, 2.0, 1.0])], 2).tolist())
    [1, 3]
    """
    places = np.arange(len(keys[0]))
    sure: list[Any] = []
    for key in keys:
        room = count - sum(len(part) for part in sure)
        if len(places) <= room:
            break
        values = key[places]
        cut = np.partition(values, room - 1)[room - 1]
        sure.append(places[values < cut])
        places = places[values == cut]
    room = count - sum(len(part) for part in sure)
    return np.concatenate([*sure, places[: max(0, room)]])


@dataclass(slots=True)
class Front(Generic[PlanT]):
    """Candidates that no other one beats in both of two objectives."""

    found: list[Candidate[PlanT]] = field(default_factory=list)

    def offer(self, make: Make[PlanT], index: Any, a: Any, b: Any) -> None:
        """Takes in the layouts at `index` with their values in both objectives."""
        fresh = [make(int(index[i]), (float(a[i]), float(b[i]))) for i in front(a, b)]
        together = sorted([*self.found, *fresh], key=lambda one: one.order)
        self.found = []
        for one in together:
            least = self.found[-1].key[1] if self.found else np.inf
            if one.key[1] < least - abs(least) * 10.0**-DIGITS or not self.found:
                self.found.append(one)


def front(a: Any, b: Any) -> Any:
    """Places that are not beaten in both (less is better), in the order of a.

    >>> front(np.array([1.0, 2.0, 3.0]), np.array([5.0, 6.0, 4.0])).tolist()
    [0, 2]
    """
    if not len(a):
        return np.arange(0)
    order = np.lexsort((b, a))
    least = np.minimum.accumulate(b[order])
    better = np.concatenate([[True], least[1:] < least[:-1]])
    return order[better]
