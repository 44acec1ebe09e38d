"""Time of collectives by group, size and topology: bandwidth once around, latency by steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import ceil, log2, longer, maximum, minimum, power, slower, sqrt, where

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
    return where(group <= members, scale_up, slower(scale_up, members * scale_out))


def pipelined_seconds(size: Num, bandwidth: Num, chunk: Num) -> Num:
    """Time of moving `size` bytes in chunks that overlap, cut as well as can be [s].

    size / bandwidth + 2 sqrt(chunk size / bandwidth): with c chunks it takes (1 + 1/c) size / bandwidth + c chunk,
    least at c = sqrt(size / (bandwidth chunk)) (the usual argument for pipelined collectives).
    size [bytes]; bandwidth [bytes/s]; chunk: time to start one [s].

    >>> round(pipelined_seconds(1e9, 1e11, 2.5e-6) * 1e3, 3)
    10.316
    """
    once = size / bandwidth
    return once + 2.0 * sqrt(chunk * once)


def ring_latency(group: Num, members: Num, *, base: Num, step: Num, hop: Num) -> Num:
    """Time until the last piece of an empty ring is there: an all-gather or a reduce-scatter passes every rank [s].

    base + (g - d) step + (d - 1) hop, d = ceil(g / m) domains: libraries have no trees for these two (NCCL's PAT of
    2024 is for one device a node), so the time grows with the ranks.
    group: g; members: m of it in one domain [1]; base: of a collective [s]; step: of one device to the next in the
    domain [s]; hop: between domains [s].

    >>> round(ring_latency(1024.0, 8.0, base=4e-6, step=1e-6, hop=10e-6) * 1e6)
    2170
    """
    domains = ceil(group / members)
    return base + (group - domains) * step + (domains - 1.0) * hop


def tree_latency(group: Num, members: Num, *, base: Num, step: Num, hop: Num) -> Num:
    """The same of an all-reduce: around each domain, up a tree between domains, and back [s].

    base + 2 ((m - 1) step + log2(d) hop), d = ceil(g / m): across domains NCCL turns to trees where a ring's steps
    would hurt (Thakur, Rabenseifner & Gropp 2005, section 4). Parameters as in `ring_latency`.

    >>> round(tree_latency(1024.0, 8.0, base=4e-6, step=1e-6, hop=10e-6) * 1e6)
    158
    """
    return base + 2.0 * ((members - 1.0) * step + log2(ceil(group / members)) * hop)


def ring_seconds(size: Num, group: Num, passes: Num, *, latency: Num, bandwidth: Num, chunk: Num) -> Num:
    """A ring through g devices: all-gather and reduce-scatter (one pass), all-reduce (two) [s].

    latency + pipelined_seconds(passes (g - 1) / g x size); 0 for a group of one.
    size: of the whole, not a rank's share [bytes]; group: g [1]; latency: `ring_latency` or `tree_latency` [s];
    bandwidth: `bus_bandwidth` [bytes/s]; chunk: as in `pipelined_seconds` [s].
    Within 3 to 5 % in the median of NCCL on 2 to 8 A100, H100, H200, B200 (aiconfigurator); out of place, a copy of a
    device's own part adds up to 5 %.

    >>> t = ring_seconds(2.0**29, 8.0, 1.0, latency=10.2e-6, bandwidth=382e9, chunk=2.5e-6)
    >>> round(float(t) * 1e6)
    1351
    """
    moved = passes * (group - 1.0) / group * size
    return where(group <= 1, 0.0, latency + pipelined_seconds(moved, bandwidth, chunk))


def switch_reduce_seconds(size: Num, group: Num, *, bandwidth: Num, base: Num, chunk: Num) -> Num:
    """All-reduce that the switch adds up (NVLS): every device sends and takes the whole once, its share once more [s].

    base + pipelined_seconds((1 + 1 / g) size)
    size [bytes]; group: g, at least 4 [1]; bandwidth [bytes/s]; base, chunk [s].
    H100, measured 31.4 ms:

    >>> round(float(switch_reduce_seconds(8.59e9, 8.0, bandwidth=320e9, base=37e-6, chunk=3e-6)) * 1e3, 1)
    30.8
    """
    return base + pipelined_seconds((1.0 + 1.0 / group) * size, bandwidth, chunk)


def one_shot_seconds(size: Num, group: Num, *, bandwidth: Num, base: Num) -> Num:
    """All-reduce in which every device reads all others' parts itself: base + (g - 1) size / bandwidth [s].

    size [bytes]; group: g, in one domain [1]; bandwidth [bytes/s]; base [s]. H100, TensorRT-LLM, measured 10.2 us:

    >>> round(one_shot_seconds(262144.0, 8.0, bandwidth=270e9, base=2.9e-6) * 1e6, 1)
    9.7
    """
    return base + (group - 1.0) * size / bandwidth


def two_shot_seconds(size: Num, group: Num, *, bandwidth: Num, base: Num) -> Num:
    """All-reduce by reading and adding a share, then reading the others': base + 2 (g - 1) / g size / bandwidth [s].

    size [bytes]; group: g, in one domain [1]; bandwidth [bytes/s]; base [s]. H100, vLLM, measured 30.8 us:

    >>> round(two_shot_seconds(4194304.0, 8.0, bandwidth=284e9, base=8.1e-6) * 1e6, 1)
    33.9
    """
    return base + 2.0 * (group - 1.0) / group * size / bandwidth


def exchange_seconds(
    size: Num, copies: Num, group: Num, members: Num, *, scale_up: Num, scale_out: Num, base: Num, chunk: Num,
    protocol: Num, turn: Num,
) -> Num:  # fmt: skip
    """Plain all-to-all of tokens to their experts, or back: every copy goes to its rank [s].

    base + protocol b / (b + turn) + max(pipelined_seconds((m - 1) / g b, scale_up), (1 - m / g) b / scale_out),
    b = copies x size
    size: of one copy of all tokens of a rank [bytes]; copies: experts a token [1]; group: g, members: m of it in one
    domain [1]; scale_up, scale_out: rates of one device [bytes/s]; base, chunk [s]; protocol: what the change from
    packets of low latency to bulk ones costs [s], around `turn` [bytes]. Ignored: routing that is not even.
    Within 4 to 8 % in the median of NCCL's on 2 to 8 A100, H100, H200, B200 (aiconfigurator). H100, measured 41.4 us
    with a copy of a device's own part:

    >>> t = exchange_seconds(2.0**23, 1.0, 8.0, 8.0, scale_up=337e9, scale_out=1.0, base=6.8e-6, chunk=1e-7,
    ...                      protocol=6.3e-6, turn=65536.0)
    >>> round(float(t) * 1e6, 1)
    37.8
    """
    sent = copies * size
    inside = pipelined_seconds(sent * (members - 1.0) / group, scale_up, chunk)
    turned = protocol * sent / (sent + turn)
    return base + turned + longer(inside, sent * (1.0 - members / group) / scale_out)


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
    remote = (domains - 1.0) * (1.0 - power(1.0 - 1.0 / domains, copies))
    inside = copies * (members - 1.0) / members * size / scale_up
    return longer(inside, remote * size / scale_out) + latency


def send_seconds(size: Num, bandwidth: Num, latency: Num) -> Num:
    """One message from a device to another: size / bandwidth + latency [s].

    size [bytes]; bandwidth: of the link between the two [bytes/s]; latency: of the message [s].

    >>> send_seconds(1e9, 50e9, 0.0)
    0.02
    """
    return size / bandwidth + latency
