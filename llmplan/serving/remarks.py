"""Warnings about a deployment that its plan earns, whatever its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmplan.serving.plan import ServingPlan
from llmplan.setup.checks import common_remarks, stack_remarks
from llmplan.setup.codes import warning

if TYPE_CHECKING:
    from llmplan.setup.plan import PlanWarning


def plan_remarks(plan: ServingPlan) -> Iterator[PlanWarning]:
    """What is allowed and should be known before any number is."""
    model, work = plan.model, plan.workload
    yield from common_remarks(plan)
    length = work.input_tokens + (work.output_tokens if model.architecture == "decoder" else 0.0)
    if plan.sound is not None and model.sound is not None and model.sound.rule.inside:
        length = work.output_tokens  # the encoder has positions of its own
    if model.max_context is not None and length > model.max_context:
        yield warning("LP003", seq_len=f"{length:g}", limit=model.max_context, model=model.name)
    yield from stack_remarks(plan)
