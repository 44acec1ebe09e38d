"""What the table of families cannot say: one small function a family, named under `fix` in `families/`.

Each takes the config and the fields read so far, and gives the fields corrected. Shapes are those of
the model's code in transformers 5.23.0 (or of its own repository where transformers has none).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmplan.model.huggingface_config import Config
from llmplan.model.huggingface_encoders import bart, deberta, narrow_embedding, t5, xlm, xlnet, xmod
from llmplan.model.huggingface_gemma import gemma3n, gemma4
from llmplan.model.huggingface_hybrids import MAX_MULTIPLE, bamba, lfm2, mamba, nemotron_h, recurrent_gemma
from llmplan.model.huggingface_latent import kimi, latent, latent_index, minicpm3
from llmplan.model.huggingface_nas import nemotron_nas
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
    norm = "layer-no-bias" if config.value(("qk_layernorm",), bool) else "none"
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


def _mpt(config: Config, fields: Fields) -> Fields:
    """MPT keeps attention's keys in `attn_config`; without biases unless no_bias is false."""
    inner = config.nested_in("attn_config")
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
    attention, ffn = config.nested_in("attn_config"), config.nested_in("ffn_config")
    names = {"moe_num_experts": "experts", "moe_top_k": "experts_per_token", "ffn_hidden_size": "expert_ffn_hidden"}
    for key, field in names.items():
        if not isinstance(ffn.get(key), int):
            config.fault(f"ffn_config.{key} is missing", "ffn_config")
        fields = fields | {field: ffn.get(key)}
    return fields | {"kv_heads": attention.get("kv_n_heads") or fields.get("heads"), "mlps": "moe", "ffn_hidden": None}


def _openelm(config: Config, fields: Fields) -> Fields:
    """Each layer has an MLP of its own width: a multiple of the hidden one, rounded to `ffn_dim_divisor`."""
    multiples = config.data.get("ffn_multipliers")
    config.used.add("ffn_multipliers")
    divisor, hidden = config.value(("ffn_dim_divisor",), int) or 256, fields.get("hidden") or 0
    fine = isinstance(multiples, list) and len(multiples) == fields.get("layers")
    if not fine or not all(type(each) in (int, float) and 0 < each < MAX_MULTIPLE for each in multiples or ()):
        config.fault("ffn_multipliers must be a list with a number for each layer", "ffn_multipliers")
        return fields
    widths = [max(divisor, int(each * hidden + divisor / 2) // divisor * divisor) for each in multiples or ()]
    return fields | {"mlps": compact([f"dense:{width}" for width in widths])}


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
    other = config.nested_in("attention_other_setting").get("num_attention_heads")
    own = config.value(("num_sliding_attention_heads",), int) or other
    return fields | {"sliding_heads": own if own != fields.get("heads") else None}


FIXES: dict[str, Callable[[Config, Fields], Fields]] = {
    "bamba": bamba, "bart": bart, "dbrx": _dbrx, "deberta": deberta, "falcon": _falcon, "gemma3n": gemma3n,
    "gemma4": gemma4, "gpt_bigcode": _gpt_bigcode, "gpt_neo": _gpt_neo, "granite_shared": _granite_shared,
    "hf_olmo": _hf_olmo, "hunyuan": _hunyuan, "jais": _jais, "kimi": kimi, "latent": latent,
    "latent_index": latent_index, "lfm2": lfm2, "mamba": mamba, "minicpm3": minicpm3, "minimax_m2": _minimax_m2,
    "mpt": _mpt, "narrow_embedding": narrow_embedding, "nemotron_h": nemotron_h, "nemotron_nas": nemotron_nas,
    "openelm": _openelm, "opt": _opt, "qk_norm_flag": _qk_norm_flag, "qwen": _qwen, "recurrent_gemma": recurrent_gemma,
    "stablelm": _stablelm, "step": _step, "t5": t5, "xlm": xlm, "xlnet": xlnet, "xmod": xmod,
}  # fmt: skip
