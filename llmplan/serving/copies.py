"""How many copies of one replica a request rate and its targets need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llmplan.formulas.numeric import power, real
from llmplan.formulas.queueing import replicas
from llmplan.records import replace
from llmplan.serving.iteration import replica
from llmplan.serving.loads import respond
from llmplan.serving.pools import pools_of, split
from llmplan.serving.targets import figures, missed, targets, wants_percentiles

if TYPE_CHECKING:
    from llmplan.serving.plan import ServingPlan

LOADED = 0.9
"""Share of a replica's capacity to which copies are loaded: a tenth is left for what the capacity may be off."""
MOST_SPREAD = 10_000
"""Times the copies that the rate alone needs at which the search ends: each is idle then [1]."""


def copies_needed(plan: ServingPlan, places: float, most: float, enough_are: int | None = None) -> int | None:
    """The fewest copies of the plan's replica that serve its request rate within its targets; 0 where none do, None
    without a rate.

    Of two pools, they are copies of the one that writes, and the one that reads grows with it. places: sequences that
    fit in one [1]; most: requests a second of one with all of them taken [1/s]; enough_are: a number of which it is
    known, if any [1].
    """
    work, policy = plan.workload, plan.engine.policy
    if work.request_rate is None:
        return None
    least = int(replicas(work.request_rate, most * LOADED))
    if not targets(work):
        return least
    at, opened = replica(plan), replace(work, load="open")
    pools = pools_of(plan, at)

    def answer(copies: Any) -> Any:
        if pools is not None:
            reads = pools.prefill_copies / pools.copies * copies
            return split(replace(pools, copies=copies, prefill_copies=reads), opened, policy, places)
        return respond(at, opened, policy, copies, places)  # the others share its front end

    if wants_percentiles(work):
        from llmplan.serving.percentiles import AT_ONCE, keep_targets

        def keep(numbers: Any) -> Any:
            return keep_targets(pools or at, opened, policy, places, most, numbers, answer)

        return _narrowed(keep, least, AT_ONCE, enough_are)

    def enough(copies: int) -> bool:
        found = figures(answer(real(copies)), work)
        return not list(missed(work, {name: real(value) for name, value in found.items()}))

    return _halved(enough, least, enough_are)


def _halved(enough: Callable[[int], bool], least: int, high: int | None) -> int:
    """The fewest that are enough, `least` or more: more copies answer sooner, so that the way there is halved.

    high: that is known to be enough, if any.
    """
    if enough(least):
        return least
    low = least
    if high is None:
        if not enough(least * MOST_SPREAD):
            return 0
        high = 2 * least
        while high < least * MOST_SPREAD and not enough(high):
            low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _narrowed(enough: Callable[[Any], Any], least: int, at_once: int, high: int | None) -> int:
    """The same with several numbers at a time; high: that is known to be enough, if any."""
    import numpy as np

    low = least - 1
    if high is None:
        spread: Any = power(MOST_SPREAD, np.linspace(0.0, 1.0, at_once))
        tried = np.unique((least * spread).round())
        does = enough(tried)
        if not does.any():
            return 0
        first = int(np.argmax(does))
        low, high = int(tried[first - 1]) if first else low, int(tried[first])
    while high - low > 1:
        tried = np.unique(np.linspace(low + 1, high - 1, at_once).round())
        does = enough(tried)
        first = int(np.argmax(does)) if does.any() else len(tried)
        ends = [low, *(int(number) for number in tried), high]
        low, high = ends[first], ends[first + 1]
    return max(high, least)
