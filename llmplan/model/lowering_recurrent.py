"""Layers that keep a state of fixed size: delta nets, lightning attention, Mamba-1 and 2, short convolutions.

FLOPs are those of the recurrence, token by token. Kernels work on chunks and do more (about
2 x chunk x width a head for the part inside a chunk), but as matrix products; the recurrence is
the work that cannot be avoided, and all of it is small beside the projections.
"""

from __future__ import annotations

from llmplan.formulas.numeric import real
from llmplan.model.layer import Core, Linear
from llmplan.model.lowering_parts import Part, needed
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


def mamba(spec: ModelSpec) -> Part:
    """Mamba-1 (arXiv 2312.00752 sec. 3): a state for each channel, its step, B and C from a narrow projection."""
    inner, rank, state_size = needed(spec.recurrent_width, spec.mamba_dt_rank, spec.mamba_state)
    linears = (
        Linear("mamba_in", "recurrent_in", spec.hidden, 2 * inner, "column"),
        Linear("mamba_x", "recurrent_in", inner, rank + 2 * state_size, "row"),
        Linear("mamba_dt", "recurrent_in", rank, inner, "column", bias=True),
        Linear("out", "recurrent_out", inner, spec.hidden, "row"),
    )
    state = real(inner * state_size)
    core = Core(
        "recurrent", 1, 1, state_size, inner, cache_heads=inner, scores=False,
        state_elements=state + (spec.conv_kernel - 1) * inner,
        token_flops=STATE_FLOPS * state + 2.0 * spec.conv_kernel * inner,
        saved_elements=3.0 * inner,
    )  # fmt: skip
    taps = spec.conv_kernel + (1 if spec.conv_bias else 0)
    # a decay an element of the state and a skip a channel
    extra = taps * inner + inner * state_size + inner
    return Part("mamba", linears, (core,), extra + (rank + 2 * state_size if spec.mamba_state_norms else 0))


def kda(spec: ModelSpec) -> Part:
    """Kimi delta attention (arXiv 2510.26692 sec. 3): a delta net that forgets each channel by itself."""
    heads, dim = needed(spec.linear_key_heads, spec.linear_key_head_dim)
    width, hidden, rank = heads * dim, spec.hidden, spec.gate_rank
    linears = [Linear("linear_qkv", "recurrent_in", hidden, 3 * width, "column", heads)]
    for name in ("forget", "gate"):
        if rank is None:
            linears.append(Linear(f"linear_{name}", "recurrent_in", hidden, width, "column", heads, saves_input=False))
            continue
        linears.append(Linear(f"linear_{name}_a", "recurrent_in", hidden, rank, saves_input=False))
        linears.append(Linear(f"linear_{name}_b", "recurrent_in", rank, width, "column", heads))
    linears.append(Linear("linear_write", "recurrent_in", hidden, heads, "column", heads, saves_input=False))
    linears.append(Linear("out", "recurrent_out", width, hidden, "row", heads))
    state = real(heads * dim * dim)
    core = Core(
        "recurrent", heads, heads, dim, dim, cache_heads=heads, scores=False,
        state_elements=state + (spec.conv_kernel - 1) * 3 * width,
        token_flops=DELTA_STATE_FLOPS * state + 2.0 * spec.conv_kernel * 3 * width,
        saved_elements=8.0 * width,  # q, k, v before and after the convolution; two gates
    )  # fmt: skip
    # convolution without bias; a step bias a channel, a decay a head; norm of one head
    return Part("kda", tuple(linears), (core,), spec.conv_kernel * 3 * width + width + heads + dim)


def conv(spec: ModelSpec) -> Part:
    """Gated short convolution (LFM2): x, B and C of one projection, C * conv(B * x), a projection back."""
    width, bias = spec.hidden, spec.conv_bias
    linears = (
        Linear("conv_in", "recurrent_in", width, 3 * width, "column", bias=bias),
        Linear("out", "recurrent_out", width, width, "row", bias=bias),
    )
    core = Core(
        "recurrent", 1, 1, 1, width, cache_heads=width, scores=False,
        state_elements=real((spec.conv_kernel - 1) * width), state_bytes=2.0,
        token_flops=(2.0 * spec.conv_kernel + 2.0) * width, saved_elements=4.0 * width,
    )  # fmt: skip
    return Part("conv", linears, (core,), (spec.conv_kernel + (1 if bias else 0)) * width)


def rglru(spec: ModelSpec) -> Part:
    """Gated linear recurrence (Griffin, arXiv 2402.19427 sec. 2.4): a state a channel, gates by blocks of heads."""
    (width,) = needed(spec.recurrent_width)
    block = width // spec.heads
    linears = (
        Linear("linear_y", "recurrent_in", spec.hidden, width, "column", spec.heads, bias=True),
        Linear("linear_x", "recurrent_in", spec.hidden, width, "column", spec.heads, bias=True, saves_input=False),
        Linear("gates", "recurrent_in", block, 2 * width, "column", spec.heads, bias=True),
        Linear("out", "recurrent_out", width, spec.hidden, "row", spec.heads, bias=True),
    )
    core = Core(
        "recurrent", spec.heads, spec.heads, 1, block, cache_heads=spec.heads, scores=False,
        state_elements=real(spec.conv_kernel * width),
        token_flops=(STATE_FLOPS + 2.0 * spec.conv_kernel) * width, saved_elements=5.0 * width,
    )  # fmt: skip
    return Part("rglru", linears, (core,), (spec.conv_kernel + 2) * width)  # taps with their bias; a decay a channel
