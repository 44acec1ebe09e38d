"""The plan with more of one resource: what elasticities and shares are worked out with.

Together the knobs hold every rate and every fixed time of a step, of training and of serving.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from llmplan.software.coefficients import HOST_TIMES

MORE = 1.1
"""How much more of a resource an elasticity is about: +10 %."""
NUDGE = 1e-6
"""Relative step of the derivatives: far above rounding (1e-16), far below a kink's width."""
UNLIMITED = 1e9
"""Times as much of a resource as makes it cost nothing."""


def _more_compute(plan: Any, factor: float) -> Any:
    peak = {precision: rate * factor for precision, rate in plan.device.peak.items()}
    return _device(plan, peak=peak)


def _more_memory_bandwidth(plan: Any, factor: float) -> Any:
    """Faster memory, and the caches on the chip before it, from which some kernels read and write."""
    memory, efficiency = plan.device.memory, plan.device.efficiency
    on_chip = efficiency.repeated_read_bandwidth
    routed = {
        name: one.model_copy(update={"routed_bandwidth": one.routed_bandwidth and one.routed_bandwidth * factor})
        for name, one in efficiency.grouped_matmul.items()
    }
    changed = efficiency.model_copy(
        update={"repeated_read_bandwidth": on_chip * factor if on_chip else None, "grouped_matmul": routed}
    )
    return _device(plan, efficiency=changed, memory=memory.model_copy(update={"bandwidth": memory.bandwidth * factor}))


def _more_scale_up(plan: Any, factor: float) -> Any:
    """Faster links between the devices of a domain: rate up, latencies down; the host's where they have none."""
    device = plan.device
    collectives = {
        name: one.model_copy(update={word: getattr(one, word) / factor for word in ("base", "step", "chunk")})
        for name, one in device.efficiency.collectives.items()
    }
    link = device.scale_up.model_copy(update={"bandwidth": device.scale_up.bandwidth * factor})
    efficiency = device.efficiency.model_copy(update={"collectives": collectives})
    changed = _device(plan, efficiency=efficiency, scale_up=link)
    return changed if _linked(plan) else _more_host_link(changed, factor)


def _more_scale_out(plan: Any, factor: float) -> Any:
    """A faster fabric between nodes: rate up, latency down."""
    fabric = plan.cluster.fabric
    faster = {"bandwidth": fabric.bandwidth * factor, "latency": fabric.latency / factor}
    return replace(plan, cluster=plan.cluster.model_copy(update={"fabric": fabric.model_copy(update=faster)}))


def _faster_host(plan: Any, factor: float) -> Any:
    """A faster host: less time a launched operation, a kernel and a step, and a faster link to its memory."""
    efficiency = plan.device.efficiency

    def launched(table: Any, word: str = "launch") -> Any:
        return {name: one.model_copy(update={word: getattr(one, word) / factor}) for name, one in table.items()}

    attention = efficiency.attention
    shorter = {
        "matmul": launched(efficiency.matmul), "engine_matmul": launched(efficiency.engine_matmul),
        "grouped_matmul": launched(efficiency.grouped_matmul),
        "decode_attention": launched(efficiency.decode_attention, "latency"),
        "attention": attention and attention.model_copy(update={"launch": attention.launch / factor}),
    }  # fmt: skip
    changed = _device(plan, efficiency=efficiency.model_copy(update=shorter))
    times = {name: getattr(plan.coefficients, name) / factor for name in HOST_TIMES}
    changed = replace(changed, coefficients=replace(plan.coefficients, **times))
    return _more_host_link(changed, factor) if _linked(plan) else changed


KNOBS: dict[str, Callable[[Any, float], Any]] = {
    "compute": _more_compute,
    "memory_bandwidth": _more_memory_bandwidth,
    "scale_up_network": _more_scale_up,
    "scale_out_network": _more_scale_out,
    "host": _faster_host,
}
"""Resource to the plan with that much more of it. Together they hold every rate and every fixed time of a step."""


def _linked(plan: Any) -> bool:
    return bool(plan.device.scale_up.topology != "none" and plan.device.scale_up.bandwidth > 0)


def _more_host_link(plan: Any, factor: float) -> Any:
    link = plan.device.host_link
    return (
        plan
        if link is None
        else _device(plan, host_link=link.model_copy(update={"bandwidth": link.bandwidth * factor}))
    )


def _device(plan: Any, **changes: Any) -> Any:
    return replace(plan, device=plan.device.model_copy(update=changes))
