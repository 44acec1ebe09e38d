"""What mixes tokens, on one device: a sequence with itself, one new token with its cache, a recurrence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.formulas.attention import (
    attended_tokens,
    attention_flops,
    attention_seconds,
    attention_traffic,
    score_traffic,
)
from llmplan.formulas.decode import decode_attention_seconds, repeated_reads_bandwidth
from llmplan.formulas.matmul import matmul_seconds
from llmplan.formulas.numeric import is_zero, maximum, minimum, real, where
from llmplan.formulas.states import split_parts
from llmplan.formulas.step import elementwise_bytes
from llmplan.machine.precision import WIDE_BYTES
from llmplan.model.layer import Core
from llmplan.work.flow import Flow
from llmplan.work.kernels import Kernels

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

BACKWARD_PRODUCTS = 2.5
"""Products of the backward pass over those of the forward: five to two, scores are computed again (Dao 2023, 3.1)."""
BACKWARD_RATE = 0.76
"""Rate of the backward kernel over the forward one: 560 to 740 TFLOP/s of FlashAttention-3 (Shah et al. 2024,
arXiv 2407.08608, section 4.1)."""
UNFUSED_BACKWARD = 2.0
"""Work of a backward pass that computes nothing again over the forward's."""
SCORE_PASSES_FORWARD, SCORE_PASSES_BACKWARD = 5.5, 8.0
"""Reads and writes of the score matrix by unfused attention, with mask and softmax in one kernel (Megatron-LM).
Forward: QK^T out 1, softmax reads the half that is not masked and writes all 1.5, dropout 2, product in 1. Backward:
out 1, dropout 2, softmax reads two halves and writes all 2, three products in 3. Ignored: dropout's mask of a byte."""
SUM_PASSES = 3.0
"""Reads and writes of an element that is added to a sum: two in, one out."""
FEW_STREAMS = 4.0
"""Sequences x cached heads below which reading the cache gets no faster: 2.5 to 8.3 on A100, H100 and B200."""


def mixing_forward(core: Core, flow: Flow, layout: Any, kernels: Kernels) -> Num:
    """What mixes the tokens of one layer, forward: prompts with themselves, decoding ones with their caches [s]."""
    seconds: Num = 0.0
    if not is_zero(flow.tokens):
        once = _forward(core, flow, layout, kernels)
        seconds = where(flow.tokens > 0, once, 0.0)
    if not is_zero(flow.decoding):
        seconds = seconds + where(flow.decoding > 0, decode_seconds(core, flow, layout, kernels), 0.0)
    return seconds


def mixing_backward(core: Core, flow: Flow, layout: Any, kernels: Kernels) -> Num:
    """The backward pass over the tokens of a training micro-batch [s]."""
    if core.kind == "recurrent":
        return UNFUSED_BACKWARD * _forward(core, flow, layout, kernels)
    if not kernels.software.flash:
        return _unfused(core, flow, layout, kernels, UNFUSED_BACKWARD, SCORE_PASSES_BACKWARD)
    return _flash(core, flow, layout, kernels, BACKWARD_PRODUCTS / BACKWARD_RATE, 2.0)


def _forward(core: Core, flow: Flow, layout: Any, kernels: Kernels) -> Num:
    if core.kind == "recurrent" or kernels.software.flash:
        return _flash(core, flow, layout, kernels, 1.0, 1.0)
    return _unfused(core, flow, layout, kernels, 1.0, SCORE_PASSES_FORWARD)


def _flash(core: Core, flow: Flow, layout: Any, kernels: Kernels, work: float, moved: float) -> Num:
    """Flash attention, or a recurrence in chunks; work, moved: FLOPs and bytes over those of the forward pass [1].

    Devices that share a sequence (cp) call it once for each piece of the keys and add up what comes out: outputs by
    their softmax's sums forward, gradients of queries, keys and values backward. Every call loses its ramp anew.
    """
    curve, tokens, tp = kernels.attention, flow.tokens, layout.tp
    # an index scores every earlier token, a recurrence updates its state: both beside any context
    extra = tokens * (core.token_flops + core.pair_flops * attended_tokens(flow.length, None, causal=True)) / tp
    if core.kind == "recurrent":
        traffic = moved * WIDE_BYTES * tokens * core.saved_elements / tp
        return attention_seconds(
            0.0, 0.0, 0.0, work * extra, traffic, rate=curve.rate, ramp=0.0, tail=0.0, bandwidth=curve.bandwidth,
            launch=curve.launch,
        )  # fmt: skip
    keys = flow.source if core.cross else flow.length
    attended = attended_tokens(keys, window_of(core, kernels), causal=core.causal, chunked=core.chunked)
    heads, kv_heads = core.heads / tp, core.kv_heads / split_parts(tp, real(core.kv_heads))
    calls: Num = layout.cp * 1.0  # one for each piece of keys and values that comes around
    traffic = moved * attention_traffic(tokens, tokens, heads, kv_heads, core.qk_dim, core.v_dim, WIDE_BYTES)
    once = attention_seconds(
        tokens * heads, attended / calls, work * (core.qk_dim + core.v_dim), work * extra / calls, traffic,
        rate=curve.rate, ramp=curve.ramp, tail=curve.tail, bandwidth=curve.bandwidth, launch=curve.launch,
    )  # fmt: skip
    summed = heads * core.v_dim if moved == 1.0 else heads * core.qk_dim + kv_heads * (core.qk_dim + core.v_dim)
    sums: Num = where(calls > 1.0, calls, 0.0) * elementwise_bytes(tokens, summed, SUM_PASSES) / kernels.stream
    return calls * once + sums


def _unfused(core: Core, flow: Flow, layout: Any, kernels: Kernels, work: float, passes: float) -> Num:
    """Two batched products (inner length: the head's width) and a softmax that streams the scores through memory [s].

    The whole square is computed, also where it is causal.
    """
    curve, heads = kernels.wide, core.heads / layout.tp
    keys = flow.source if core.cross else flow.length
    attended = attended_tokens(keys, window_of(core, kernels), causal=False, chunked=core.chunked)
    products = matmul_seconds(
        flow.tokens * heads, attended, core.qk_dim, rate=curve.rate, ramp_k=curve.ramp_k, tail=curve.tail, traffic=0.0,
        bandwidth=kernels.stream, launch=curve.launch,
    )  # fmt: skip
    return 2.0 * work * products + score_traffic(flow.tokens, attended, heads, passes) / kernels.stream


def decode_seconds(core: Core, flow: Flow, layout: Any, kernels: Kernels) -> Num:
    """New tokens of sequences against their caches, which are read once for all of a sequence's [s].

    Latent attention (one cached vector for all heads) works on the latents: as wide as what is cached, twice.
    """
    curve, tp = kernels.decode, layout.tp / flow.spread
    parts = split_parts(tp * 1.0, real(core.cache_heads))
    seen = flow.source if core.cross else flow.context / flow.spread
    window = cache_window(core, kernels)
    attended = seen if window is None else minimum(seen, window)
    growing, index = core.cache_elements - core.index_elements, core.index_elements * core.cache_ratio
    read = kernels.cache_bytes * (growing * attended + index * seen) + 2.0 * core.state_elements * core.state_bytes
    width = 2.0 * growing if core.latent else real(core.qk_dim + core.v_dim)
    each = (attention_flops(1.0, attended, core.heads, width, 0.0) + core.token_flops + core.pair_flops * seen) / tp
    streams = flow.decoding * maximum(core.cache_heads / parts, 1.0)
    return decode_attention_seconds(
        flow.decoding * read / parts, maximum(streams, 1e-9), flow.decoding * flow.each * each, few=FEW_STREAMS,
        bandwidth=_cache_bandwidth(core, parts, tp, kernels),
        rate=curve.latent_rate if core.latent else curve.rate, latency=curve.latency,
    )  # fmt: skip


def window_of(core: Core, kernels: Kernels) -> float | None:
    """Tokens that a token is compared with at most, under software that may ignore sliding windows [1]."""
    sliding = core.cache_window is not None and not core.chunked
    if core.context is None or (sliding and not kernels.software.windows):
        return None
    return real(core.context)


def cache_window(core: Core, kernels: Kernels) -> float | None:
    """Cached tokens that decoding reads at most [1]."""
    if core.cache_window is None or core.chunked:
        window = core.context if core.cache_window is None else core.cache_window
        return None if window is None else real(window)
    return real(core.cache_window) if kernels.software.windows else None


def _cache_bandwidth(core: Core, parts: Num, tp: Num, kernels: Kernels) -> Num:
    """Rate at which the cache is read, where not all query heads of a group share one reading [bytes/s]."""
    curve, software = kernels.decode, kernels.software
    if software.shares_cache or core.latent or core.kind == "recurrent":
        return curve.bandwidth
    readers = core.heads / tp * parts / maximum(core.cache_heads, 1)
    apart = repeated_reads_bandwidth(readers, curve.bandwidth, curve.on_chip)
    for group in software.shared_groups:
        apart = where(readers == group, curve.bandwidth, apart)
    return apart
