"""Softmax attention as matrices and cores: multi-head and grouped, latent (MLA), sparse, compressed."""

from __future__ import annotations

from llmplan.formulas.numeric import real
from llmplan.model.lowering_parts import Part, needed
from llmplan.model.model import Core, Linear
from llmplan.model.spec import ModelSpec


def attention(spec: ModelSpec, kind: str, causal: bool, kv_heads: int | None = None, cross: bool = False) -> Part:
    """Multi-head, grouped-query or multi-query attention: full, within a sliding window, or within chunks.

    kv_heads: of this layer where it has its own. cross: keys and values come from the encoder.
    """
    heads, kv, dim = _widths(spec, kind, kv_heads)
    shared = spec.k_eq_v and kind == "full"
    prefix = "cross_" if cross else ""
    # keys and values of cross-attention read the encoder's output, which its last norm has kept already
    kv_outputs = (1 if shared else 2) * kv * dim
    linears = [
        Linear(f"{prefix}q", "attention_in", spec.hidden, heads * dim, "column", heads, spec.qkv_bias),
        Linear(
            f"{prefix}kv",
            "cross_kv" if cross else "attention_in",
            spec.hidden,
            kv_outputs,
            "column",
            kv,
            spec.qkv_bias,
            saves_input=False,
        ),
    ]
    if spec.relative_projection:
        # projects positions, not tokens: counted as if every token had one, as at batch 1
        linears.append(Linear("relative", "attention_in", spec.hidden, heads * dim, "column", heads, saves_input=False))
    if spec.attention_gate != "none":
        width = heads * (dim if spec.attention_gate == "element" else 1)
        linears.append(Linear("attention_gate", "attention_in", spec.hidden, width, "column", heads, saves_input=False))
    linears.append(
        Linear(f"{prefix}out", "attention_out", heads * dim, spec.hidden, "row", heads, spec.attention_out_bias)
    )
    name = {"full": "attention"}.get(kind, kind)
    core = _core(spec, kind, (heads, kv, dim), causal, cross)
    return Part("cross" if cross else name, tuple(linears), (core,), _attention_extras(spec, heads, kv, dim))


def _widths(spec: ModelSpec, kind: str, kv_heads: int | None) -> tuple[int, int, int]:
    """Query heads, kv heads and head width of a layer of this kind."""
    heads = (spec.sliding_heads or spec.heads) if kind == "sliding" else spec.heads
    if kind == "full":
        return heads, kv_heads or spec.global_kv_heads or spec.kv_heads, spec.global_head_dim or spec.head_dim
    return heads, kv_heads or spec.kv_heads, spec.head_dim


def _core(spec: ModelSpec, kind: str, widths: tuple[int, int, int], causal: bool, cross: bool) -> Core:
    heads, kv, dim = widths
    context = {"sliding": spec.sliding_window, "chunked": spec.chunk}.get(kind)
    return Core(
        "softmax", heads, kv, dim, dim, causal=causal, context=context, chunked=kind == "chunked", cross=cross,
        # an encoder computes its keys once and keeps none
        cache_elements=2.0 * kv * dim if causal or cross else 0.0,
        cache_heads=kv, cache_window=context,
        saved_elements=real((heads + 2 * kv) * dim),
    )  # fmt: skip


def _attention_extras(spec: ModelSpec, heads: int, kv: int, dim: int) -> int:
    """Parameters beside the matrices: norms of queries and keys, sinks, relative biases."""
    # a norm with a bias has one here too (Phi, Persimmon)
    vectors = 2 if spec.norm == "layernorm" else 1
    norms = {"none": 0, "head": 2 * dim, "layer": (heads + kv) * dim}[spec.qk_norm] * vectors
    return norms + (heads if spec.sinks else 0) + spec.relative_biases * heads * dim


def latent_attention(spec: ModelSpec, kind: str, causal: bool) -> Part:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434 sec. 2.1), dense or with a sparse index.

    The cache holds the latent vector and one rotary key for all heads: 512 + 64 elements, whatever the heads.
    """
    heads, hidden = spec.heads, spec.hidden
    rank, nope, rope, v_dim = needed(spec.kv_lora_rank, spec.qk_nope_head_dim, spec.qk_rope_head_dim, spec.v_head_dim)
    qk_dim, latent = nope + rope, rank + rope
    window = spec.sliding_window if kind == "sliding" else None
    linears = _low_rank_queries(spec, heads * qk_dim)
    linears += [
        Linear("kv_a", "attention_in", hidden, latent, bias=spec.qkv_bias, saves_input=False),
        Linear("kv_b", "attention_in", rank, heads * (nope + v_dim), "column", heads),
        Linear("out", "attention_out", heads * v_dim, hidden, "row", heads, spec.attention_out_bias),
    ]
    index = _index(spec, hidden)
    core = Core(
        "softmax", heads, heads, qk_dim, v_dim, causal=causal, context=window or spec.index_topk, cache_window=window,
        cache_elements=real(latent + (spec.index_head_dim or 0)), cache_heads=1,
        pair_flops=_index_pair_flops(spec), index_elements=real(spec.index_head_dim or 0),
        saved_elements=real(heads * (2 * qk_dim + v_dim)),
    )  # fmt: skip
    extra = rank + (spec.q_lora_rank or 0) + index.extra_parameters
    name = "sliding" if window else "sparse" if spec.index_heads else "attention"
    return Part(name, (*linears, *index.linears), (core,), extra)


def _low_rank_queries(spec: ModelSpec, outputs: int) -> list[Linear]:
    if spec.q_lora_rank is None:
        return [Linear("q", "attention_in", spec.hidden, outputs, "column", spec.heads, spec.qkv_bias)]
    return [
        Linear("q_a", "attention_in", spec.hidden, spec.q_lora_rank, bias=spec.qkv_bias),
        Linear("q_b", "attention_in", spec.q_lora_rank, outputs, "column", spec.heads),
    ]


def _index(spec: ModelSpec, hidden: int) -> Part:
    """The index of DeepSeek sparse attention (DeepSeek-V3.2, arXiv 2512.02556 sec. 2): few small heads, one key."""
    if spec.index_heads is None or spec.index_head_dim is None or spec.q_lora_rank is None:
        return Part("index", ())
    linears = (
        Linear("index_q", "index", spec.q_lora_rank, spec.index_heads * spec.index_head_dim, saves_input=False),
        Linear("index_k", "index", hidden, spec.index_head_dim, saves_input=False),
        Linear("index_weights", "index", hidden, spec.index_heads, saves_input=False),
    )
    return Part("index", linears, extra_parameters=2 * spec.index_head_dim)  # its key norm is a LayerNorm


def _index_pair_flops(spec: ModelSpec) -> float:
    """sum over heads of w_h ReLU(q_h . k): a dot product, a ReLU, a product and an addition for each head [FLOP]."""
    return real((spec.index_heads or 0) * (2 * (spec.index_head_dim or 0) + 3))


def compressed(spec: ModelSpec, ratio: int) -> Part:
    """Attention of DeepSeek-V4: a sliding window, and beside it entries that each stand for `ratio` tokens.

    Keys and values are one shared vector of head_dim. With ratio 4 each entry mixes two windows and an
    index picks `index_topk` entries; with 128 all entries are read; 0 = the window alone. (Shapes:
    transformers 5.23, models/deepseek_v4/modeling_deepseek_v4.py.)
    Ignored: entries come into being only every `ratio` tokens, so a short context is charged slightly more.
    """
    heads, dim, hidden = spec.heads, spec.head_dim, spec.hidden
    groups, rank, q_rank = needed(spec.output_groups, spec.output_lora_rank, spec.q_lora_rank)
    linears = _low_rank_queries(spec, heads * dim)
    linears += [
        Linear("kv", "attention_in", hidden, dim, saves_input=False),
        # block-diagonal: each group of heads has its own matrix, so its rows are heads x head_dim / groups
        Linear("out_a", "attention_out", heads * dim // groups, groups * rank, "column", groups),
        Linear("out", "attention_out", groups * rank, hidden, "row", groups),
    ]
    window = Core(
        "softmax", heads, 1, dim, dim, context=spec.sliding_window, cache_elements=real(dim), cache_heads=1,
        cache_window=spec.sliding_window, saved_elements=real((heads + 1) * dim),
    )  # fmt: skip
    extra = q_rank + dim + heads  # norms of q and kv, a sink a head
    if not ratio:
        return Part("sliding", tuple(linears), (window,), extra)
    compressor, entries = _compressor(spec, ratio)
    name = f"compressed{ratio}"
    return Part(name, (*linears, *compressor.linears), (window, entries), extra + compressor.extra_parameters)


SELECTED_RATIO = 4  # compression at which the index selects and entries overlap (same source as above)


def _compressor(spec: ModelSpec, ratio: int) -> tuple[Part, Core]:
    """Matrices that make compressed entries, and the attention to them."""
    hidden, dim = spec.hidden, spec.head_dim
    index_heads, index_dim, q_rank = needed(spec.index_heads, spec.index_head_dim, spec.q_lora_rank)
    selected = ratio == SELECTED_RATIO
    series = 2 if selected else 1  # overlapping windows: every token gives to two entries
    linears = [
        Linear("compress_kv", "attention_in", hidden, series * dim, saves_input=False),
        Linear("compress_gate", "attention_in", hidden, series * dim, saves_input=False),
    ]
    extra = ratio * series * dim + dim  # a bias a position in the window; the entry's norm
    if not selected:
        pair_flops = 2.0 * spec.heads * 2 * dim / ratio  # q.k and p.v with every entry
        core = Core(
            "softmax", spec.heads, 1, dim, dim, context=1, cache_elements=real(dim), cache_ratio=1 / ratio,
            pair_flops=pair_flops, index_elements=real(dim), saved_elements=0.0,
        )  # fmt: skip
        return Part("compressor", tuple(linears), extra_parameters=extra), core
    linears += [
        Linear("index_kv", "index", hidden, series * index_dim, saves_input=False),
        Linear("index_gate", "index", hidden, series * index_dim, saves_input=False),
        Linear("index_q", "index", q_rank, index_heads * index_dim, saves_input=False),
        Linear("index_weights", "index", hidden, index_heads, saves_input=False),
    ]
    core = Core(
        "softmax", spec.heads, 1, dim, dim, context=spec.index_topk, cache_elements=real(dim + index_dim),
        cache_ratio=1 / ratio, pair_flops=_index_pair_flops(spec) / ratio, index_elements=real(index_dim),
    )  # fmt: skip
    return Part("compressor", tuple(linears), extra_parameters=extra + ratio * series * index_dim + index_dim), core
