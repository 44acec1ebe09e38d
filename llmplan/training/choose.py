"""A layout where none is given: the fastest of a few that surely fit, and of those alike the simplest.

`llmplan fit` searches every layout; this looks where most of its winners stand, at the cost of a few milliseconds:
tp in powers of two within the scale-up domain, plain stages, the stack's way to shard before the others it has, the
default micro-batch before smaller ones, and no more recomputation than memory asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias

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
    from llmplan.vocabulary import Recompute

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


Again: TypeAlias = "tuple[Recompute, int | None]"
"""`recompute` and `recompute_layers` of a layout."""


@dataclass(frozen=True, slots=True)
class Rungs:
    """Plans that differ in nothing but what they compute again, the least first; plan: any of them."""

    plan: TrainingPlan
    again: Sequence[Again]

    def at(self, rung: int) -> TrainingPlan:
        """The plan that computes so much again."""
        layout, (recompute, layers) = self.plan.layout, self.again[rung]
        if layout.recompute == recompute and layout.recompute_layers == layers:
            return self.plan
        return self.plan.with_layout(replace(layout, recompute=recompute, recompute_layers=layers))


OpenPlan: TypeAlias = "tuple[Rungs, int]"
"""Plans that are open, and which of them."""


@dataclass(frozen=True, slots=True)
class LayoutEvaluator:
    """How open plans are worked out: one when it is asked for, as here, or all of many requests beforehand.

    peak: bytes of the fullest device, with their band; seconds: of a step of so many sequences.
    """

    peak: Callable[[OpenPlan], Interval]
    seconds: Callable[[OpenPlan, int], float]


def peak_of(plan: TrainingPlan) -> Interval:
    """Bytes of the fullest device with their band, of every layout of the plan."""
    return plan.interval("peak_bytes", real(training_memory(plan).peak_bytes))


def _peak(one: OpenPlan) -> Interval:
    rungs, rung = one
    return peak_of(rungs.at(rung))


def _seconds(one: OpenPlan, batch: int) -> float:
    rungs, rung = one
    plan = rungs.at(rung)
    work = replace(plan.workload, global_batch=batch)
    return real(training_time(replace(plan, workload=work)).step_seconds)


ONE_BY_ONE = LayoutEvaluator(_peak, _seconds)


def first_that_fits(
    plans: Iterable[Rungs], by: LayoutEvaluator = ONE_BY_ONE, *, surely: bool = True
) -> tuple[TrainingPlan, bool]:
    """The first plan whose whole band fits, else whose prediction fits, else that misses by least; and whether it fits.

    surely: False where the first whose prediction fits is taken at once. Raises ValueError where there are no plans.
    """
    found = _Verdicts(by)
    for one in _every(plans):
        if found.offer(one) == "fits" or (found.likely and not surely):
            break
    return found.first()


def fastest_that_fits(
    plans: Iterable[Rungs], batch: int, by: LayoutEvaluator = ONE_BY_ONE
) -> tuple[TrainingPlan, bool]:
    """The fastest plan whose whole band fits, else whose prediction does, else the nearest miss; and whether it fits.

    plans: by pp, tp, zero and micro-batch in the order of preference;
    batch: sequences a step that all are timed with [1]. Stages save memory at the price of a bubble: once the best
    computes nothing twice and is sharded as the stack does, more of them end at the first number that is no better.
    Raises ValueError where there are no plans.
    """
    found = _Verdicts(by)
    best: tuple[float, OpenPlan] | None = None
    for _, stage in groupby(plans, key=lambda rungs: rungs.plan.layout.pp):
        level = _Verdicts(by)
        for _, group in groupby(stage, key=lambda rungs: rungs.plan.layout.tp):
            _offer(level, group)
        found.add(level)
        if level.sure:
            fastest = _fastest(level.sure, batch, by)
            if best is None or fastest[0] < best[0] * (1 - NEAR):
                best = fastest
            elif _eased(best[1]):
                break
    if best is None and found.likely:
        best = _fastest(found.likely, batch, by)
    if best is None:
        return found.first()
    rungs, rung = best[1]
    return rungs.at(rung), True


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


def _every(plans: Iterable[Rungs]) -> Iterator[OpenPlan]:
    """Every plan, in order."""
    return ((rungs, rung) for rungs in plans for rung in range(len(rungs.again)))


@dataclass(slots=True)
class _Verdicts:
    """Plans for one kind of device by verdict, as they were met; nearest: what misses by least of those that do not
    fit; usable: memory of the device [bytes]."""

    by: LayoutEvaluator
    sure: list[OpenPlan] = field(default_factory=list)
    likely: list[OpenPlan] = field(default_factory=list)
    nearest: OpenPlan | None = None
    least: float = float("inf")
    usable: float | None = None

    def offer(self, one: OpenPlan) -> str:
        """Takes the plan in, and says its verdict."""
        if self.usable is None:
            self.usable = one[0].plan.usable_bytes
        peak, usable = self.by.peak(one), self.usable
        found = verdict(peak, usable)
        if found == "fits":
            self.sure.append(one)
        elif peak.value <= usable:
            self.likely.append(one)
        if peak.value < self.least:
            self.nearest, self.least = one, peak.value
        return found

    def first(self) -> tuple[TrainingPlan, bool]:
        """The first that surely fits, else that does, else what misses by least; and whether it fits."""
        if self.nearest is None:
            raise ValueError("no plan to choose from")
        best = self.sure or self.likely
        rungs, rung = best[0] if best else self.nearest
        return rungs.at(rung), bool(best)

    def add(self, other: _Verdicts) -> None:
        """Takes in what another search met."""
        self.sure += other.sure
        self.likely += other.likely
        if other.least < self.least:
            self.nearest, self.least = other.nearest, other.least


def _offer(found: _Verdicts, plans: Iterable[Rungs]) -> None:
    """Offers plans of one tp and pp until nothing could be gained: the first choice of all that is left open."""
    first = True
    for rungs in plans:
        for one in _every([rungs]):
            if found.offer(one) == "fits":
                if first and one[1] == 0:
                    return
                break
        first = False


def _fastest(plans: Sequence[OpenPlan], batch: int, by: LayoutEvaluator) -> tuple[float, OpenPlan]:
    """Seconds a step of `batch` sequences, and the simplest plan that is as fast to within `NEAR`."""
    timed = [(by.seconds(one, batch), one) for one in plans]
    limit = min(seconds for seconds, _ in timed) * (1 + NEAR)
    return min((one for one in timed if one[0] <= limit), key=lambda one: _complexity(one[1]))


def _eased(one: OpenPlan) -> bool:
    """Whether memory asks the plan for nothing that costs time."""
    rungs, rung = one
    return rungs.again[rung][0] == RECOMPUTE[0] and rungs.plan.layout.zero == rungs.plan.recipe.zero


def _complexity(one: OpenPlan) -> tuple[int, ...]:
    rungs, rung = one
    layout = rungs.plan.layout
    away = int(layout.zero != rungs.plan.recipe.zero)
    return layout.tp * layout.pp, away, RECOMPUTE.index(rungs.again[rung][0]), layout.tp, layout.zero
