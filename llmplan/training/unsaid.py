"""Options of a run that were not said and that no layout tells: what the other choice would change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmplan.formulas.numeric import real
from llmplan.records import dataclass, replace
from llmplan.training.estimate import TrainingEstimate
from llmplan.training.plan import TrainingPlan
from llmplan.training.step import training_time

Other = tuple["UnsaidOption", str, float]
"""A choice of an option, what it is called, and the step with it [s]."""
TELLING = 0.03
"""Relative change of a step's time from which on an option is told: less is inside every band [1]."""


@dataclass(frozen=True, slots=True)
class UnsaidOption:
    """A word, its values with what each is called, what stands in for them, and the part of a step that they move."""

    word: str
    values: tuple[tuple[Any, str], ...]
    usual: str
    part: str


OPTIONS = (
    UnsaidOption(
        "tp_comm_overlap", ((True, "on"), (False, "off")), "as in the stack's measured runs", "tensor_parallel_seconds"
    ),
    UnsaidOption(
        "gradient_precision", (("bf16", "bf16"), ("fp32", "fp32")), "the stack's default", "data_parallel_seconds"
    ),
)  # fmt: skip


def other_choices(found: TrainingEstimate) -> list[tuple[UnsaidOption, str, TrainingPlan]]:
    """Every other choice of an option that was not said and may matter: what it is called, and the plan with it."""
    plan, enough, parts = found.plan, TELLING * found.step.value / 2.0, found.time.parts()
    return [
        (option, name, replace(plan, workload=replace(plan.workload, **{option.word: value})))
        for option in OPTIONS
        if getattr(plan.workload, option.word) is None and real(parts[option.part]) >= enough
        for value, name in option.values
    ]


def unsaid_options(found: TrainingEstimate, others: Sequence[Other] | None = None) -> tuple[str, ...]:
    """A sentence for each option that was not said and that would change the step's time by `TELLING` or more.

    others: `other_choices` with their steps, where these are at hand.
    """
    if others is None:
        others = [(option, name, real(training_time(plan).step_seconds)) for option, name, plan in other_choices(found)]
    told: dict[UnsaidOption, list[str]] = {}
    for option, name, step in others:
        change = step / found.step.value - 1.0
        if abs(change) >= TELLING:
            told.setdefault(option, []).append(f"{change:+.0%} if {name}")
    return tuple(
        f"{option.word}: {option.usual}; the step takes {', '.join(changes)}" for option, changes in told.items()
    )
