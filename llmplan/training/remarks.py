"""Warnings about an answer, which only the numbers can give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmplan.formatting import binary
from llmplan.setup.checks import marginal
from llmplan.setup.codes import warning

if TYPE_CHECKING:
    from llmplan.setup.plan import PlanWarning
    from llmplan.software.band import Interval
    from llmplan.training.plan import TrainingPlan


def memory_remarks(plan: TrainingPlan, peak: Interval, usable: float, host_bytes: float) -> Iterator[PlanWarning]:
    """That the limit lies inside the band, and that the host's memory does not hold what is moved there.

    peak, usable: of the device [bytes]; host_bytes: of a node [bytes].
    """
    yield from marginal(peak, usable)
    if not plan.host_holds(host_bytes):
        have = binary(plan.cluster.host_memory or 0.0, 3)
        yield warning("LP012", needed=binary(host_bytes, 3), cluster=plan.cluster.id, have=have)
