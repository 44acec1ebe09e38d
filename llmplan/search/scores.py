"""Many layouts in, their memory and time out: the formulas of a single plan, on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmplan.records import dataclass
from llmplan.search.layouts import Layouts, joined
from llmplan.search.rank import Candidate
from llmplan.training.many import on_machines
from llmplan.training.memory import training_memory
from llmplan.training.plan import TrainingPlan
from llmplan.training.step import training_time


@dataclass(frozen=True, slots=True)
class Scores:
    """Estimates of many layouts of one plan; arrays of the layouts' shape, flattened.

    peak: of the fullest device [bytes]; host: of a node [bytes]; step: seconds; fits: the verdict of `estimate`.
    """

    plan: TrainingPlan
    layouts: Layouts
    peak: Any
    host: Any
    step: Any
    fits: Any

    def candidate(self, index: int, key: tuple[float, ...]) -> Candidate[TrainingPlan]:
        """What is at a flat index in the race for what it is ranked by."""
        return Candidate(self.plan, self.layouts.at(index), key)


def evaluate(plan: TrainingPlan, layouts: Layouts) -> Scores:
    """Memory, step time and the verdict of every layout."""
    return evaluate_each([(plan, layouts)])[0]


def evaluate_each(asked: Sequence[tuple[TrainingPlan, Layouts]]) -> list[Scores]:
    """The same of layouts of several plans that differ in what they run on, of one kind, all at once.

    What goes with the degrees is the same for all of them, or runs along the rows.
    """
    whole, sizes = joined([layouts for _, layouts in asked])
    many = on_machines([plan for plan, _ in asked], np.repeat(np.arange(len(asked)), sizes)).with_layout(whole)
    memory = training_memory(many)
    figures = memory.peak_bytes, memory.host_bytes, training_time(many).step_seconds
    ends = np.cumsum(sizes)[:-1]
    parts = zip(*(np.split(np.broadcast_to(one, whole.shape), ends, axis=-1) for one in figures), strict=True)
    return [
        Scores(plan, layouts, peak := own[0].reshape(-1), own[1], own[2].reshape(-1), peak <= plan.usable_bytes)
        for (plan, layouts), own in zip(asked, parts, strict=True)
    ]
