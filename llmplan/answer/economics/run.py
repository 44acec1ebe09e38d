"""The whole run: how many steps, how long, and with interruptions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmplan.formulas.numeric import real
from llmplan.software.band import Interval
from llmplan.training.flow import step_tokens

if TYPE_CHECKING:
    from llmplan.training.estimate import TrainingEstimate
    from llmplan.training.plan import TrainingPlan


@dataclass(frozen=True, slots=True)
class Run:
    """A run from its first step to its last.

    tokens, steps [1]; work: time of its steps alone [s]; wall: with interruptions, checkpoints and waiting for data, as
    far as they are known [s]; device_seconds: devices x wall [s].
    """

    tokens: float
    steps: float
    work: Interval
    wall: Interval
    device_seconds: float


def run_tokens(plan: TrainingPlan) -> float | None:
    """Tokens of the run, from `tokens`, `steps` or `epochs` [1]; None where its length was not said."""
    said, workload = plan.options, plan.workload
    if workload.tokens is not None:
        return workload.tokens
    if said.steps is not None:
        return real(said.steps) * step_tokens(plan)
    if said.epochs is not None and said.dataset_tokens is not None:
        return real(said.epochs) * real(said.dataset_tokens)
    return None


def run_of(answer: TrainingEstimate, tokens: float, goodput: float | None, wait: float = 1.0) -> Run:
    """The run of so many tokens.

    goodput: share of the wall time that becomes progress, None = not known [1]; wait: by which reading data lengthens
    the steps [1].
    """
    rate, share = answer.tokens_per_second, (1.0 if goodput is None else goodput) / wait
    work = Interval(tokens / rate.value, tokens / rate.high, tokens / rate.low)
    wall = Interval(work.value / share, work.low / share, work.high / share)
    steps = real(math.ceil(tokens / step_tokens(answer.plan)))
    return Run(tokens, steps, work, wall, wall.value * answer.plan.devices)
