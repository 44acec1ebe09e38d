"""What time waits for: its seconds by resource, out of the derivatives of one evaluation.

A time is work divided by rates, with fixed times beside it, so it is homogeneous: with every rate doubled and every
fixed time halved it halves. By Euler's theorem it is then the sum of -dT/d(ln rate) and of dT/d(ln fixed time), and
that is the share that a resource really has: a product bound by memory counts there, and traffic that hides behind
computation counts nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llmplan.software.coefficients import HOST_TIMES

if TYPE_CHECKING:
    from llmplan.formulas.traced import Root, Tape
    from llmplan.formulas.traced_arrays import ArrayTape
    from llmplan.setup.plan import Setup

COMPUTE, MEMORY_BANDWIDTH, HOST = "compute", "memory_bandwidth", "host"
SCALE_UP, SCALE_OUT = "scale_up_network", "scale_out_network"
RESOURCES = (COMPUTE, MEMORY_BANDWIDTH, SCALE_UP, SCALE_OUT, HOST)
MORE = 1.1
"""How much more of a resource an elasticity is about: +10 %."""

_HOST_LINK = "device.host_link.bandwidth"
RATES = {
    "device.peak.*": COMPUTE,
    "device.power.tdp": COMPUTE,  # a rate too: what it leaves of the peak is a matter of joules a second
    "device.memory.bandwidth": MEMORY_BANDWIDTH,
    "device.efficiency.repeated_read_bandwidth": MEMORY_BANDWIDTH,  # of caches on the chip before it
    "device.efficiency.grouped_matmul.*.routed_bandwidth": MEMORY_BANDWIDTH,
    "device.scale_up.bandwidth": SCALE_UP,
    "cluster.fabric.bandwidth": SCALE_OUT,
    _HOST_LINK: HOST,
    "host.peak.*": HOST,
    "host.memory.bandwidth": HOST,
    "host.efficiency.grouped_matmul.*.routed_bandwidth": HOST,
}
"""Fields of the catalogue that are rates, and whose."""
TIMES = {
    "device.efficiency.collectives.*.base": SCALE_UP,
    "device.efficiency.collectives.*.step": SCALE_UP,
    "device.efficiency.collectives.*.chunk": SCALE_UP,
    "device.efficiency.collectives.*.protocol": SCALE_UP,
    "cluster.fabric.latency": SCALE_OUT,
    "device.efficiency.*.launch": HOST,  # of kernels of any kind
    "device.efficiency.small_launch": HOST,
    "device.efficiency.*.latency": HOST,
    "host.efficiency.*.launch": HOST,
    "host.efficiency.*.latency": HOST,
    **{f"coefficients.{name}": HOST for name in HOST_TIMES},
}
"""Fields of the catalogue that are fixed times, and whose."""


def by_resource(tape: Tape | ArrayTape, asked: Sequence[Root], plan: Setup) -> list[dict[str, Any]]:
    """Seconds of times by every resource [s]; they sum to a time where nothing else has a part in it.

    asked: worked out of a plan of `named_machine`, numbers or arrays, each with whether what a resource works counts,
    hidden or not: where times overlap, each in full.
    """
    machines = (plan,) if plan.machines is None else plan.machines.plans

    def seconds(machine: int, leaves: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = dict.fromkeys(RESOURCES, 0.0)
        linked = _linked(machines[machine])
        for leaf, slope in leaves:
            of, sign = _resource(leaf.note, linked=linked)
            if of is not None:
                found[of] = found[of] + sign * slope
        return found

    return tape.of_roots(asked, seconds)


@lru_cache(maxsize=1024)
def _resource(path: str, *, linked: bool) -> tuple[str | None, float]:
    """Whose field this is, and the sign of its derivative in a share; None where it is no rate and no fixed time.

    linked: whether devices have links of their own; others talk to each other through their hosts'.
    """
    if path == _HOST_LINK and not linked:
        return SCALE_UP, -1.0
    for table, sign in ((RATES, -1.0), (TIMES, 1.0)):
        for pattern, of in table.items():
            if fnmatchcase(path, pattern):
                return of, sign
    return None, 0.0


def _linked(plan: Setup) -> bool:
    if getattr(plan, "host", None) is not None:  # on one device, whose layers in host memory have the link
        return True
    return plan.device.scale_up.topology != "none" and plan.device.scale_up.bandwidth > 0


def saved(share: float) -> float:
    """What is left of a time when a resource with this share of it gets 10 % faster [1]: 1 - share (1 - 1/1.1)."""
    return 1.0 - share * (1.0 - 1.0 / MORE)
