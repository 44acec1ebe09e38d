"""What the links of a device reach, and the algorithms of collectives on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from llmplan.formulas.collectives import (
    bus_bandwidth,
    dispatch_seconds,
    exchange_seconds,
    members_in_domain,
    one_shot_seconds,
    ring_latency,
    ring_seconds,
    send_seconds,
    switch_reduce_seconds,
    tree_latency,
    two_shot_seconds,
)
from llmplan.formulas.numeric import minimum, real, where
from llmplan.machine.efficiency import CollectiveEfficiency
from llmplan.machine.hardware import Cluster, Device
from llmplan.records import dataclass, replace

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

_NO_MATTER = 1e30  # seconds of an algorithm that cannot be used
_TURN = 65536.0  # bytes of an exchange around which NCCL turns to bulk packets: fits every device that was measured
GATHER, REDUCE = 1.0, 2.0  # passes of an all-gather or reduce-scatter and of an all-reduce around a ring
_SWITCH_LEAST = 4.0  # devices from which NVLS adds up in the switch


@dataclass(frozen=True, slots=True)
class Links:
    """Rates of one device's links, one direction, and what algorithms of collectives make of them.

    domain: devices that share the scale-up link [1]; scale_up, scale_out: of the link and of the network port as large
    messages reach them [bytes/s]; raw: of the scale-up link by the datasheet [bytes/s]; hop: latency between
    domains [s]; devices_per_node [1]; algorithms: measured ones by name; reduce_by: those that an all-reduce may take;
    dispatch_by: how tokens go to their experts.
    """

    domain: float
    raw: float
    scale_up: float
    scale_out: float
    hop: float
    devices_per_node: float
    algorithms: Mapping[str, CollectiveEfficiency]
    reduce_by: tuple[str, ...] = ("ring",)
    dispatch_by: str = "domain"

    @property
    def ring(self) -> CollectiveEfficiency:
        """What rings make of the scale-up link."""
        return self.algorithms["ring"]


def links_of(device: Device, cluster: Cluster, scale_out_share: float = 1.0) -> Links:
    """Rates of the device's links in that cluster; scale_out_share: what the stack reaches between nodes [1]."""
    algorithms, fabric = device.efficiency.collectives, cluster.fabric
    domain, raw = device.scale_up.domain, device.scale_up.bandwidth
    if device.scale_up.topology == "none" or raw == 0:
        host = device.host_link.bandwidth if device.host_link else fabric.bandwidth
        domain, raw = cluster.devices_per_node, host / 2  # a transfer crosses the host's memory twice
    measured: dict[str, CollectiveEfficiency] = dict(algorithms.items())
    ring = measured.get("ring") or CollectiveEfficiency(link_fraction=fabric.link_fraction, base=fabric.latency)
    return Links(
        domain=real(domain), raw=raw, scale_up=raw * ring.link_fraction,
        scale_out=fabric.bandwidth * fabric.link_fraction * scale_out_share, hop=fabric.latency,
        devices_per_node=real(cluster.devices_per_node), algorithms=measured | {"ring": ring},
    )  # fmt: skip


def with_algorithms(links: Links, reduce_by: tuple[str, ...], dispatch_by: str) -> Links:
    """The links under a stack that has these algorithms."""
    used = ("ring", *reduce_by, *OF_DISPATCH.get(dispatch_by, ()))
    known = {name: one for name, one in links.algorithms.items() if name in used}
    return replace(links, algorithms=known, reduce_by=reduce_by, dispatch_by=dispatch_by)


def gather(links: Links, size: Num, group: Num, inner: Num, pieces: Num = 1.0) -> Num:
    """All-gather or reduce-scatter of `size` bytes over a group, in so many messages [s].

    size: of the whole [bytes]; group [1]; inner: ranks between neighbours of the group [1]; pieces [1].
    """
    return pieces * _ring(links, size / pieces, group, inner, GATHER)


def all_reduce(links: Links, size: Num, group: Num, inner: Num = 1.0) -> Num:
    """All-reduce of `size` bytes over a group by the fastest algorithm that the stack has [s]."""
    best = _ring(links, size, group, inner, REDUCE)
    for name in links.reduce_by:
        if name in ONE_DOMAIN and name in links.algorithms:
            once = ONE_DOMAIN[name](links, links.algorithms[name], size, group)
            best = minimum(best, where(group * inner <= links.domain, once, _NO_MATTER))
    return where(group > 1, best, 0.0)


def _ring(links: Links, size: Num, group: Num, inner: Num, passes: float) -> Num:
    members = members_in_domain(group, inner, links.domain)
    ring, of = links.ring, ring_latency if passes == GATHER else tree_latency
    latency = of(group, members, base=ring.base, step=ring.step, hop=links.hop)
    bandwidth = bus_bandwidth(group, members, links.scale_up, links.scale_out)
    return ring_seconds(size, group, passes, latency=latency, bandwidth=bandwidth, chunk=ring.chunk)


def _switch(links: Links, one: CollectiveEfficiency, size: Num, group: Num) -> Num:
    once = switch_reduce_seconds(size, group, bandwidth=links.raw * one.link_fraction, base=one.base, chunk=one.chunk)
    return where(group >= _SWITCH_LEAST, once, _NO_MATTER)


def _one_shot(links: Links, one: CollectiveEfficiency, size: Num, group: Num) -> Num:
    return one_shot_seconds(size, group, bandwidth=links.raw * one.link_fraction, base=one.base)


def _two_shot(links: Links, one: CollectiveEfficiency, size: Num, group: Num) -> Num:
    return two_shot_seconds(size, group, bandwidth=links.raw * one.link_fraction, base=one.base)


ONE_DOMAIN: dict[str, Callable[[Links, CollectiveEfficiency, Num, Num], Num]] = {
    "switch": _switch, "one_shot": _one_shot, "two_shot": _two_shot, "lamport": _one_shot,
}  # fmt: skip
"""Algorithms of an all-reduce inside one scale-up domain, beside the ring that works everywhere. One- and two-shot:
kernels of vLLM and SGLang; lamport: TensorRT-LLM's one-shot kernel, whose data tell that they have arrived."""


def exchange(links: Links, size: Num, copies: Num, group: Num, inner: Num = 1.0) -> Num:
    """Tokens of a rank to their experts, or back, over a group that shares them [s].

    size: of one copy of all its tokens [bytes]; copies: experts a token [1]; group [1]; inner: ranks between
    neighbours of the group [1].
    """
    members = members_in_domain(group, inner, links.domain)
    once = DISPATCH[links.dispatch_by](links, size, copies, group, members)
    return where(group > 1, once, 0.0)


def _by_domain(links: Links, size: Num, copies: Num, group: Num, members: Num) -> Num:
    return dispatch_seconds(size, copies, group, members, links.scale_up, links.scale_out, links.ring.base + links.hop)


def _all_to_all(links: Links, size: Num, copies: Num, group: Num, members: Num) -> Num:
    one = links.algorithms.get("exchange", links.ring)
    return exchange_seconds(
        size, copies, group, members, scale_up=links.raw * one.link_fraction, scale_out=links.scale_out, base=one.base,
        chunk=one.chunk, protocol=one.protocol, turn=_TURN,
    )  # fmt: skip


def _direct(links: Links, size: Num, copies: Num, group: Num, members: Num) -> Num:
    one = links.algorithms.get("direct", links.ring)
    return exchange_seconds(
        size, copies, group, members, scale_up=links.raw * one.link_fraction, scale_out=links.scale_out, base=one.base,
        chunk=0.0, protocol=0.0, turn=_TURN,
    )  # fmt: skip


def _all_gather(links: Links, size: Num, copies: Num, group: Num, members: Num) -> Num:
    """Every rank gets every token and picks its own; the way back is a reduce-scatter of as much."""
    return _ring(links, size * group, group, 1.0, GATHER)


DISPATCH: dict[str, Callable[[Links, Num, Num, Num, Num], Num]] = {
    "domain": _by_domain, "all_to_all": _all_to_all, "direct": _direct, "all_gather": _all_gather,
}  # fmt: skip
"""Ways of tokens to their experts: once to each domain (DeepEP, HybridEP), every copy by a library's all-to-all, every
copy straight to its rank (DeepEP's low latency), all tokens to all ranks."""
OF_DISPATCH = {"all_to_all": ("exchange",), "direct": ("direct",)}
"""Measured algorithms that they take, where these are known."""


def send(links: Links, size: Num, near: Num | bool) -> Num:
    """One message from a device to another; near: whether both are in one domain [s]."""
    bandwidth = where(near, links.scale_up, links.scale_out)  # type: ignore[arg-type]
    return send_seconds(size, bandwidth, where(near, links.ring.base, links.hop))  # type: ignore[arg-type]
