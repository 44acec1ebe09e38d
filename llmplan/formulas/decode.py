"""Pieces of a decoding step: weights and cache read once, experts touched, small all-reduces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import log2, maximum, minimum, soft_maximum, where

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def touched_experts(experts: Num, active: Num, tokens: Num) -> Num:
    """Experts that at least one of the tokens is sent to, on average [1].

    E (1 - (1 - k / E)^B): every token takes k of E experts, independently and evenly.
    experts: E of a layer [1]. Ignored: uneven routing, which touches fewer at small B.
    active: k of them, for each token [1]; tokens: B of all sequences in the step [1].

    >>> touched_experts(8.0, 2.0, 1.0)
    2.0
    >>> round(float(touched_experts(256.0, 8.0, 64.0)), 1)
    222.4
    """
    return experts * (1.0 - (1.0 - active / experts) ** tokens)


def weighted_traffic(m: Num, n: Num, k: Num, weight_bytes: Num, input_bytes: Num, sets: Num = 1.0) -> Num:
    """Bytes of a product whose weights and inputs have precisions of their own [bytes].

    weight_bytes sets k n + input_bytes m k + 2 m n; results are written in 16 bits.
    m, n, k [1]; weight_bytes: of one weight with its share of scales [bytes]; sets: matrices read [1].
    input_bytes: of one element of the input [bytes].

    >>> weighted_traffic(1.0, 4.0, 2.0, 0.5, 2.0)
    16.0
    """
    return weight_bytes * sets * k * n + input_bytes * m * k + 2.0 * m * n


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


def decode_attention_seconds(traffic: Num, flops: Num, *, bandwidth: Num, rate: Num, latency: Num) -> Num:
    """Time of attention of one new token a sequence to its cache [s].

    latency + soft_maximum(traffic / bandwidth, flops / rate)
    traffic: cache read [bytes]; flops [FLOP]; bandwidth: that the kernel reaches [bytes/s]; rate [FLOP/s];
    latency: of the kernel and the one that joins its split parts [s].
    Fitted on 293 measured shapes a device it is within 5-11 % in the median.

    >>> round(decode_attention_seconds(3e9, 0.0, bandwidth=3e12, rate=1e14, latency=1e-5) * 1e3, 3)
    1.01
    """
    return latency + soft_maximum(traffic / bandwidth, flops / rate)


def reduce_latency(group: Num, eight: Num) -> Num:
    """Latency of a small all-reduce in the scale-up domain [s]: eight x (1 + log2 g) / 4, 0 for a group of one.

    group: g [1]; eight: measured with eight devices [s]. Measured with kernels that store directly to their
    peers it grows by a third from 2 to 8 devices on A100 and H100, with rings threefold; this lies between.

    >>> reduce_latency(8.0, 8e-6), reduce_latency(2.0, 8e-6), reduce_latency(1.0, 8e-6)
    (8e-06, 4e-06, 0.0)
    """
    return where(group <= 1, 0.0, eight * (1.0 + log2(group)) / 4.0)
