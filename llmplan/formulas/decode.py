"""Attention of a decoding step: the cache is gone through once, or once for each of its readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import maximum, minimum, soft_maximum, sqrt

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def repeated_reads_bandwidth(readers: Num, memory: Num, on_chip: Num) -> Num:
    """Rate at which a key-value cache is gone through when each of its readers reads it anew [bytes/s].

    max(memory / r, min(memory, on_chip / r)): the first reader brings the bytes from memory and the others find
    them in the chip's own cache, one after another; at worst each brings them from memory again. The paged
    attention kernel of early vLLM moves eight times the bytes of its cache through the chip's where eight query
    heads share a cached one (vLLM issues 1880 and 15351).
    readers: r, query heads of one cached head [1]; memory, on_chip: rates of either [bytes/s]. Ignored: how much
    the chip's cache holds, which hurts where readers of one head run far apart.

    >>> repeated_reads_bandwidth(4.0, 2e12, 4e12) / 1e12, repeated_reads_bandwidth(4.0, 1e12, 8e12) / 1e12
    (1.0, 1.0)
    >>> repeated_reads_bandwidth(1.0, 4e12, 2e12) / 1e12
    4.0
    """
    return maximum(memory / readers, minimum(memory, on_chip / readers))


def decode_attention_seconds(
    read: Num, streams: Num, flops: Num, *, few: Num, bandwidth: Num, rate: Num, latency: Num
) -> Num:
    """Time of attention of one new token a sequence to its cache [s].

    latency + soft_maximum(read sqrt(1 + (few / streams)^2) / bandwidth, flops / rate)

    read: bytes of cache that this device goes through [bytes]; streams: sequences x cached heads of this device [1];
    few: streams below which one reading gets no faster [1]; flops [FLOP] and rate [FLOP/s]: matter where many query
    heads share a cached one, latent attention above all; bandwidth: that the kernel reaches [bytes/s]; latency: of the
    kernel and the one that joins its split parts [s].
    Ignored: a cache that is still on the chip from the step before (benchmarks that repeat one kernel find it there).
    Within 3 to 7 % in the median on A100, H100 and B200 (aiconfigurator, vLLM's kernels).

    >>> t = decode_attention_seconds(2.048e9, 512.0, 0.0, few=4.0, bandwidth=2.9e12, rate=1e15, latency=1e-5)
    >>> round(float(t) * 1e6)
    716
    """
    share = few / streams
    return latency + soft_maximum(read * sqrt(1.0 + share * share) / bandwidth, flops / rate)
