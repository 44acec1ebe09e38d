"""Prefixes in host memory: what of them is kept there, and what bringing them back to the devices takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.formulas.numeric import maximum, real
from llmplan.machine.precision import STORED_BYTES
from llmplan.serving.host_layers import unified
from llmplan.serving.memory import cache_shape

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num
    from llmplan.machine.hardware import Device
    from llmplan.serving.iteration import Replica
    from llmplan.serving.plan import ServingPlan, ServingWorkload
    from llmplan.setup.draft import Draft
    from llmplan.software.engine import ServingPolicy


def host_cache_options(draft: Draft, policy: ServingPolicy, device: Device, hit: float | None) -> dict[str, Any]:
    """Options of a workload about prefixes in host memory; faults where they do not go with the others.

    hit: share of prompts that hits anywhere [1].
    """
    options = draft.options
    size, there = options.kv_offloading_size, options.prefix_host_hit
    if size is None:
        if there is not None:
            draft.fault("prefix_host_hit goes with kv_offloading_size, the room in host memory", "prefix_host_hit")
        return {}
    if policy.host_cache == "none":
        stack = options.stack or "generic"
        draft.fault(
            f"kv_offloading_size: stack {stack} keeps no prefixes in host memory; vllm, sglang and tensorrt-llm do",
            "kv_offloading_size", "stack",
        )  # fmt: skip
    elif device.host_link is None or unified(device):
        known = "one memory with its host" if unified(device) else "no known link to its host"
        draft.fault(f"kv_offloading_size: {device.id} has {known}", "kv_offloading_size", "hardware")
    if hit is None:
        draft.assumptions.append("nothing hits in host memory: neither prefix_hit nor turns were given")
    elif there is None:
        there = hit
        draft.assume("prefix_host_hit", f"{hit:.3g}", "all that hits comes from host memory, the slowest case")
    elif there > hit:
        draft.fault(f"prefix_host_hit {there:g} is more than hits at all, {hit:.3g}", "prefix_host_hit", "prefix_hit")
    return {"kv_offloading_size": size, "prefix_host_hit": there}


def load_seconds(at: Replica, work: ServingWorkload, policy: ServingPolicy) -> Num:
    """Bringing what a prompt finds in host memory to its devices, each its part over its own link [s].

    cache of input_tokens x prefix_host_hit on the fullest device / bandwidth of its link to the host, one direction.
    Ignored: what goes to the host meanwhile (the other direction), copies below the link's rate (small blocks), links
    that devices share.
    """
    if not work.prefix_host_hit:
        return 0.0
    cache = cache_shape(at.model, at.layout, STORED_BYTES[work.kv_precision], policy, spread=at.dcp)
    return cache.bytes(work.input_tokens * work.prefix_host_hit) / at.host_link


def host_tokens(plan: ServingPlan) -> float | None:
    """Tokens that the host memory of all replicas holds [1]; None where none is set aside."""
    work, layout = plan.workload, plan.layout
    if work.kv_offloading_size is None:
        return None
    element, spread = STORED_BYTES[work.kv_precision], real(work.dcp or 1)
    cache = cache_shape(plan.model, layout, element, plan.engine.policy, spread=spread)
    each = real(cache.bytes(work.input_tokens)) / work.input_tokens
    return work.kv_offloading_size / (layout.tp * layout.pp * layout.cp) / each * layout.dp


def room_with_host(plan: ServingPlan, room: float) -> float:
    """Tokens of prefixes that have a place: on devices (room) and on the host [1].

    An engine that copies what it computes to the host holds a prefix in both, so that the larger counts; one that moves
    there what has to leave a device has both.
    """
    there = host_tokens(plan)
    if there is None:
        return room
    return room + there if plan.engine.policy.host_cache == "evicted" else real(maximum(room, there))
