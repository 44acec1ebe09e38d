"""Many deployments at once: plans of one model under loads of one kind go through the formulas as arrays.

Devices, clusters, engines, degrees and lengths run along the arrays; what comes out is equal to the last digit.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from llmplan.records import names, replace
from llmplan.serving.estimate import ServingEstimate, estimate_of, figures_of
from llmplan.serving.iteration import machine_of
from llmplan.serving.plan import DEGREES, ServingPlan, ServingWorkload
from llmplan.serving.targets import targets, wants_percentiles
from llmplan.setup.layout import Layout
from llmplan.setup.many import Machines, alike, kind_of, stacked, unstacked
from llmplan.setup.models import model_of, structure
from llmplan.software.engine import ServingPolicy

FEW = 6
"""Plans of a kind below which arrays take longer than one after the other."""
ROWS = 4096
"""Plans that are evaluated at a time."""
LENGTHS = ("input_tokens", "output_tokens", "batch", "request_rate")
"""Options of a workload that run along the arrays; the others choose between formulas."""
READ_BEFORE = (
    "device_sizes", "whole_prompts", "usual_requests", "draft_tokens", "acceptance", "low_precision_kv",
    "low_precision_kv_on", "fused_norms_on", "fused_norms_for", "early_start_on", "captured_prompts_on",
    "narrow_latent_on",
)  # fmt: skip
"""Options of an engine's policy that have been read when a plan is made, or are about drafts."""
KINETICS = (
    "routing_spread", "shared_groups", "all_reduce", "dispatch", "kernels", "fused_experts", "fused_norms",
    "fused_casts", "experts_apart", "experts_beside", "early_start", "narrow_latent",
)  # fmt: skip
"""Options of it that make kernels and links what they are, which are compared themselves."""
_POLICY = [name for name in names(ServingPolicy) if name not in (*READ_BEFORE, *KINETICS)]
_words = attrgetter("writes", *(name for name in names(ServingWorkload) if name not in LENGTHS))


def estimate_many(plans: Sequence[ServingPlan]) -> list[ServingEstimate | None]:
    """The estimate of every plan, in their order, as `estimate_serving` gives it; None for what goes alone."""
    found: list[ServingEstimate | None] = [None] * len(plans)
    for places in alike(plans, FEW, _shared, _machine, _kind, _shared_but_sizes):
        for start in range(0, len(places), ROWS):
            part = places[start : start + ROWS]
            some = [plans[place] for place in part]
            figures = unstacked(figures_of(as_arrays(some)), len(part))
            for place, one in zip(part, map(estimate_of, some, figures), strict=True):
                found[place] = one
    return found


def sharing(plans: Sequence[ServingPlan]) -> list[list[int]]:
    """Places of the plans that differ in numbers alone; those that are worked out by themselves are in none."""
    return alike(plans, FEW, _shared, _machine, _kind)


def sharing_but_rates(plans: Sequence[ServingPlan], few: int) -> list[list[int]]:
    """The same of so many plans or more, without loads at a rate."""

    def shared(plan: ServingPlan) -> Hashable:
        return _shared(plan) if plan.workload.request_rate is None else None

    return alike(plans, few, shared, _machine, _kind)


def kind_but_rates(plan: ServingPlan) -> Hashable:
    """What plans have in common that may be stacked, without loads at a rate; None for what goes alone."""
    shared = _shared(plan) if plan.workload.request_rate is None else None
    return None if shared is None else (shared, _kind(plan))


def on_machines(plans: Sequence[ServingPlan], index: Any) -> ServingPlan:
    """One plan of several that differ in nothing but what they run on, which runs along `index`: numbers of plans."""
    if len(plans) == 1:
        return plans[0]
    machines = Machines(tuple(plans), index)
    return replace(plans[0], machines=machines, **dict(_on(plans[0], machines)))


def _shared(plan: ServingPlan) -> tuple[Hashable, ...] | None:
    """What plans must have in common to be stacked; None for what goes alone."""
    work = plan.workload
    return None if _goes_alone(plan) else (id(plan.model), _words(work), work.batch is None, work.request_rate is None)


def _shared_but_sizes(plan: ServingPlan) -> Hashable:
    """The same of plans whose models may differ in numbers."""
    shared = _shared(plan)
    return shared if shared is None or plan.workload.lora_adapters else (structure(plan.model), *shared[1:])


def _goes_alone(plan: ServingPlan) -> bool:
    """What has more than one model or pool, or is simulated or halved one number after another."""
    work = plan.workload
    if (
        plan.layout.cp > 1
        or plan.layout.redundant_experts
        or plan.prefill
        or plan.host
        or plan.image
        or plan.sound
        or work.prefix_hit
        or work.speculation != "none"
    ):
        return True
    return work.request_rate is not None and (wants_percentiles(work) or bool(targets(work)))


def _machine(plan: ServingPlan) -> tuple[Hashable, ...]:
    """Tells apart what plans run on."""
    own = id(plan.device), id(plan.cluster), id(plan.stack), id(plan.coefficients), id(plan.engine.policy)
    return *own, plan.options.stack_version


def _kind(plan: ServingPlan) -> Hashable:
    """What machines must share to be stacked."""
    kernels = kind_of(machine_of(plan, plan.coefficients))
    policy = plan.engine.policy
    words = ((name, getattr(policy, name)) for name in _POLICY)
    return kernels, kind_of(dict(words)), policy.group_layers, plan.as_released, kind_of(plan.stack.memory)


def as_arrays(plans: Sequence[ServingPlan]) -> ServingPlan:
    """One plan whose numbers are arrays, of plans that differ in nothing else."""
    first, every = plans[0], slice(None)
    layouts, works = [plan.layout for plan in plans], [plan.workload for plan in plans]
    layout: Any = {name: stacked([getattr(one, name) for one in layouts], every) for name in DEGREES}
    lengths = {name: stacked([getattr(one, name) for one in works], every) for name in LENGTHS}
    whole = replace(first, model=model_of(plans), layout=Layout(**layout), workload=replace(first.workload, **lengths))
    machines = Machines.of(plans, _machine)
    return whole if machines is None else replace(whole, machines=machines, **dict(_on(first, machines)))


def _on(first: ServingPlan, machines: Machines[ServingPlan]) -> Iterator[tuple[str, Any]]:
    """What of a plan its formulas read of the machines themselves, in arrays."""
    memory = machines.each(lambda one: one.device.memory)
    yield "device", replace(first.device, memory=memory)
    ratio = machines.each(lambda one: one.cluster.host_time_ratio)
    yield "cluster", replace(first.cluster, host_time_ratio=ratio)
    yield "stack", replace(first.stack, memory=machines.each(lambda one: one.stack.memory))
    yield "coefficients", machines.each(lambda one: one.coefficients)
    sizes = {name: machines.each(lambda one, name=name: getattr(one.engine.policy, name)) for name in _POLICY}  # type: ignore[misc]
    yield "engine", replace(first.engine, policy=replace(first.engine.policy, **sizes))
