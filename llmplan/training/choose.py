"""A simple layout where none is given: the fewest stages, the least recomputation, the smallest tp that fit.

`candidates` lists layouts in that order; `first_that_fits` takes the first whose memory fits. Speed is
not compared here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llmplan.formulas.numeric import real
from llmplan.software.band import verdict
from llmplan.training.memory import training_memory
from llmplan.training.plan import TrainingPlan


def candidates(
    devices: int, domain: int, layers: int, tp: int | None, pp: int | None, recompute: tuple[str, ...]
) -> Iterator[tuple[int, int, str]]:
    """(tp, pp, recompute) to try, in order; devices: what tp x pp has to divide; domain: of the scale-up link [1].

    The fewest stages first, then the least recomputation, then the smallest tp: inside the domain tensor
    parallelism costs less than computing twice, and both cost less than a longer pipeline. tp is tried in
    powers of two within the domain; a degree that is given is kept.
    """
    tps = [tp] if tp is not None else [n for n in _powers(devices) if n <= domain]
    pps = [pp] if pp is not None else [n for n in _divisors(devices) if n <= layers]
    return ((t, p, word) for p in pps for word in recompute for t in tps if devices % (t * p) == 0)


def _powers(limit: int) -> list[int]:
    return [1 << bit for bit in range(limit.bit_length()) if 1 << bit <= limit]


def _divisors(number: int) -> list[int]:
    small = [n for n in range(1, int(number**0.5) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})


def first_that_fits(plans: Iterable[TrainingPlan]) -> tuple[TrainingPlan, bool]:
    """The first plan whose whole band fits, else whose prediction fits, else that misses by least; and whether it fits.

    Raises ValueError where there are no plans.
    """
    likely: TrainingPlan | None = None
    nearest: TrainingPlan | None = None
    least = float("inf")
    for plan in plans:
        peak = plan.interval("peak_bytes", real(training_memory(plan).peak_bytes))
        usable = plan.usable_bytes
        if verdict(peak, usable) == "fits":
            return plan, True
        if likely is None and peak.value <= usable:
            likely = plan
        if peak.value < least:
            nearest, least = plan, peak.value
    if nearest is None:
        raise ValueError("no plan to choose from")
    return (likely, True) if likely is not None else (nearest, False)
