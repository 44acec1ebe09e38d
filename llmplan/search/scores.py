"""Many layouts in, their memory and time out: the formulas of a single plan, on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmplan.records import dataclass
from llmplan.search.layouts import Layouts
from llmplan.setup.layout import Layout
from llmplan.training.memory import Memory, training_memory
from llmplan.training.plan import TrainingPlan
from llmplan.training.step import StepTime, training_time


@dataclass(frozen=True, slots=True)
class Scores:
    """Estimates of many layouts of one plan; arrays of the layouts' shape, flattened.

    peak: of the fullest device [bytes]; host: of a node [bytes]; step: seconds; fits: the verdict of `estimate`.
    """

    plan: TrainingPlan
    layouts: Layouts
    memory: Memory
    time: StepTime
    peak: Any
    host: Any
    step: Any
    fits: Any

    def make(self, index: int) -> tuple[TrainingPlan, Layout]:
        """TrainingPlan and layout at a flat index."""
        return self.plan, self.layouts.at(index)


def evaluate(plan: TrainingPlan, layouts: Layouts) -> Scores:
    """Memory with its parts, step time with its parts and the verdict of every layout."""
    many, shape = plan.with_layout(layouts), layouts.shape
    memory, time = training_memory(many), training_time(many)

    def flat(values: Any) -> Any:
        return np.broadcast_to(values, shape).reshape(-1)

    peak = flat(memory.peak_bytes)
    usable = plan.usable_bytes
    return Scores(plan, layouts, memory, time, peak, memory.host_bytes, flat(time.step_seconds), peak <= usable)
