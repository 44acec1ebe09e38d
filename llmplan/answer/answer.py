"""The answer to a plan of either kind: training or serving."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from llmplan.training.estimate import TrainingEstimate, estimate_run

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog
    from llmplan.serving.estimate import ServingEstimate
    from llmplan.setup.plan import Plan

    Estimate: TypeAlias = TrainingEstimate | ServingEstimate


def answer_plan(plan: Plan, catalog: Catalog) -> Estimate:
    """Estimates a plan, whatever its workload."""
    if plan.serving is None:
        return estimate_run(plan, catalog)
    from llmplan.answer.economics.serving import with_economics
    from llmplan.serving.estimate import estimate_serving

    return with_economics(estimate_serving(plan), catalog)
