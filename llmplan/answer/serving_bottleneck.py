"""What holds a deployment back: seconds of its steps by resource, and what 10 % more of each would change.

As `llmplan.answer.bottleneck` for training: a step's time is homogeneous in its rates, so the derivatives sum to it;
every figure comes from estimating the plan again with more of a resource.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llmplan.answer.bottleneck import CAPACITY
from llmplan.answer.knobs import KNOBS, MORE, NUDGE
from llmplan.serving.estimate import estimate_serving
from llmplan.serving.iteration import replica
from llmplan.serving.loads import decode_step, prefill_step, prefill_tokens, read_together
from llmplan.setup.codes import warning

if TYPE_CHECKING:
    from llmplan.serving.estimate import ServingEstimate
    from llmplan.serving.plan import ServingPlan
    from llmplan.setup.plan import PlanWarning

_ROUNDING = 1e-6  # of a step: gains below it are rounding


@dataclass(frozen=True, slots=True)
class ServingElasticity:
    """What +10 % of a resource changes, each over what it is now [1]: requests a second, first token, output token.

    capacity: the most requests a second; tpot is None where there is no output.
    """

    requests: float
    capacity: float
    ttft: float
    tpot: float | None


@dataclass(frozen=True, slots=True)
class ServingBottleneck:
    """What holds a deployment back.

    resource: what a request waits for most, `memory_capacity` where it waits for a place;
    decode, prefill: seconds by resource of a decoding step and of one prefill, which sum to it [s].
    """

    resource: str
    decode: dict[str, float]
    prefill: dict[str, float]
    elasticity: dict[str, ServingElasticity]
    advice: PlanWarning


def serving_bottleneck(answer: ServingEstimate) -> ServingBottleneck:
    """What holds a deployment back; a dozen more evaluations of it."""
    here = answer.together
    steps, nudged = (
        _steps(answer.plan, here),
        {n: _steps(knob(answer.plan, 1.0 + NUDGE), here) for n, knob in KNOBS.items()},
    )
    decode, prefill = (_shares(steps[kind], {name: one[kind] for name, one in nudged.items()}) for kind in (0, 1))
    knobs = {**KNOBS, CAPACITY: _more_memory}
    elasticity = {name: _elasticity(answer, estimate_serving(knob(answer.plan, MORE))) for name, knob in knobs.items()}
    own = _request(answer, decode, prefill)
    resource = CAPACITY if answer.queued > 0 and _memory_bound(answer) else max(own, key=lambda name: own[name])
    return ServingBottleneck(resource, decode, prefill, elasticity, _advice(answer, resource, own))


def _request(answer: ServingEstimate, decode: dict[str, float], prefill: dict[str, float]) -> dict[str, float]:
    """A request's own device time by resource: its prefill, and its part of the steps [s]."""
    work = answer.plan.workload
    steps = max(work.output_tokens - 1.0, 0.0) / max(answer.together, 1.0)
    return {name: prefill.get(name, 0.0) + steps * decode.get(name, 0.0) for name in KNOBS}


def _memory_bound(answer: ServingEstimate) -> bool:
    """Whether it is the cache that has no more places, not the engine's limit on sequences."""
    return answer.resident / answer.replicas < answer.plan.engine.policy.max_sequences


def _steps(plan: ServingPlan, sequences: float) -> tuple[float, float]:
    """A decoding step with so many sequences, and the prefill of what is read together, of one replica [s]."""
    work, policy = plan.workload, plan.engine.policy
    at = replica(plan)
    prompt = prefill_tokens(work, policy, read_together(work, sequences))
    return float(decode_step(at, work, sequences).total), float(prefill_step(at, work, prompt).total)


def _shares(step: float, faster: dict[str, float]) -> dict[str, float]:
    """Seconds of a step by resource: its gains, stretched over what the one-sided differences miss."""
    gains = {name: (step - after) / NUDGE for name, after in faster.items()}
    felt = {name: gain for name, gain in gains.items() if gain > step * _ROUNDING}
    whole = sum(felt.values())
    return {name: gain * step / whole for name, gain in felt.items()}


def _more_memory(plan: ServingPlan, factor: float) -> ServingPlan:
    memory = plan.device.memory
    larger = memory.model_copy(update={"capacity": memory.capacity * factor})
    return replace(plan, device=plan.device.model_copy(update={"memory": larger}))


def _elasticity(now: ServingEstimate, after: ServingEstimate) -> ServingElasticity:
    return ServingElasticity(
        requests=after.requests_per_second.value / now.requests_per_second.value,
        capacity=after.capacity / now.capacity,
        ttft=after.ttft.value / now.ttft.value,
        tpot=after.tpot.value / now.tpot.value if now.tpot and after.tpot else None,
    )


def _advice(answer: ServingEstimate, resource: str, own: dict[str, float]) -> PlanWarning:
    code, remedy = _REMEDIES[resource]
    if resource == CAPACITY:
        share = float(answer.memory.peak_bytes) / answer.usable_bytes
    else:
        share = own[resource] / sum(own.values())
    return warning(code, share=f"{share:.0%}", whole="a request's device time", remedy=remedy(answer))


def _about_memory_bandwidth(answer: ServingEstimate) -> str:
    work = answer.plan.workload
    remedies = []
    if answer.sequences < answer.resident:
        remedies.append(f"more requests in flight than {answer.sequences:.3g} share the reading of weights")
    else:
        remedies.append("every place is taken: a narrower cache (kv_precision) makes more of them")
    if work.weight_precision not in ("fp8", "int8", "int4", "nvfp4", "mxfp4"):
        remedies.append("narrower weights")
    return ", or ".join(remedies)


_REMEDIES: dict[str, tuple[str, Callable[[ServingEstimate], str]]] = {
    CAPACITY: ("LP030", lambda answer: "requests wait for places: a narrower cache (kv_precision), or more devices"),
    "compute": ("LP031", lambda answer: "narrower inputs (activation_precision), or more or faster devices"),
    "memory_bandwidth": ("LP032", _about_memory_bandwidth),
    "scale_up_network": ("LP033", lambda answer: f"a lower tp than {answer.plan.layout.tp}, with more replicas"),
    "scale_out_network": ("LP034", lambda answer: "a replica that stays inside the domain of one node"),
    "host": ("LP036", lambda answer: "captured graphs, or more requests in flight for each step"),
}
