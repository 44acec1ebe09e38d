"""What holds a deployment back: seconds of its steps by resource, and what 10 % more of each would change.

As `llmplan.answer.bottleneck` for training, all from one evaluation of the steps and of the load; only what more memory
brings is tried.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from llmplan.answer.bottleneck import CAPACITY
from llmplan.answer.resources import RESOURCES, saved
from llmplan.answer.serving_waits import Load, ServingWaits, waits_of
from llmplan.formulas.numeric import real
from llmplan.records import dataclass
from llmplan.serving.iteration import replica
from llmplan.serving.pools import pools_of, read_seconds
from llmplan.setup.codes import warning
from llmplan.setup.plan import PlanWarning
from llmplan.vocabulary import Amount

if TYPE_CHECKING:
    from llmplan.serving.estimate import ServingEstimate

_FULL = 0.97  # of what the devices that read prompts can, from which on they set the rate


@dataclass(frozen=True, slots=True)
class ServingElasticity:
    """Figures with 10 % more of a resource, over those of now."""

    requests: Amount
    """A second."""
    capacity: Amount
    """The most requests a second."""
    ttft: Amount | None = None
    tpot: Amount | None = None
    traded_tpot: Amount | None = None
    """In the place of `tpot` where more requests find room at once and wait longer for their tokens, the first of them
    too: a trade."""
    traded_ttft: Amount | None = None
    """In the place of `ttft` where those that waited for a place are read beside others, and more are served: a
    trade."""


@dataclass(frozen=True, slots=True)
class ServingBottleneck:
    """What holds a deployment back; everything by resource."""

    resource: str
    """What a request waits for most; `memory_capacity` where requests wait for places."""
    decode_seconds: dict[str, Amount]
    """A decoding step by resource; they sum to it."""
    prefill_seconds: dict[str, Amount]
    """The same of one prefill."""
    elasticity: dict[str, ServingElasticity]
    advice: PlanWarning
    """What to do about it, with a code that `llmplan explain` has a paragraph about."""


def serving_bottleneck(answer: ServingEstimate, waits: ServingWaits | None = None) -> ServingBottleneck:
    """What holds a deployment back; waits: of its steps and its load, where they are at hand."""
    waits = waits or waits_of(answer)
    found = {name: _felt(name, waits, writes=answer.tpot is not None) for name in RESOURCES}
    found[CAPACITY] = _roomier(waits.now, waits.roomier)
    readers = _readers(answer)
    own = waits.prefill if readers else _request(answer, waits.decode, waits.prefill)
    resource = CAPACITY if answer.short_of_places and _memory_bound(answer) else max(own, key=lambda name: own[name])
    advice = _advice(answer, resource, own, readers)
    return ServingBottleneck(resource, waits.decode, waits.prefill, found, advice)


def _felt(name: str, waits: ServingWaits, *, writes: bool) -> ServingElasticity:
    """What 10 % more of a resource brings."""
    ttft, tpot = (saved(felt.get(name, 0.0)) for felt in (waits.ttft, waits.tpot))
    requests, most = (1.0 / saved(felt.get(name, 0.0)) for felt in (waits.requests, waits.capacity))
    return ServingElasticity(requests, most, ttft, tpot if writes else None)


def _request(answer: ServingEstimate, decode: dict[str, float], prefill: dict[str, float]) -> dict[str, float]:
    """A request's own device time by resource: its prefill, and its part of the steps [s]."""
    work = answer.plan.workload
    steps = max(work.output_tokens - 1.0, 0.0) / max(answer.together, 1.0)
    return {name: prefill.get(name, 0.0) + steps * decode.get(name, 0.0) for name in RESOURCES}


def _memory_bound(answer: ServingEstimate) -> bool:
    """Whether it is the cache that has no more places, not the engine's limit on sequences."""
    return answer.resident / answer.replicas < answer.plan.engine.policy.max_sequences


def _roomier(now: Load, after: Load) -> ServingElasticity:
    """What 10 % more memory brings; nothing where its places would cost requests, as waves of a static batch can: an
    engine need not give all that there are (`max_num_seqs`)."""
    if after.requests < now.requests:
        after = now
    ttft, tpot = after.ttft / now.ttft, after.tpot / now.tpot if now.tpot and after.tpot else None
    traded = tpot is not None and tpot > 1.0 and after.together > now.together
    later = ttft > 1.0 and after.requests > now.requests and not traded
    return ServingElasticity(
        requests=after.requests / now.requests, capacity=after.capacity / now.capacity, ttft=None if later else ttft,
        tpot=None if traded else tpot, traded_tpot=tpot if traded else None, traded_ttft=ttft if later else None,
    )  # fmt: skip


def _advice(answer: ServingEstimate, resource: str, own: dict[str, float], readers: str) -> PlanWarning:
    code, remedy = _REMEDIES[resource]
    if resource == CAPACITY:
        share = float(answer.memory.peak_bytes) / (answer.usable_bytes or answer.capacity_bytes)
    else:
        share = own[resource] / sum(own.values())
    whole = "the time that prompts take" if readers else "a request's device time"
    return warning(code, share=f"{share:.0%}", whole=whole, remedy=readers or remedy(answer))


def _readers(answer: ServingEstimate) -> str:
    """What to do where the devices that read prompts set the rate of those that write; "" where they do not."""
    plan = answer.plan
    pools = None if plan.prefill is None else pools_of(plan, replica(plan))
    if pools is None or plan.prefill is None:
        return ""
    most = pools.prefill_copies / real(read_seconds(pools, plan.workload, plan.engine.policy))
    if answer.requests_per_second.value < _FULL * float(most):
        return ""
    return f"the {plan.prefill.devices} devices that read prompts set the rate: more of them (prefill_devices)"


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


def _about_host(answer: ServingEstimate) -> str:
    if answer.plan.host is not None:
        return "more layers on the device (gpu_layers), or a host whose memory is faster"
    return "captured graphs, or more requests in flight for each step"


_REMEDIES: dict[str, tuple[str, Callable[[ServingEstimate], str]]] = {
    CAPACITY: ("LP030", lambda answer: "requests wait for places: a narrower cache (kv_precision), or more devices"),
    "compute": ("LP031", lambda answer: "narrower inputs (activation_precision), or more or faster devices"),
    "memory_bandwidth": ("LP032", _about_memory_bandwidth),
    "scale_up_network": ("LP033", lambda answer: f"a lower tp than {answer.plan.layout.tp}, with more replicas"),
    "scale_out_network": ("LP034", lambda answer: "a replica that stays inside the domain of one node"),
    "host": ("LP036", _about_host),
}
