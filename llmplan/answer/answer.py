"""The answer to a plan of either kind: training or serving."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from llmplan.serving.plan import ServingPlan
from llmplan.training.estimate import TrainingEstimate, estimate
from llmplan.training.plan import TrainingPlan

if TYPE_CHECKING:
    from llmplan.answer.resolve import Plan
    from llmplan.catalog.catalog import Catalog
    from llmplan.serving.estimate import ServingEstimate

    Estimate: TypeAlias = TrainingEstimate | ServingEstimate


def answer_plan(plan: Plan, catalog: Catalog) -> Estimate:
    """Estimates a plan, whatever its workload."""
    if isinstance(plan, ServingPlan):
        return answer_serving(plan, catalog)
    return answer_training(plan, catalog)


def answer_serving(plan: ServingPlan, catalog: Catalog) -> ServingEstimate:
    """As `estimate_serving`, with what its tokens cost."""
    from llmplan.answer.economics.serving import with_economics
    from llmplan.serving.estimate import estimate_serving

    return with_economics(estimate_serving(plan), catalog)


def answer_training(plan: TrainingPlan, catalog: Catalog) -> TrainingEstimate:
    """As `estimate`, and where the length of the run was said, with what the run takes."""
    answer, said = estimate(plan), plan.options
    if said.tokens is None and said.steps is None and said.epochs is None:
        return answer
    from llmplan.answer.economics.summary import with_run

    return with_run(answer, catalog)
