"""Warnings about a deployment: what its plan says, and what only the numbers can."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmplan.formatting import binary
from llmplan.formulas.numeric import real
from llmplan.records import replace
from llmplan.serving.host_layers import host_of, why_not
from llmplan.serving.loads import BUSIEST
from llmplan.serving.memory import ServingMemory, serving_memory
from llmplan.serving.plan import ServingPlan
from llmplan.setup.checks import common_remarks, marginal, stack_remarks
from llmplan.setup.codes import warning

if TYPE_CHECKING:
    from llmplan.serving.estimate import ServingEstimate
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


def number_remarks(found: ServingEstimate) -> Iterator[PlanWarning]:
    """What the numbers say that should be known."""
    work = found.plan.workload
    yield from marginal(found.needed, found.usable_bytes)
    have, away = found.plan.cluster.host_memory, real(found.memory.host_bytes)
    if have is not None and away > have:
        yield warning("LP012", needed=binary(away, 3), cluster=found.plan.cluster.id, have=binary(have, 3))
    if not found.fits and (most := _most_layers(found)) is not None:
        yield warning("LP027", layers=most, of=found.plan.model.layer_count + 1)
    if found.fits and found.queued > 0:
        yield warning("LP020", resident=round(found.resident), queued=round(found.queued))
    if found.fits and not found.stable:
        yield warning("LP021", rate=f"{work.request_rate:g}", capacity=f"{found.capacity:.3g}")
    elif found.fits and work.request_rate is not None and found.load > BUSIEST:
        yield warning("LP022", load=f"{found.load:.0%}")
    for name, value, limit in found.missed:
        if value < float("inf"):  # else LP021 has said it
            yield warning("LP023", name=name, value=f"{value:.3g}", limit=f"{limit:g}")
    longest = real(found.memory.longest)
    if found.fits and work.input_tokens + work.output_tokens > longest:
        yield warning("LP024", longest=round(longest))
    context, wants_it = found.plan.model.max_context, found.plan.engine.policy.whole_context
    if found.fits and wants_it and work.max_model_len is None and context is not None and longest < context:
        yield warning("LP026", stack=found.plan.stack.name, context=context, longest=int(longest))
    yield from _prefix_remark(found)


def _prefix_remark(found: ServingEstimate) -> Iterator[PlanWarning]:
    """Whether the prefixes that are counted on have a place until they are asked for."""
    work, room = found.plan.workload, found.prefix_room
    if room is None or not found.fits:
        return
    each = work.input_tokens - work.computed_tokens
    wanted = found.sequences if work.turns is not None else 1.0
    if room < wanted * each:
        yield warning("LP025", room=f"{room:,.0f}", wanted=f"{wanted:,.0f}", each=f"{each:,.0f}")


def _most_layers(found: ServingEstimate) -> int | None:
    """The most layers on the device with which it fits where it does not; None where none are left to the host."""
    plan, policy = found.plan, found.plan.engine.policy
    host = host_of(plan.cluster)
    if host is None or why_not(plan.options, plan.model, plan.device, policy, plan.devices):
        return None

    def fits(layers: int) -> bool:
        fewer = replace(plan, host=host, workload=replace(plan.workload, gpu_layers=layers))
        memory = serving_memory(fewer, policy)
        return real(memory.needed_bytes) <= real(memory.budget_bytes) and host_has_room(fewer, memory)

    return next((layers for layers in range(plan.model.layer_count, -1, -1) if fits(layers)), None)


def host_has_room(plan: ServingPlan, memory: ServingMemory) -> bool:
    """Whether layers on the host fit there, as far as its memory is known."""
    have = plan.cluster.host_memory
    return have is None or real(memory.host_bytes) <= have
