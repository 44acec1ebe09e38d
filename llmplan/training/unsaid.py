"""Options of a run that were not said and that no layout tells: what the other choice would change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmplan.formulas.numeric import real
from llmplan.records import dataclass
from llmplan.training.estimate import TrainingEstimate
from llmplan.training.step import training_time

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


def unsaid_options(found: TrainingEstimate) -> tuple[str, ...]:
    """A sentence for each option that was not said and that would change the step's time by `TELLING` or more."""
    plan, step, parts = found.plan, found.step.value, found.time.parts()
    sentences = []
    for option in OPTIONS:
        if getattr(plan.workload, option.word) is not None or real(parts[option.part]) < TELLING * step / 2.0:
            continue
        changes = []
        for value, name in option.values:
            other = replace(plan, workload=plan.workload.model_copy(update={option.word: value}))
            change = real(training_time(other).step_seconds) / step - 1.0
            changes += [(name, change)] if abs(change) >= TELLING else []
        if changes:
            told = ", ".join(f"{change:+.0%} if {name}" for name, change in changes)
            sentences.append(f"{option.word}: {option.usual}; the step takes {told}")
    return tuple(sentences)
