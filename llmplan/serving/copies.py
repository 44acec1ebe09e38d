"""How many copies of one replica a request rate and its targets need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import real
from llmplan.formulas.queueing import replicas
from llmplan.serving.loads import respond
from llmplan.serving.targets import figures, missed, targets

if TYPE_CHECKING:
    from llmplan.serving.iteration import Replica
    from llmplan.serving.plan import ServingWorkload
    from llmplan.software.engine import ServingPolicy

LOADED = 0.9
"""Share of a replica's capacity to which copies are loaded: a tenth is left for what the capacity may be off."""
MOST_SPREAD = 10_000
"""Times the copies that the rate alone needs at which the search ends: each is idle then [1]."""


def copies_needed(at: Replica, work: ServingWorkload, policy: ServingPolicy, places: float, most: float) -> int | None:
    """The fewest copies that serve the request rate within the targets; 0 where none do, None without a rate.

    places: sequences that fit in one [1]; most: requests a second of one with all of them taken [1/s]. More copies
    answer sooner, so that what is between a number that is too small and one that is enough is halved.
    """
    if work.request_rate is None:
        return None
    least = int(replicas(work.request_rate, most * LOADED))
    opened = work.model_copy(update={"load": "open"})

    def enough(copies: int) -> bool:
        answer = respond(at, opened, policy, real(copies), places)  # the others share its front end
        return not list(missed(work, {name: real(value) for name, value in figures(answer, work).items()}))

    if not targets(work) or enough(least):
        return least
    if not enough(least * MOST_SPREAD):
        return 0
    low, high = least, 2 * least
    while high < least * MOST_SPREAD and not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
