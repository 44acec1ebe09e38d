"""Options of a run that were not given and that no layout tells: what the other choice would change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmplan.formulas.numeric import real
from llmplan.records import dataclass, replace
from llmplan.training.estimate import TrainingEstimate
from llmplan.training.plan import TrainingPlan
from llmplan.training.step import training_time

TELLING = 0.03
"""Relative change of a step's time from which on an option is reported: less is inside every band [1]."""


@dataclass(frozen=True, slots=True)
class UnstatedOption:
    """An option, its values with what each is called, what is assumed otherwise, and the part of a step that they
    move."""

    name: str
    values: tuple[tuple[Any, str], ...]
    usual: str
    part: str


OPTIONS = (
    UnstatedOption(
        "tp_comm_overlap", ((True, "on"), (False, "off")), "as in the stack's measured runs", "tensor_parallel_seconds"
    ),
    UnstatedOption(
        "gradient_precision", (("bf16", "bf16"), ("fp32", "fp32")), "the stack's default", "data_parallel_seconds"
    ),
)  # fmt: skip


def may_matter(found: TrainingEstimate, option: UnstatedOption) -> bool:
    """Whether an option was not given and moves a part of the step that is large enough."""
    part = real(found.time.parts()[option.part])
    return getattr(found.plan.workload, option.name) is None and part >= TELLING * found.step.value / 2.0


def steps_with(plan: TrainingPlan, option: UnstatedOption) -> list[Any]:
    """Steps with each value of an option, of one plan or of many in arrays [s]."""
    works = [replace(plan.workload, **{option.name: value}) for value, _ in option.values]
    return [real(training_time(replace(plan, workload=work)).step_seconds) for work in works]


def unstated_options(found: TrainingEstimate, steps: Mapping[str, Sequence[float]] | None = None) -> tuple[str, ...]:
    """A sentence for each option that was not given and that would change the step's time by `TELLING` or more.

    steps: `steps_with` each option that `may_matter`, by its name, where these are at hand.
    """
    notes: dict[UnstatedOption, list[str]] = {}
    for option in (one for one in OPTIONS if may_matter(found, one)):
        others = steps_with(found.plan, option) if steps is None else steps[option.name]
        for (_, called), step in zip(option.values, others, strict=True):
            change = step / found.step.value - 1.0
            if abs(change) >= TELLING:
                notes.setdefault(option, []).append(f"{change:+.0%} if {called}")
    return tuple(
        f"{option.name}: {option.usual}; the step takes {', '.join(changes)}" for option, changes in notes.items()
    )
