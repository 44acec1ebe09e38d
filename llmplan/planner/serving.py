"""One serving plan in, one estimate out: what fits, how fast it answers, how much load it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llmplan.formulas.numeric import minimum
from llmplan.formulas.queueing import replicas, utilisation
from llmplan.plan.plan import Plan, PlanWarning
from llmplan.plan.serving import ServingPolicy, ServingVariant, ServingWorkload
from llmplan.planner.estimate import Interval, Verdict, interval
from llmplan.planner.serving_loads import (
    Answer,
    capacity,
    closed_loop,
    decode_step,
    open_arrivals,
    prefill_step,
    prefill_tokens,
    static_batch,
)
from llmplan.planner.serving_memory import ServingMemory, serving_memory
from llmplan.planner.serving_shapes import Shapes
from llmplan.planner.serving_step import Deployment, ServingNumbers, Step, deployment

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num
