"""The whole run: how many steps, how long, and with interruptions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from llmplan.answer.economics.reliability import Reliability
from llmplan.formulas.numeric import real
from llmplan.records import dataclass
from llmplan.si import DAY, HOUR
from llmplan.software.band import Interval
from llmplan.training.flow import step_tokens
from llmplan.vocabulary import Amount

if TYPE_CHECKING:
    from llmplan.training.estimate import TrainingEstimate
    from llmplan.training.plan import TrainingPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnswer:
    """A run from its first step to its last."""

    tokens: Amount
    steps: Amount
    seconds: Interval
    """Its steps alone."""
    wall_seconds: Interval
    """With checkpoints, interruptions and waiting for data, as far as they are known."""
    days: Amount
    """Of wall_seconds."""
    device_hours: Amount
    """Devices times wall_seconds."""
    interruptions: Amount
    """Expected in the run."""
    lost_seconds: Amount | None = None
    """Of wall_seconds, by checkpoints, interruptions and waiting; left out where it is not known."""
    reliability: Reliability


def run_tokens(plan: TrainingPlan) -> float | None:
    """Tokens of the run, from `tokens`, `steps` or `epochs` [1]; None if its length is not given."""
    options, workload = plan.options, plan.workload
    if workload.tokens is not None:
        return workload.tokens
    if options.steps is not None:
        return real(options.steps) * step_tokens(plan)
    if options.epochs is not None and options.dataset_tokens is not None:
        return real(options.epochs) * real(options.dataset_tokens)
    return None


def run_of(found: TrainingEstimate, tokens: float, reliability: Reliability, wait: float = 1.0) -> RunAnswer:
    """The run of so many tokens; wait: by which reading data lengthens the steps [1]."""
    rate, goodput = found.tokens_per_second, reliability.goodput
    share = (goodput if goodput is not None and reliability.advances else 1.0) / wait
    work = Interval(tokens / rate.value, tokens / rate.high, tokens / rate.low)
    wall = Interval(work.value / share, work.low / share, work.high / share)
    return RunAnswer(
        tokens=tokens, steps=real(math.ceil(tokens / step_tokens(found.plan))), seconds=work, wall_seconds=wall,
        days=wall.value / DAY, device_hours=wall.value * found.plan.devices / HOUR,
        interruptions=wall.value / reliability.interval_seconds,
        lost_seconds=None if goodput is None else wall.value - work.value, reliability=reliability,
    )  # fmt: skip
