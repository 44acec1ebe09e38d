"""What searches of layouts and of deployments have in common: what they count and keep, and what comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Generic, Protocol, TypeVar

from llmplan.records import dataclass
from llmplan.search.rank import Best, Candidate, EachBest, Front, PlanT, subject
from llmplan.software.band import Verdict

MISSES = 3  # shown where nothing is found
MEMORY, HOST = "memory", "host-memory"
"""Reasons that only the estimate gives, beside those of `search.space.REASONS` and the names of limits."""


@dataclass(slots=True)
class Counts:
    """What a search went through, in layouts or deployments: considered >= legal >= fitting >= kept."""

    considered: int = 0
    """All combinations of the values that were tried."""
    legal: int = 0
    """Those that the model, the devices, the batch and the schedule allow; each is estimated whole."""
    fitting: int = 0
    """Those whose predicted peak is within what is usable."""
    kept: int = 0
    """Those that keep every limit too."""
    removed: Counter[str] = field(default_factory=Counter)
    """How many each reason removed; one counts for the first that holds."""


class Estimated(Protocol):
    """What an estimate of a training and of a deployment have in common here."""

    @property
    def verdict(self) -> Verdict:
        """Whether it fits."""


EstimateT = TypeVar("EstimateT", bound=Estimated)


@dataclass(frozen=True, slots=True)
class SearchFound(Generic[EstimateT]):
    """What a search found.

    best: what was asked for: those whose whole memory band fits before marginal ones, and of each the best first;
    marginal: what would be first if its memory were sure, where it is marginal and the first of `best` is not;
    pareto: the front of two objectives in the order of the first;
    misses: where nothing was found, those that miss by least, the best first;
    simple: a layout of less model parallelism than the best that is as good to within `NEAR`, if there is one, and the
    objective is one `OF_SPEED`;
    each: the best of each device and stack that was asked about, best first; behind: of those that have none, what
    misses by least.
    """

    best: tuple[EstimateT, ...]
    marginal: EstimateT | None
    pareto: tuple[EstimateT, ...]
    misses: tuple[EstimateT, ...]
    counts: Counts
    simple: EstimateT | None = None
    each: tuple[EstimateT, ...] = ()
    behind: tuple[EstimateT, ...] = ()


def in_order(
    sure: Sequence[EstimateT], fitting: Sequence[EstimateT], top: int
) -> tuple[tuple[EstimateT, ...], EstimateT | None]:
    """The first `top` of what surely fits and then of what fits, and the first of all where that is marginal.

    A faster layout that may not start is worth less than one that does.
    """
    unsure = [one for one in fitting if one.verdict != "fits"]
    ahead = bool(sure) and bool(fitting) and fitting[0].verdict != "fits"
    return (*sure, *unsure)[:top], fitting[0] if ahead else None


def several(bases: Sequence[PlanT]) -> bool:
    """Whether devices or stacks are to be chosen from."""
    return len({subject(base) for base in bases}) > 1


@dataclass(slots=True)
class Collected(Generic[PlanT]):
    """What a search on its way has found: the first `top` of what fits and does, of what surely fits, what misses by
    least while there is nothing; the best of each device and stack; the front of two objectives."""

    top: int
    best: Best[PlanT]
    sure: Best[PlanT]
    misses: Best[PlanT] = field(default_factory=lambda: Best(MISSES))
    each: EachBest[PlanT] = field(default_factory=EachBest)
    front: Front[PlanT] = field(default_factory=Front)
    counts: Counts = field(default_factory=Counts)

    def first(self) -> Candidate[PlanT] | None:
        """What is put first, or else what misses by least; None where nothing is legal."""
        return next(iter(self.sure.winners() or self.best.winners() or self.misses.winners()), None)

    def found(
        self, estimates: Callable[[Sequence[Candidate[PlanT]]], tuple[EstimateT, ...]], *, several: bool,
        simple: Candidate[PlanT] | None = None,
    ) -> SearchFound[EstimateT]:  # fmt: skip
        """Everything that was kept, estimated alone and to the last digit."""
        self.counts.removed = +self.counts.removed  # reasons that removed something
        best, marginal = in_order(estimates(self.sure.winners()), estimates(self.best.winners()), self.top)
        each, behind = (estimates(some) for some in self.each.winners()) if several else ((), ())
        return SearchFound(
            best, marginal, estimates(self.front.found), () if best else estimates(self.misses.winners()), self.counts,
            None if simple is None else estimates([simple])[0], each, behind,
        )  # fmt: skip
