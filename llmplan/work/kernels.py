"""Device time of one layer for one micro-batch: matrix products, attention, elementwise work, forward and backward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmplan.formulas.attention import (
    attended_tokens,
    attention_flops,
    attention_seconds,
    attention_traffic,
    score_traffic,
)
from llmplan.formulas.matmul import grouped_matmul_seconds, matmul_seconds, matmul_traffic
from llmplan.formulas.numeric import minimum, real, where
from llmplan.formulas.states import expert_parts, split_parts
from llmplan.formulas.step import elementwise_bytes
from llmplan.machine.rates import MatmulRate
from llmplan.model.model import Core, Layer, Linear
from llmplan.training.plan import TrainingPlan
from llmplan.work.tokens import linear_share, sequence, source_share

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

# Backward attention does 5 products where forward does 2 (scores are computed again): Dao 2023, section 3.1.
FLASH_BACKWARD = 2.5
UNFUSED_BACKWARD = 2.0
# Reads and writes of the score matrix by unfused attention, forward and backward, with mask and softmax in one
# kernel (Megatron-LM): QK^T out, softmax in and out, dropout in and out with its mask, product in.
SCORE_PASSES_FORWARD, SCORE_PASSES_BACKWARD = 5.5, 8.0
# Reads and writes of a vector: a norm in and out, a residual addition two in and one out, a non-linearity in
# (each half of a gated one) and out. The backward pass moves about twice that.
NORM_PASSES, RESIDUAL_PASSES, ACTIVATION_PASSES, ELEMENTWISE_BACKWARD = 2.0, 3.0, 1.5, 2.0
# Rotary embedding reads and writes queries and keys; saved_elements counts q, k and v.
ROTARY_PASSES = 1.5
# Casting to 8 bits or fewer: read 16 bits, write two copies (rows and columns), in vectors of 16 bits.
CAST_PASSES = 2.0
CAST_ONCE_PASSES = 1.5  # one copy is enough where no gradient of the weight is computed (LoRA)
_GROUP_PAD = 64.0  # rows: half a 128-row tile lost in each expert's last one
_ELEMENT = 2.0  # bytes: queries, keys, values and states have 16 bits whatever the products have
_OUTPUT_BYTES = 2.0  # a product writes 16 bits
_WGRAD_BYTES = 8.0  # the fp32 accumulator of a weight gradient is read and written


@dataclass(frozen=True, slots=True)
class Rates:
    """What kernels reach, for one plan: products in the workload's precision and in 16 bits, attention, streams."""

    low: MatmulRate
    wide: MatmulRate
    attention: float  # [FLOP/s], forward
    bandwidth: float  # [bytes/s]
    units_ramp: float  # FLOPs lost while an attention kernel fills the chip [FLOP]


@dataclass(frozen=True, slots=True)
class Parts:
    """Seconds of a layer's device work; every field a number or an array [s]."""

    matmul: Num = 0.0
    attention: Num = 0.0
    elementwise: Num = 0.0

    def __add__(self, other: Parts) -> Parts:
        return Parts(self.matmul + other.matmul, self.attention + other.attention, self.elementwise + other.elementwise)

    def __mul__(self, factor: Num) -> Parts:
        return Parts(self.matmul * factor, self.attention * factor, self.elementwise * factor)

    @property
    def total(self) -> Num:
        """All of them [s]."""
        return self.matmul + self.attention + self.elementwise


def local_shape(linear: Linear, tp: Num, ep: Num) -> tuple[Num, Num]:
    """Outputs and inputs (n, k) of a matrix on one device [1]."""
    n, k = real(linear.outputs), real(linear.inputs)
    if linear.split == "none":
        return n, k
    parts = expert_parts(tp, ep) / ep if linear.routed else split_parts(tp, real(linear.split_limit))
    return (n / parts, k) if linear.split == "column" else (n, k / parts)


def linear_seconds(linear: Linear, tokens: Num, layout: Any, rate: MatmulRate, direction: str) -> Num:
    """One product of a matrix: `forward`, `dgrad` (of its input) or `wgrad` (of its weights) [s].

    tokens: of the micro-batch on this device [1].
    """
    n, k = local_shape(linear, layout.tp, layout.ep)
    columns, inner = (n, k) if direction == "forward" else (k, n)
    element, curve = rate.element, rate.curve()
    if not linear.routed:
        if direction == "wgrad":
            return matmul_seconds(k, n, tokens, traffic=matmul_traffic(k, n, tokens, element, _WGRAD_BYTES), **curve)
        return matmul_seconds(
            tokens, columns, inner, traffic=matmul_traffic(tokens, columns, inner, element, _OUTPUT_BYTES), **curve
        )
    rows = tokens * linear.active / minimum(layout.tp, layout.ep)
    groups = linear.experts / layout.ep
    if direction == "wgrad":
        each = rows / groups
        traffic = groups * matmul_traffic(k, n, each, element, _WGRAD_BYTES)
        return matmul_seconds(groups * k, n, each, traffic=traffic, **curve)
    touched = minimum(groups, rows)
    traffic = matmul_traffic(rows, columns, inner, element, _OUTPUT_BYTES, touched)
    return grouped_matmul_seconds(rows, touched, columns, inner, pad=_GROUP_PAD, traffic=traffic, **curve)


def core_seconds(
    core: Core, tokens: Num, seq_len: Num, source_len: Num, layout: Any, rates: Rates, *, flash: bool
) -> tuple[Num, Num]:
    """What mixes tokens, forward and backward [s], for `tokens` queries of sequences of seq_len.

    source_len: tokens of the encoder's sequence, whose keys cross attention reads [1].
    """
    # An index scores every earlier token, a recurrent core updates its state: both beside any context.
    beside = core.token_flops + core.pair_flops * attended_tokens(seq_len, None, causal=True)
    extra = tokens * beside / layout.tp
    if core.kind == "recurrent":
        traffic = _ELEMENT * tokens * core.saved_elements / layout.tp
        once = _attention(extra, traffic, rates)
        return once, UNFUSED_BACKWARD * once
    heads, kv_heads = core.heads / layout.tp, core.kv_heads / split_parts(layout.tp, real(core.kv_heads))
    context = None if core.context is None else real(core.context)
    keys = source_len if core.cross else seq_len
    if not flash:
        attended = attended_tokens(keys, context, causal=False, chunked=core.chunked)
        return _unfused_seconds(core, tokens, attended, heads, rates)
    attended = attended_tokens(keys, context, causal=core.causal, chunked=core.chunked)
    work = attention_flops(tokens, attended, heads, core.qk_dim, core.v_dim) + extra
    traffic = attention_traffic(tokens, tokens * layout.cp, heads, kv_heads, core.qk_dim, core.v_dim, _ELEMENT)
    return _attention(work, traffic, rates), _attention(FLASH_BACKWARD * work, 2.0 * traffic, rates)


def _attention(work: Num, traffic: Num, rates: Rates) -> Num:
    return attention_seconds(
        work, traffic, rate=rates.attention, bandwidth=rates.bandwidth, launch=rates.wide.launch, ramp=rates.units_ramp
    )


def _unfused_seconds(core: Core, tokens: Num, attended: Num, heads: Num, rates: Rates) -> tuple[Num, Num]:
    """Two batched products (inner length: the head's width) and a softmax that streams the scores through memory [s].

    The whole square is computed, also where it is causal.
    """
    products = matmul_seconds(
        tokens * heads, attended, core.qk_dim, rate=rates.wide.rate, ramp_k=rates.wide.ramp_k, tail=rates.wide.tail,
        traffic=0.0, bandwidth=rates.bandwidth, launch=rates.wide.launch,
    )  # fmt: skip
    scores = score_traffic(tokens, attended, heads, 1.0) / rates.bandwidth
    forward = 2.0 * products + scores * SCORE_PASSES_FORWARD
    return forward, UNFUSED_BACKWARD * 2.0 * products + scores * SCORE_PASSES_BACKWARD


def elementwise_seconds(layer: Layer, tokens: Num, layout: Any, rates: Rates, passes: float, *, casts: float) -> Num:
    """Norms, residuals, non-linearities, rotations and casts of one layer, forward [s].

    passes: the stack's factor; casts: passes over each input that casting it takes, 0 in 16 bits [1].
    """
    copies = 1.0 + 1.0 * layout.sequence_parallel * (layout.tp - 1.0)
    outside = (NORM_PASSES * layer.norms + RESIDUAL_PASSES * layer.residuals) * layer.hidden / copies
    saved = sum(core.saved_elements for core in layer.cores)
    inside = ACTIVATION_PASSES * layer.activation_elements + ROTARY_PASSES * saved
    routed = sum(linear.inputs * linear.active for linear in layer.linears if linear.routed and linear.saves_input)
    moved = outside + inside / layout.tp + 2.0 * routed / layout.tp  # permuting tokens to experts and back
    if casts:
        cast = sum(linear.inputs * linear.active for linear in layer.linears if linear.saves_input)
        moved = moved + casts * cast / layout.tp
    return elementwise_bytes(tokens, moved, passes) / rates.bandwidth


def layer_seconds(
    layer: Layer,
    tokens: Num,
    seq_len: Num,
    source_len: Num,
    layout: Any,
    rates: Rates,
    *,
    flash: bool,
    passes: float,
    trained: bool,
    low: bool,
) -> tuple[Parts, Parts]:
    """Forward and backward of one layer for one micro-batch on one device, communication aside [s].

    trained: whether weight gradients are computed (not for the frozen base of LoRA);
    low: whether inputs are cast to 8 bits or fewer.
    """
    forward: Num = 0.0
    backward: Num = 0.0
    for linear in layer.linears:
        rate = rates.wide if linear.wide else rates.low
        rows = tokens * linear_share(linear, source_len / seq_len)
        forward = forward + linear_seconds(linear, rows, layout, rate, "forward")
        backward = backward + linear_seconds(linear, rows, layout, rate, "dgrad")
        if trained:
            backward = backward + linear_seconds(linear, rows, layout, rate, "wgrad")
    mix_forward: Num = 0.0
    mix_backward: Num = 0.0
    for core in layer.cores:
        one, two = core_seconds(core, tokens, seq_len, source_len, layout, rates, flash=flash)
        mix_forward, mix_backward = mix_forward + one, mix_backward + two
    casts = 0.0 if not low else CAST_PASSES if trained else CAST_ONCE_PASSES
    moved = elementwise_seconds(layer, tokens, layout, rates, passes, casts=casts)
    return Parts(forward, mix_forward, moved), Parts(backward, mix_backward, ELEMENTWISE_BACKWARD * moved)


def model_flops(plan: TrainingPlan) -> float:
    """FLOPs of one forward pass over the global batch [FLOP]: matrix products and attention.

    Causal attention counts the half that is needed. Embedding look-ups count nothing, the head does.
    """
    model, sequences = plan.model, real(plan.workload.global_batch)
    head = 2.0 * sequences * sequence(plan) * model.hidden * model.vocab if model.head else 0.0
    products, mixing = layer_flops(plan)
    return head + products + mixing


def layer_flops(plan: TrainingPlan) -> tuple[float, float]:
    """FLOPs of all layers in one forward pass over the global batch: matrix products, and what mixes tokens [FLOP]."""
    products = mixing = 0.0
    for layer in plan.model.layers:
        length = sequence(plan, layer)
        tokens = plan.workload.global_batch * length * layer.count
        source = source_share(plan, layer)
        passes = ((x, x.active * real(linear_share(x, source))) for x in layer.linears)
        products += sum(2.0 * x.inputs * x.outputs * times for x, times in passes) * tokens
        for core in layer.cores:
            mixing += tokens * (core.token_flops + core.pair_flops * length / 2.0)
            if core.kind == "softmax":
                keys = real(plan.workload.seq_len) if core.cross else length
                context = None if core.context is None else real(core.context)
                attended = attended_tokens(keys, context, causal=core.causal, chunked=core.chunked)
                mixing += real(attention_flops(tokens, attended, core.heads, core.qk_dim, core.v_dim))
    return products, mixing


def choose(condition: Any, a: Parts, b: Parts) -> Parts:
    """a where the condition holds, else b, part by part."""
    return Parts(
        where(condition, a.matmul, b.matmul), where(condition, a.attention, b.attention),
        where(condition, a.elementwise, b.elementwise),
    )  # fmt: skip
