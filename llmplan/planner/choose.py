"""A simple layout where none is given: the smallest tp, then pp, that fits, with the least recomputation.

`candidates` lists layouts from the smallest degree of model parallelism upwards; `first_that_fits`
takes the first whose memory fits. Speed is not compared here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llmplan.plan.plan import Plan
from llmplan.planner.estimate import interval, verdict
from llmplan.planner.memory import training_memory


def degrees(devices: int, domain: int, layers: int, tp: int | None, pp: int | None) -> Iterator[tuple[int, int]]:
    """Pairs (tp, pp) to try, in order; devices: what tp x pp has to divide [1].

    First tp in powers of two inside the scale-up domain without a pipeline, then pipelines with as
    much tp as the domain gives (tensor parallelism is the cheaper of the two inside it and the dearer
    outside), then pipelines with less tp. A degree that is given is kept.
    """
    free = [n for n in _powers(devices) if n <= domain]
    tps = [tp] if tp is not None else free
    pps = [pp] if pp is not None else [n for n in _divisors(devices) if n <= layers]
    smallest = pps[:1]
    pairs = [(t, p) for p in smallest for t in tps] + [(t, p) for t in reversed(tps) for p in pps[1:]]
    return ((t, p) for t, p in pairs if devices % (t * p) == 0)


def _powers(limit: int) -> list[int]:
    return [1 << bit for bit in range(limit.bit_length()) if 1 << bit <= limit]


def _divisors(number: int) -> list[int]:
    small = [n for n in range(1, int(number**0.5) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})


def first_that_fits(plans: Iterable[Plan]) -> tuple[Plan, bool]:
    """The first plan whose whole band fits, else whose prediction fits, else that misses by least; and whether it fits.

    Raises ValueError where there are no plans.
    """
    likely: Plan | None = None
    nearest: Plan | None = None
    least = float("inf")
    for plan in plans:
        peak = interval(float(training_memory(plan).peak_bytes), plan, "peak_bytes")
        usable = plan.device.memory.capacity - plan.device.memory.reserved
        if verdict(peak, usable) == "fits":
            return plan, True
        if likely is None and peak.value <= usable:
            likely = plan
        if peak.value < least:
            nearest, least = plan, peak.value
    if nearest is None:
        raise ValueError("no plan to choose from")
    return (likely, True) if likely is not None else (nearest, False)
