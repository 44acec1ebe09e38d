"""Layers that keep a state of fixed size: gated delta net, lightning attention, Mamba-2.

FLOPs are those of the recurrence, token by token. Kernels work on chunks and do more (about
2 x chunk x width a head for the part inside a chunk), but as matrix products; the recurrence is
the work that cannot be avoided, and all of it is small beside the projections.
"""

from __future__ import annotations

from llmplan.formulas.numeric import real
from llmplan.model.lowering_parts import Part, needed
from llmplan.model.model import Core, Linear
from llmplan.model.spec import ModelSpec

# FLOPs for each element of a head's state and token: decay 1, write 2 (outer product, addition), read 2
# (product with the query, sum). S_t = a_t S_{t-1} + v_t k_t^T, o_t = S_t q_t: Mamba-2, arXiv 2405.21060 eq. 1 and 6.
STATE_FLOPS = 5.0
# The delta rule first reads what the key holds: S_t = S_{t-1} (a_t (I - b_t k_t k_t^T)) + b_t v_t k_t^T,
# one product with the key more (2): Gated Delta Networks, arXiv 2412.06464 eq. 10.
DELTA_STATE_FLOPS = 7.0


def delta(spec: ModelSpec) -> Part:
    """Gated delta net (Qwen3-Next, Qwen3.5): a key_dim x value_dim state for each value head."""
    limit, heads = needed(spec.linear_key_heads, spec.linear_value_heads)
    key_dim, value_dim = needed(spec.linear_key_head_dim, spec.linear_value_head_dim)
    values = heads * value_dim
    convolved = 2 * limit * key_dim + values
    linears = (
        Linear("linear_qkv", "recurrent_in", spec.hidden, convolved, "column", limit),
        Linear("linear_gate", "recurrent_in", spec.hidden, values, "column", limit, saves_input=False),
        Linear("linear_decay", "recurrent_in", spec.hidden, 2 * heads, "column", limit, saves_input=False),
        Linear("out", "recurrent_out", values, spec.hidden, "row", limit),
    )
    state = real(heads * key_dim * value_dim)
    core = Core(
        "recurrent", heads, limit, key_dim, value_dim,
        cache_heads=limit, scores=False,
        state_elements=state + (spec.conv_kernel - 1) * convolved,
        token_flops=DELTA_STATE_FLOPS * state + 2.0 * spec.conv_kernel * convolved,
        saved_elements=real(2 * convolved + values),  # before and after the convolution; the gate
    )  # fmt: skip
    # convolution without bias; decay rate and step bias a head; norm of one value head
    extra = spec.conv_kernel * convolved + 2 * heads + value_dim
    return Part("delta", linears, (core,), extra)


def lightning(spec: ModelSpec) -> Part:
    """Lightning attention (MiniMax-01, arXiv 2501.08313 sec. 2.2): linear attention with a fixed decay a head."""
    heads, dim = spec.heads, spec.head_dim
    width = heads * dim
    linears = (
        Linear("linear_qkv", "recurrent_in", spec.hidden, 3 * width, "column", heads),
        Linear("linear_gate", "recurrent_in", spec.hidden, width, "column", heads, saves_input=False),
        Linear("out", "recurrent_out", width, spec.hidden, "row", heads),
    )
    state = real(heads * dim * dim)
    core = Core(
        "recurrent", heads, heads, dim, dim, cache_heads=heads, scores=False, state_elements=state,
        token_flops=STATE_FLOPS * state, saved_elements=4.0 * width,
    )  # fmt: skip
    return Part("lightning", linears, (core,), width)


def mamba2(spec: ModelSpec) -> Part:
    """Mamba-2 (arXiv 2405.21060): a head_dim x state_size state for each head, B and C shared in groups."""
    heads, head_dim = needed(spec.mamba_heads, spec.mamba_head_dim)
    limit, state_size = needed(spec.mamba_groups, spec.mamba_state)
    inner = heads * head_dim
    convolved = inner + 2 * limit * state_size
    linears = (
        Linear("mamba_in", "recurrent_in", spec.hidden, inner + convolved + heads, "column", limit),
        Linear("out", "recurrent_out", inner, spec.hidden, "row", limit),
    )
    state = real(inner * state_size)
    core = Core(
        "recurrent", heads, limit, state_size, head_dim,
        cache_heads=limit, scores=False,
        state_elements=state + (spec.conv_kernel - 1) * convolved,
        token_flops=STATE_FLOPS * state + 2.0 * spec.conv_kernel * convolved,
        saved_elements=real(2 * convolved + inner),
    )  # fmt: skip
    taps = spec.conv_kernel + (1 if spec.conv_bias else 0)
    # decay, skip and step bias a head; the gated norm
    extra = taps * convolved + 3 * heads + (inner if spec.mamba_norm else 0)
    return Part("mamba2", linears, (core,), extra)
