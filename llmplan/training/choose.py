"""A layout where none is given: the fastest of a few that surely fit, and of those alike the simplest.

`llmplan fit` searches every layout; this looks where most of its winners stand, at the cost of a few milliseconds:
tp in powers of two within the scale-up domain, plain stages, the stack's way to shard before the others it has, the
default micro-batch before smaller ones, and no more recomputation than memory asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from llmplan.formulas.numeric import everywhere, floor, real, where
from llmplan.records import dataclass, replace
from llmplan.setup.layout import RECOMPUTE
from llmplan.software.band import Interval, verdict
from llmplan.training.memory import training_memory
from llmplan.training.plan import TrainingPlan
from llmplan.training.recompute import chunk_layers
from llmplan.training.step import training_time

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

NEAR = 0.02
"""Of the time a token: a fraction of any stack's band. Whoever takes a simpler layout there gives nothing away."""


def degrees(
    devices: int, domain: int, layers: int, tp: int | None, pp: int | None, one: Sequence[str] = ()
) -> Iterator[tuple[int, int]]:
    """(pp, tp) to try, the fewest stages first; devices: what tp x pp has to divide; domain: of the scale-up link [1].

    one: degrees that the stack keeps at 1. A degree that is given is kept.
    """
    tps = [tp] if tp is not None else [1] if "tp" in one else [n for n in _powers(devices) if n <= domain]
    pps = [pp] if pp is not None else [1] if "pp" in one else [n for n in _divisors(devices) if n <= layers]
    return ((p, t) for p in pps for t in tps if devices % (t * p) == 0)


def _powers(limit: int) -> list[int]:
    return [1 << bit for bit in range(limit.bit_length()) if 1 << bit <= limit]


def _divisors(number: int) -> list[int]:
    small = [n for n in range(1, int(number**0.5) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})


@dataclass(frozen=True, slots=True)
class LayoutEvaluator:
    """How open plans are worked out: one when it is asked for, as here, or all of many requests beforehand.

    peak: bytes of the fullest device, with their band; seconds: of a step of so many sequences.
    """

    peak: Callable[[TrainingPlan], Interval]
    seconds: Callable[[TrainingPlan, int], float]


def peak_of(plan: TrainingPlan) -> Interval:
    """Bytes of the fullest device with their band, of every layout of the plan."""
    return plan.interval("peak_bytes", real(training_memory(plan).peak_bytes))


def _seconds(plan: TrainingPlan, batch: int) -> float:
    work = replace(plan.workload, global_batch=batch)
    return real(training_time(replace(plan, workload=work)).step_seconds)


ONE_BY_ONE = LayoutEvaluator(peak_of, _seconds)


def first_that_fits(
    plans: Iterable[TrainingPlan], by: LayoutEvaluator = ONE_BY_ONE, *, surely: bool = True
) -> tuple[TrainingPlan, bool]:
    """The first plan whose whole band fits, else whose prediction fits, else that misses by least; and whether it fits.

    surely: False where the first whose prediction fits is taken at once. Raises ValueError where there are no plans.
    """
    found = _Verdicts(by)
    for plan in plans:
        if found.offer(plan) == "fits" or (found.likely and not surely):
            break
    if found.nearest is None:
        raise ValueError("no plan to choose from")
    best = found.sure or found.likely
    return (best[0], True) if best else (found.nearest, False)


def fastest_that_fits(
    plans: Iterable[TrainingPlan], batch: int, by: LayoutEvaluator = ONE_BY_ONE
) -> tuple[TrainingPlan, bool]:
    """The fastest plan whose whole band fits, else whose prediction does, else the nearest miss; and whether it fits.

    plans: by pp, tp, zero and micro-batch in the order of preference, then by recomputation, the least first;
    batch: sequences a step that all are timed with [1]. Stages save memory at the price of a bubble: once the best
    computes nothing twice and is sharded as the stack does, more of them end at the first number that is no better.
    Raises ValueError where there are no plans.
    """
    found = _Verdicts(by)
    best: tuple[float, TrainingPlan] | None = None
    for _, stage in groupby(plans, key=lambda plan: plan.layout.pp):
        level = _Verdicts(by)
        for _, group in groupby(stage, key=lambda plan: plan.layout.tp):
            _offer(level, group)
        found.add(level)
        if level.sure:
            fastest = _fastest(level.sure, batch, by)
            if best is None or fastest[0] < best[0] * (1 - NEAR):
                best = fastest
            elif _eased(best[1]):
                break
    if best is not None:
        return best[1], True
    if found.likely:
        return _fastest(found.likely, batch, by)[1], True
    if found.nearest is None:
        raise ValueError("no plan to choose from")
    return found.nearest, False


def fewest_layers(plan: TrainingPlan) -> Num:
    """The fewest layers computed again with which the whole band of a plan fits that does with all of them [1].

    By halving, for every layout of the plan: every layer more takes no more memory.
    """
    low: Num = 1.0
    high = chunk_layers(plan)
    while not everywhere(low >= high):
        middle = floor((low + high) / 2)
        again: Any = {"recompute_layers": middle}
        some = plan.with_layout(replace(plan.layout, **again))
        enough = peak_of(some).high <= some.usable_bytes
        low, high = where(enough, low, middle + 1.0), where(enough, middle, high)
    return high


@dataclass(slots=True)
class _Verdicts:
    """Plans by verdict, as they were met; nearest: what misses by least of those that do not fit."""

    by: LayoutEvaluator
    sure: list[TrainingPlan] = field(default_factory=list)
    likely: list[TrainingPlan] = field(default_factory=list)
    nearest: TrainingPlan | None = None
    least: float = float("inf")

    def offer(self, plan: TrainingPlan) -> str:
        """Takes the plan in, and says its verdict."""
        peak, usable = self.by.peak(plan), plan.usable_bytes
        found = verdict(peak, usable)
        if found == "fits":
            self.sure.append(plan)
        elif peak.value <= usable:
            self.likely.append(plan)
        if peak.value < self.least:
            self.nearest, self.least = plan, peak.value
        return found

    def add(self, other: _Verdicts) -> None:
        """Takes in what another search met."""
        self.sure += other.sure
        self.likely += other.likely
        if other.least < self.least:
            self.nearest, self.least = other.nearest, other.least


def _offer(found: _Verdicts, plans: Iterable[TrainingPlan]) -> None:
    """Offers plans of one tp and pp until nothing could be gained: the first choice of all that is left open."""
    first = True
    for _, rungs in groupby(plans, key=lambda plan: (plan.layout.zero, plan.layout.micro_batch)):
        for step, plan in enumerate(rungs):
            if found.offer(plan) == "fits":
                if first and step == 0:
                    return
                break
        first = False


def _fastest(plans: Sequence[TrainingPlan], batch: int, by: LayoutEvaluator) -> tuple[float, TrainingPlan]:
    """Seconds a step of `batch` sequences, and the simplest plan that is as fast to within `NEAR`."""
    timed = [(by.seconds(plan, batch), plan) for plan in plans]
    limit = min(seconds for seconds, _ in timed) * (1 + NEAR)
    return min((one for one in timed if one[0] <= limit), key=lambda one: _complexity(one[1]))


def _eased(plan: TrainingPlan) -> bool:
    """Whether memory asks the plan for nothing that costs time."""
    return plan.layout.recompute == RECOMPUTE[0] and plan.layout.zero == plan.recipe.zero


def _complexity(plan: TrainingPlan) -> tuple[int, ...]:
    layout = plan.layout
    away = int(layout.zero != plan.recipe.zero)
    return layout.tp * layout.pp, away, RECOMPUTE.index(layout.recompute), layout.tp, layout.zero
