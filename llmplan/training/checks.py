"""What must hold between a layout, a batch and a model that is trained: contradictions and remarks, as data."""

from __future__ import annotations

from collections.abc import Iterator

from llmplan.setup.checks import (
    Problem,
    batch_problems,
    common_remarks,
    ends_in_whole_rounds,
    layout_problems,
    stack_remarks,
)
from llmplan.setup.codes import warning
from llmplan.setup.layout import SHARD_ALL
from llmplan.setup.plan import PlanWarning
from llmplan.training.plan import TrainingPlan


def problems_of(plan: TrainingPlan) -> list[Problem]:
    """Why this layout cannot run this model and batch, every reason with its numbers; none where it can."""
    work = plan.workload
    found = [*layout_problems(plan.model, plan.layout), *batch_problems(plan.layout, work.global_batch, work.seq_len)]
    return [*found, *_state_problems(plan)]


def _state_problems(plan: TrainingPlan) -> Iterator[Problem]:
    """Places of states that need another option beside them."""
    layout, work = plan.layout, plan.workload
    if work.offload_parameters and layout.zero < SHARD_ALL:
        yield (
            f"offload_parameters goes with zero {SHARD_ALL}, and zero is {layout.zero}",
            ("offload_parameters", "zero"),
        )
    if work.dp_replicate > 1 and layout.zero == 0:
        yield f"dp_replicate {work.dp_replicate} is about shards, and zero 0 has none", ("dp_replicate", "zero")
    if layout.dp % work.dp_replicate:
        yield f"dp_replicate {work.dp_replicate} does not divide dp {layout.dp}", ("dp_replicate", "devices")
    whole = layout.dp * layout.micro_batch
    if work.optimizer_in_backward and work.global_batch > whole:
        message = (
            f"optimizer_in_backward keeps no gradients to add up: global_batch {work.global_batch} is more than one "
            f"micro-batch a step (dp {layout.dp} x micro_batch {layout.micro_batch} = {whole})"
        )
        yield message, ("optimizer_in_backward", "global_batch")


def remarks(plan: TrainingPlan) -> tuple[PlanWarning, ...]:
    """What is allowed and should be known."""
    return (*common_remarks(plan), *_schedule_remarks(plan), *_length_remarks(plan), *stack_remarks(plan))


def _schedule_remarks(plan: TrainingPlan) -> Iterator[PlanWarning]:
    layout, model = plan.layout, plan.model
    if layout.pp == 1:
        if layout.vp > 1:
            yield warning("LP006", vp=layout.vp)
        return
    stages = layout.pp * layout.vp
    if model.layer_count % stages:
        yield warning("LP002", layers=model.layer_count, stages=stages, pp=layout.pp, vp=layout.vp)
    micro_batches = plan.workload.global_batch // (layout.dp * layout.micro_batch)
    if micro_batches < layout.pp:
        yield warning("LP008", micro_batches=micro_batches, pp=layout.pp)
    elif not ends_in_whole_rounds(micro_batches, layout.pp, layout.vp):
        yield warning("LP007", micro_batches=micro_batches, pp=layout.pp, vp=layout.vp)


def _length_remarks(plan: TrainingPlan) -> Iterator[PlanWarning]:
    limit, seq_len = plan.model.max_context, plan.workload.seq_len
    if limit is not None and seq_len > limit:
        # a table of learned positions has at least one row a position
        learned = plan.model.position_parameters >= limit * plan.model.hidden
        yield warning("LP004" if learned else "LP003", seq_len=seq_len, limit=limit, model=plan.model.name)
