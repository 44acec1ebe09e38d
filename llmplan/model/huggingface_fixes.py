"""What the table of families cannot say: one small function a family, named under `fix` in `families.yaml`.

Each takes the config and the fields read so far, and gives the fields corrected. Shapes are those of
the model's code in transformers 5.23.0 (or of its own repository where transformers has none).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmplan.model.huggingface_config import Config
from llmplan.model.huggingface_encoders import bart, narrow_embedding, t5, xlnet
from llmplan.model.patterns import compact

Fields = dict[str, Any]


def _qwen(config: Config, fields: Fields) -> Fields:
    """The first Qwen gives the width of gate and up together, and the heads' width as kv_channels."""
    width = fields.get("ffn_hidden")
    return fields | {"ffn_hidden": width // 2 if width else None}


def _qk_norm_flag(config: Config, fields: Fields) -> Fields:
    """`use_qk_norm` / `qk_layernorm`: Cohere has weights for all heads, GLM and Phi for one."""
    flag = config.value(("use_qk_norm", "qk_layernorm"), bool)
    kind = "layer" if config.model_type == "cohere" else "head"
    if fields.get("experts") and fields.get("shared_expert_ffn_hidden") and not fields.get("shared_experts"):
        fields = fields | {"shared_experts": 1}  # a width of its own and no number: one
    return fields | {"qk_norm": kind if flag else "none"}


def _stablelm(config: Config, fields: Fields) -> Fields:
    parallel = bool(config.value(("use_parallel_residual",), bool))
    norm = "layer" if config.value(("qk_layernorm",), bool) else "none"
    return fields | {"parallel_layers": parallel, "norms_per_layer": 1 if parallel else 2, "qk_norm": norm}


def _jais(config: Config, fields: Fields) -> Fields:
    """SwiGLU as GPT-2 spells it; learned positions unless it has ALiBi."""
    gated = (config.value(("activation_function",), str) or "gelu") == "swiglu"
    learned = (config.value(("position_embedding_type",), str) or "learned") == "learned"
    return fields | {"gated_mlp": gated} | ({} if learned else {"position_rows": None})


def _gpt_bigcode(config: Config, fields: Fields) -> Fields:
    multi_query = config.value(("multi_query",), bool)
    return fields | ({} if multi_query is False else {"kv_heads": 1})


def _gpt_neo(config: Config, fields: Fields) -> Fields:
    """`attention_types` [[[kinds], times], ...]: global and local layers."""
    types = config.data.get("attention_types")
    config.used.add("attention_types")
    try:
        words = {"global": "full", "local": "sliding"}
        layers = fields.get("layers") or 0
        kinds = [words[kind] for group, times in types or () for kind in group * min(int(times), layers)]
    except (TypeError, ValueError, KeyError, OverflowError):
        config.fault("attention_types must be [[[kinds, ...], times], ...] of global and local", "attention_types")
        return fields
    return fields | {
        "mixers": compact(kinds),
        "sliding_window": config.value(("window_size",), int) or 256,
    }


def _opt(config: Config, fields: Fields) -> Fields:
    """Two rows of positions more than tokens; the 350m has a narrow token table and no last norm."""
    narrow = config.value(("word_embed_proj_dim",), int)
    if config.value(("_remove_final_layer_norm",), bool):
        fields = fields | {"final_norm": False}
    rows = fields.get("position_rows")
    return fields | {
        "position_rows": rows + 2 if rows else None,
        "embedding_size": narrow if narrow and narrow != fields.get("hidden") else None,
    }


def _falcon(config: Config, fields: Fields) -> Fields:
    """One kv head (7B), groups with two norms in parallel (40B, 180B), or neither (1B)."""
    new = config.value(("new_decoder_architecture",), bool) or config.data.get("n_head_kv") is not None
    multi_query = config.value(("multi_query",), bool)
    kv = (
        fields.get("kv_heads") or fields.get("heads") if new else 1 if multi_query is not False else fields.get("heads")
    )
    norms = 2
    if fields.get("parallel_layers") or new:
        norms = config.value(("num_ln_in_parallel_attn",), int) or (2 if new else 1)
    return fields | {"kv_heads": kv, "norms_per_layer": norms}


def _nested(config: Config, key: str) -> dict[str, Any]:
    config.used.add(key)
    value = config.data.get(key)
    return value if isinstance(value, dict) else {}


def _mpt(config: Config, fields: Fields) -> Fields:
    """MPT keeps attention's keys in `attn_config`; without biases unless no_bias is false."""
    inner = _nested(config, "attn_config")
    bias = config.value(("no_bias",), bool) is False
    kv = 1 if inner.get("attn_type") == "multiquery_attention" else inner.get("kv_n_heads") or fields.get("heads")
    ratio = config.value(("expansion_ratio",), int) or 4
    rows = fields.get("max_context") if not inner.get("alibi") and not inner.get("rope") and inner else None
    return fields | {
        "kv_heads": kv,
        "ffn_hidden": fields["hidden"] * ratio if "hidden" in fields else None,
        "norm": "layernorm" if bias else "layernorm-no-bias",
        "qkv_bias": bias, "attention_out_bias": bias, "mlp_bias": bias,
        "position_rows": rows,
        "qk_norm": "layer" if inner.get("qk_ln") else "none",
    }  # fmt: skip


def _dbrx(config: Config, fields: Fields) -> Fields:
    attention, ffn = _nested(config, "attn_config"), _nested(config, "ffn_config")
    names = {"moe_num_experts": "experts", "moe_top_k": "experts_per_token", "ffn_hidden_size": "expert_ffn_hidden"}
    for key, field in names.items():
        if not isinstance(ffn.get(key), int):
            config.fault(f"ffn_config.{key} is missing", "ffn_config")
        fields = fields | {field: ffn.get(key)}
    return fields | {"kv_heads": attention.get("kv_n_heads") or fields.get("heads"), "mlps": "moe", "ffn_hidden": None}


def _latent(config: Config, fields: Fields) -> Fields:
    """The width of a query head under latent attention; a balancing bias a routed expert with `noaux_tc`."""
    nope, rope = fields.get("qk_nope_head_dim"), fields.get("qk_rope_head_dim")
    if not fields.get("kv_lora_rank"):
        config.fault("kv_lora_rank is missing: the rank of the latent vector")
    if not nope or not rope or not fields.get("v_head_dim"):
        config.fault("qk_nope_head_dim, qk_rope_head_dim and v_head_dim are needed for latent attention")
        return fields
    if config.data.get("topk_method") == "noaux_tc":
        fields = fields | {"router_bias": True}
    # `head_dim` and `num_key_value_heads` of these configs describe other things (rotary width, no cache)
    return fields | {"head_dim": nope + rope, "kv_heads": fields.get("heads")}


def _minicpm3(config: Config, fields: Fields) -> Fields:
    """The width of a value head is that of a plain one, unless it is told."""
    hidden, heads = fields.get("hidden"), fields.get("heads")
    width = hidden // heads if hidden and heads else None
    return _latent(config, {"v_head_dim": width} | fields)


def _granite_shared(config: Config, fields: Fields) -> Fields:
    """An MLP that every token takes stands beside the experts; without experts it is the only one."""
    shared = config.value(("shared_intermediate_size",), int)
    if not fields.get("experts"):
        return fields | {"experts": None, "ffn_hidden": shared, "mlps": "dense", "shared_expert_ffn_hidden": None}
    return fields | ({"shared_experts": 1} if shared else {})


def _hf_olmo(config: Config, fields: Fields) -> Fields:
    """OLMo's own format gives the width of gate and up together; the norm of OLMo 1 has no weights."""
    kind = config.value(("activation_type",), str) or "swiglu"
    norm = config.value(("layer_norm_type",), str) or "default"
    if kind != "swiglu" or norm != "default":
        config.fault(f"activation_type {kind!r} with layer_norm_type {norm!r} is not supported for hf_olmo")
    return _qwen(config, fields)


def _hunyuan(config: Config, fields: Fields) -> Fields:
    """Experts as wide as `moe_intermediate_size`, else as the MLP; `use_mixed_mlp_moe` says whether some are shared."""
    if config.value(("use_mixed_mlp_moe",), bool) is False:
        fields = fields | {"shared_experts": 0}
    flag = config.value(("use_qk_norm",), bool)
    return fields | ({"qk_norm": "none"} if flag is False else {})


def _minimax_m2(config: Config, fields: Fields) -> Fields:
    flag = config.value(("use_qk_norm",), bool)
    modules = config.value(("num_mtp_modules",), int) or 0
    each = config.value(("mtp_transformer_layers",), int) or 1
    return fields | {"qk_norm": "none" if flag is False else "layer", "mtp_layers": modules * each}


def _step(config: Config, fields: Fields) -> Fields:
    """Sliding layers may have more heads than full ones (`attention_other_setting`)."""
    other = _nested(config, "attention_other_setting").get("num_attention_heads")
    own = config.value(("num_sliding_attention_heads",), int) or other
    return fields | {"sliding_heads": own if own != fields.get("heads") else None}


def _gemma4(config: Config, fields: Fields) -> Fields:
    """The mixture of experts runs beside the dense MLP, with three norms, a scale a channel and one an expert."""
    if not fields.get("experts"):
        return fields
    return fields | {
        "shared_experts": 1,
        "shared_expert_ffn_hidden": fields.get("ffn_hidden"),
        "norms_per_layer": 7,
        "layer_extra_parameters": fields.get("hidden", 0) + fields["experts"],
    }


HYBRID_WORDS = {"mamba": "M", "attention": "*", "mlp": "-", "moe": "E"}
HYBRID = {"M": "mamba2", "*": "full", "-": "dense", "E": "moe"}


def _nemotron_h(config: Config, fields: Fields) -> Fields:
    """`hybrid_override_pattern`: M = Mamba-2, * = attention, - = MLP, E = experts; each layer is one of them."""
    pattern = config.value(("hybrid_override_pattern",), str)
    listed = config.data.get("layers_block_type")
    config.used.add("layers_block_type")
    if pattern is None and isinstance(listed, list):  # the same in words, as newer releases have it
        pattern = "".join(HYBRID_WORDS.get(str(word), "?") for word in listed)
    if pattern is None:
        config.fault("hybrid_override_pattern is missing: which layers are Mamba-2, attention or MLP")
        return fields
    if unknown := sorted(set(pattern) - set(HYBRID)):
        config.fault(f"hybrid_override_pattern: {', '.join(map(repr, unknown))} is no kind of layer that is known "
                     "(M, *, -, E)", "hybrid_override_pattern")  # fmt: skip
        return fields
    if len(pattern) != fields.get("layers"):
        message = f"hybrid_override_pattern has {len(pattern)} letters for {fields.get('layers')} layers"
        config.fault(message, "hybrid_override_pattern")
        return fields
    fields = fields | {"blocks": compact([HYBRID[letter] for letter in pattern]), "mixers": None, "mlps": None}
    if "E" not in pattern:
        unused = ("experts", "experts_per_token", "expert_ffn_hidden", "shared_experts", "router_bias")
        fields |= dict.fromkeys(unused)
    return fields


def _bamba(config: Config, fields: Fields) -> Fields:
    chosen = config.data.get("attn_layer_indices") or []
    if not isinstance(chosen, list):
        config.fault("attn_layer_indices must be a list of layers", "attn_layer_indices")
        return fields
    layers = fields.get("layers") or 0
    return fields | {
        "mixers": compact(["full" if index in chosen else "mamba2" for index in range(min(layers, 10_000))] or ["full"])
    }


def _nemotron_nas(config: Config, fields: Fields) -> Fields:
    """`block_configs`: attention and MLP of each layer by themselves, present, replaced by a matrix, or left out."""
    blocks = config.data.get("block_configs")
    config.used.add("block_configs")
    layers, hidden = fields.get("layers"), fields.get("hidden") or 0
    if not isinstance(blocks, list) or len(blocks) != layers or not all(isinstance(block, dict) for block in blocks):
        config.fault(f"block_configs must be a list with one block for each of {layers} layers", "block_configs")
        return fields
    mixers = [_nas_attention(config, block.get("attention") or {}, fields.get("heads") or 1) for block in blocks]
    widths = [_nas_mlp(config, block.get("ffn") or {}, hidden) for block in blocks]
    own = [word for word in mixers if ":" in word]
    usual = max(set(own), key=own.count) if own else f"full:{fields.get('heads') or 1}"
    words = ["full" if word == usual else word for word in mixers]
    return fields | {"mixers": compact(words), "mlps": compact(widths), "kv_heads": int(usual.partition(":")[2])}


def _nas_attention(config: Config, block: dict[str, Any], heads: int) -> str:
    if block.get("no_op"):
        return "none"
    if block.get("replace_with_linear"):
        return "linear"
    for key in ("window_length", "sparsify", "num_sink_tokens"):
        if block.get(key):
            config.fault(f"block_configs: attention with {key} is not supported", "block_configs")
    group = block.get("n_heads_in_group")
    if not isinstance(group, int) or group < 1:
        config.fault("block_configs: n_heads_in_group is missing", "block_configs")
        return "full"
    return f"full:{max(1, heads // group)}"


MAX_MULTIPLE = 1000  # of the hidden width; real ones stay below 10


def _nas_mlp(config: Config, block: dict[str, Any], hidden: int) -> str:
    if block.get("no_op"):
        return "none"
    if block.get("replace_with_linear"):
        return "linear"
    multiple = block.get("ffn_mult")
    if isinstance(multiple, bool) or not isinstance(multiple, (int, float)) or not 0 < multiple < MAX_MULTIPLE:
        config.fault("block_configs: ffn_mult is missing", "block_configs")
        return "none"
    # a gated MLP: 2/3 of the multiple, rounded up to a multiple of 256, as in the model's own code
    width = int(2 * multiple * hidden / 3)
    return f"dense:{-(-width // 256) * 256}"


FIXES: dict[str, Callable[[Config, Fields], Fields]] = {
    "qwen": _qwen, "qk_norm_flag": _qk_norm_flag, "stablelm": _stablelm, "gpt_bigcode": _gpt_bigcode,
    "gpt_neo": _gpt_neo, "opt": _opt, "falcon": _falcon, "mpt": _mpt, "dbrx": _dbrx, "latent": _latent,
    "minimax_m2": _minimax_m2, "step": _step, "gemma4": _gemma4, "nemotron_h": _nemotron_h, "bamba": _bamba,
    "nemotron_nas": _nemotron_nas, "narrow_embedding": narrow_embedding, "xlnet": xlnet, "t5": t5,
    "jais": _jais, "minicpm3": _minicpm3, "granite_shared": _granite_shared, "hunyuan": _hunyuan, "hf_olmo": _hf_olmo,
    "bart": bart,
}  # fmt: skip
