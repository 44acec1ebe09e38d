"""Softmax attention as matrices and cores: multi-head and grouped, latent (MLA), sparse, compressed."""

from __future__ import annotations

from typing import NamedTuple

from llmplan.formulas.kv_cache import cache_elements_gqa, cache_elements_mla
from llmplan.formulas.numeric import real
from llmplan.model.layer import Core, Linear
from llmplan.model.lowering_parts import Part, needed
from llmplan.model.spec import ModelSpec


def attention(spec: ModelSpec, kind: str, causal: bool, numbers: tuple[int, ...] = (), cross: bool = False) -> Part:
    """Multi-head, grouped-query or multi-query attention: full, within a sliding window, or within chunks.

    numbers: heads, kv heads and head width of this layer (or its kv heads alone) where it has its own.
    cross: keys and values come from the encoder. A `_shared` kind reads the cache of a layer before and has no
    keys of its own; that reading is not charged.
    """
    kind, reads_other, _ = kind.partition("_shared")
    shape = _shape(spec, kind, numbers)
    linears = [Linear("cross_q" if cross else "q", "attention_in", spec.hidden, shape.heads * shape.qk_dim, "column",
                      shape.heads, spec.qkv_bias)]  # fmt: skip
    if not reads_other:
        linears.append(_keys_and_values(spec, kind, shape, cross))
    if spec.relative_projection:
        # projects positions, not tokens: counted as if every token had one, as at batch 1
        linears.append(Linear("relative", "attention_in", spec.hidden, shape.heads * shape.qk_dim, "column",
                              shape.heads, saves_input=False))  # fmt: skip
    linears += _gate(spec, shape.heads, shape.v_dim)
    linears.append(Linear("cross_out" if cross else "out", "attention_out", shape.heads * shape.v_dim, spec.hidden,
                          "row", shape.heads, spec.attention_out_bias))  # fmt: skip
    name = {"full": "attention"}.get(kind, kind)
    core = _core(spec, kind, shape, causal, cross, caches=not reads_other)
    extra = _attention_extras(spec, kind, shape, own_keys=not reads_other)
    return Part("cross" if cross else name, tuple(linears), (core,), extra)


class Shape(NamedTuple):
    """Heads of one attention and their widths."""

    heads: int
    kv: int
    qk_dim: int
    v_dim: int


def _shape(spec: ModelSpec, kind: str, numbers: tuple[int, ...]) -> Shape:
    """Heads and widths of a layer of this kind: its own numbers, else those of its kind, else the model's."""
    heads, kv, dim, v_dim = spec.heads, spec.kv_heads, spec.head_dim, spec.v_head_dim
    if kind == "full":
        kv, dim = spec.global_kv_heads or kv, spec.global_head_dim or dim
    elif kind == "sliding":
        heads, kv, dim = spec.sliding_heads or heads, spec.sliding_kv_heads or kv, spec.sliding_head_dim or dim
        v_dim = spec.sliding_v_head_dim or (None if spec.sliding_head_dim else v_dim)
    if len(numbers) == 1:
        numbers = (0, *numbers)
    own = (*numbers, 0, 0, 0)
    return Shape(own[0] or heads, own[1] or kv, own[2] or dim, own[2] or v_dim or dim)


def _keys_and_values(spec: ModelSpec, kind: str, shape: Shape, cross: bool) -> Linear:
    """One matrix for both; that of cross-attention reads the encoder's output, which its last norm has kept."""
    one = spec.k_eq_v and kind == "full"
    outputs = shape.kv * shape.qk_dim + (0 if one else shape.kv * shape.v_dim)
    bias = spec.qkv_bias and spec.key_bias
    return Linear(
        "cross_kv" if cross else "kv", "cross_kv" if cross else "attention_in", spec.hidden, outputs, "column",
        shape.kv, bias, saves_input=False,
    )  # fmt: skip


def _gate(spec: ModelSpec, heads: int, v_dim: int) -> list[Linear]:
    """A gate on the attention output, one value a head or one an element."""
    if spec.attention_gate == "none":
        return []
    width = heads * (v_dim if spec.attention_gate == "element" else 1)
    return [Linear("attention_gate", "attention_in", spec.hidden, width, "column", heads, saves_input=False)]


def _core(spec: ModelSpec, kind: str, shape: Shape, causal: bool, cross: bool, caches: bool) -> Core:
    heads, kv, qk_dim, v_dim = shape
    context = {"sliding": spec.sliding_window, "chunked": spec.chunk}.get(kind)
    return Core(
        "softmax", heads, kv, qk_dim, v_dim, causal=causal, context=context, chunked=kind == "chunked", cross=cross,
        # an encoder computes its keys once and keeps none
        cache_elements=real(cache_elements_gqa(kv, qk_dim, v_dim)) if caches and (causal or cross) else 0.0,
        cache_heads=kv, cache_window=context,
        saved_elements=real(heads * qk_dim + kv * (qk_dim + v_dim)),
    )  # fmt: skip


def _attention_extras(spec: ModelSpec, kind: str, shape: Shape, own_keys: bool) -> int:
    """Parameters beside the matrices: norms of queries and keys, sinks, relative biases, biases of values alone."""
    heads, kv, dim, v_dim = shape
    # a norm with a bias has one here too (Phi, Persimmon), but not StableLM's
    vectors = 2 if spec.norm == "layernorm" and spec.qk_norm != "layer-no-bias" else 1
    keys = 1 if own_keys else 0
    whole = (heads + keys * kv) * dim
    norms = {"none": 0, "head": (1 + keys) * dim, "layer": whole, "layer-no-bias": whole}[spec.qk_norm] * vectors
    sinks = heads if spec.sinks or (spec.sliding_sinks and kind == "sliding") else 0
    values = kv * v_dim if spec.qkv_bias and not spec.key_bias else 0
    return norms + sinks + spec.relative_biases * heads * dim + values


def image_attention(spec: ModelSpec) -> Part:
    """A layer that looks at the image alone (Llama 3.2 Vision): queries of the text, keys of the image's tokens.

    Without an image it is passed over. In training an image counts as if it had as many tokens as the text.
    """
    shape = _shape(spec, "full", ())
    heads, kv, dim, _ = shape
    linears = (
        Linear("q", "attention_in", spec.hidden, heads * dim, "column", heads),
        Linear("kv", "cross_kv", spec.hidden, 2 * kv * dim, "column", kv, saves_input=False),
        Linear("out", "attention_out", heads * dim, spec.hidden, "row", heads),
    )
    core = _core(spec, "full", shape, causal=False, cross=True, caches=True)
    return Part("image", linears, (core,), extra_parameters=2 * dim + 2)  # norms of queries and keys; two gates


def latent_attention(spec: ModelSpec, kind: str, causal: bool) -> Part:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434 sec. 2.1), dense or with a sparse index.

    The cache holds the latent vector and one rotary key for all heads: 512 + 64 elements, whatever the heads.
    """
    heads, hidden = spec.heads, spec.hidden
    rank, nope, rope, v_dim = needed(spec.kv_lora_rank, spec.qk_nope_head_dim, spec.qk_rope_head_dim, spec.v_head_dim)
    qk_dim, latent = nope + rope, rank + rope
    window = spec.sliding_window if kind == "sliding" else None
    linears = _low_rank_queries(spec, heads * qk_dim)
    # beside the queries' first matrix, with which it runs as one (`fused_qkv_a_proj`)
    linears.insert(1, Linear("kv_a", "attention_in", hidden, latent, bias=spec.qkv_bias, saves_input=False))
    linears += [
        Linear("kv_b", "attention_in", rank, heads * (nope + v_dim), "column", heads),
        Linear("out", "attention_out", heads * v_dim, hidden, "row", heads, spec.attention_out_bias),
    ]
    linears[-1:-1] = _gate(spec, heads, v_dim)
    own_index = spec.index_heads is not None and kind == "full"
    index = _index(spec, hidden) if own_index else Part("index", ())
    keys = real(spec.index_head_dim or 0) if own_index else 0.0
    core = Core(
        "softmax", heads, heads, qk_dim, v_dim, causal=causal, context=window or spec.index_topk, cache_window=window,
        cache_elements=real(cache_elements_mla(rank, rope)) + keys, cache_heads=1,
        pair_flops=_index_pair_flops(spec) if own_index else 0.0, index_elements=keys,
        saved_elements=real(heads * (2 * qk_dim + v_dim)),
    )  # fmt: skip
    extra = rank + (spec.q_lora_rank or 0) + index.extra_parameters + (heads if spec.sinks else 0)
    name = "sliding" if window else "sparse" if spec.index_heads else "attention"
    return Part(name, (*linears, *index.linears), (core,), extra)


def _low_rank_queries(spec: ModelSpec, outputs: int) -> list[Linear]:
    if spec.q_lora_rank is None:
        return [Linear("q", "attention_in", spec.hidden, outputs, "column", spec.heads)]  # never with a bias
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


def compressed(spec: ModelSpec, ratio: int = 0) -> Part:
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
