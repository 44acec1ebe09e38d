"""Time of collectives by group, size and topology: bandwidth once around, latency by steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import ceil, log2, longer, maximum, minimum, where

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def members_in_domain(group: Num, inner: Num, domain: Num) -> Num:
    """How many members of a group share one scale-up domain [1].

    Ranks are numbered so that `inner` ranks lie between neighbours of the group (tensor parallelism
    has inner = 1, data parallelism tp x cp): min(group, max(1, domain / inner)).
    group, inner, domain: counts [1]. Ignored: domains that a group fills unevenly.

    >>> members_in_domain(8.0, 1.0, 8.0), members_in_domain(16.0, 4.0, 8.0), members_in_domain(4.0, 8.0, 8.0)
    (8.0, 2.0, 1.0)
    """
    return minimum(group, maximum(1.0, domain / inner))


def bus_bandwidth(group: Num, members: Num, scale_up: Num, scale_out: Num) -> Num:
    """Rate at which a ring through the group moves data [bytes/s].

    Inside one domain the link's; across domains a ring is cut into `members` rings, one through each
    member's network port, so the group moves min(scale_up, members x scale_out).
    group, members: counts [1]; scale_up: of one device's links, as collectives reach it [bytes/s];
    scale_out: of one device's network port, as collectives reach it [bytes/s].
    Ignored: other groups on the same links at the same time; oversubscribed fabrics.

    >>> bus_bandwidth(8.0, 8.0, 370e9, 42e9) / 1e9, bus_bandwidth(64.0, 8.0, 370e9, 42e9) / 1e9
    (370.0, 336.0)
    >>> bus_bandwidth(64.0, 1.0, 370e9, 42e9) / 1e9
    42.0
    """
    return where(group <= members, scale_up, minimum(scale_up, members * scale_out))


def ring_latency(group: Num, members: Num, inner_latency: Num, outer_latency: Num) -> Num:
    """Latency of a collective: a fixed time in the domain, then steps over the domains [s].

    inner_latency + outer_latency x log2(domains) with domains = ceil(group / members); 0 for a group
    of one. NCCL switches from rings to trees (and to PAT) where the ring's (n - 1) steps would hurt,
    so the steps grow with the logarithm. inner_latency, outer_latency: of one step [s].
    group, members: of the group, and of it in one domain [1].

    >>> ring_latency(1.0, 1.0, 1e-5, 2e-5), ring_latency(8.0, 8.0, 1e-5, 2e-5)
    (0.0, 1e-05)
    >>> round(ring_latency(64.0, 8.0, 1e-5, 2e-5) * 1e6)
    70
    """
    domains = ceil(group / members)
    return where(group <= 1, 0.0, inner_latency + outer_latency * log2(domains))


def gather_seconds(size: Num, group: Num, bandwidth: Num, latency: Num) -> Num:
    """All-gather or reduce-scatter of `size` bytes (the whole, not a rank's share) [s].

    (g - 1) / g x size / bandwidth + latency (Thakur, Rabenseifner & Gropp 2005, section 4.1).
    size [bytes]; group: g [1]; bandwidth: `bus_bandwidth` [bytes/s]; latency: `ring_latency` [s].

    >>> gather_seconds(8e9, 8.0, 350e9, 0.0)
    0.02
    """
    return (group - 1.0) / group * size / bandwidth + latency


def all_reduce_seconds(size: Num, group: Num, bandwidth: Num, latency: Num) -> Num:
    """All-reduce of `size` bytes: a reduce-scatter and an all-gather in one kernel [s].

    2 (g - 1) / g x size / bandwidth + latency; arguments as in `gather_seconds`.

    >>> all_reduce_seconds(8e9, 8.0, 350e9, 0.0)
    0.04
    """
    return 2.0 * (group - 1.0) / group * size / bandwidth + latency


def dispatch_seconds(
    size: Num, copies: Num, group: Num, members: Num, scale_up: Num, scale_out: Num, latency: Num
) -> Num:
    """Tokens to their experts (or back): each goes once to every domain that has any of them, then fans out [s].

    With d = group / members domains, a token of c copies reaches r = (d - 1)(1 - (1 - 1/d)^c) other domains:
    max(c (m - 1)/m size / scale_up, r size / scale_out) + latency, m = members (the inner step carries all copies).
    Expert parallelism sends this way where the library forwards between nodes and links (DeepSeek-V3, arXiv
    2412.19437, section 3.2.2); a plain all-to-all would cross with every copy, copies (d - 1)/d.

    size: bytes of one copy of all tokens of a rank [bytes]; copies: experts a token [1]; group, members [1];
    scale_up, scale_out: rates of one device [bytes/s]; latency [s]. Ignored: routing that is not even.

    >>> round(dispatch_seconds(1e8, 8.0, 8.0, 8.0, 350e9, 42e9, 0.0) * 1e3, 3)
    2.0
    >>> round(dispatch_seconds(1e8, 8.0, 32.0, 8.0, 350e9, 42e9, 0.0) * 1e3, 3)
    6.428
    """
    domains = maximum(1.0, group / members)
    remote = (domains - 1.0) * (1.0 - (1.0 - 1.0 / domains) ** copies)
    inside = copies * (members - 1.0) / members * size / scale_up
    return longer(inside, remote * size / scale_out) + latency


def send_seconds(size: Num, bandwidth: Num, latency: Num) -> Num:
    """One message from a device to another: size / bandwidth + latency [s].

    size [bytes]; bandwidth: of the link between the two [bytes/s]; latency: of the message [s].

    >>> send_seconds(1e9, 50e9, 0.0)
    0.02
    """
    return size / bandwidth + latency
