"""Configs with latent attention (DeepSeek, Kimi, GLM-5): widths of heads, indexes of sparse attention."""

from __future__ import annotations

from typing import Any

from llmplan.model.huggingface_config import MAX_LAYERS, Config
from llmplan.model.patterns import compact, expand

Fields = dict[str, Any]

INDEX_MODES = {"full": "full", "shared": "shared_index", "F": "full", "S": "shared_index"}


def latent(config: Config, fields: Fields) -> Fields:
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


def minicpm3(config: Config, fields: Fields) -> Fields:
    """The width of a value head is that of a plain one, unless given."""
    hidden, heads = fields.get("hidden"), fields.get("heads")
    width = hidden // heads if hidden and heads else None
    return latent(config, {"v_head_dim": width} | fields)


def latent_index(config: Config, fields: Fields) -> Fields:
    """Which layers have an index of their own and which take the last one's choice (GLM-5.1).

    `indexer_types` in words, `index_topk_pattern` in letters, or every `index_topk_freq`-th from an offset on.
    """
    fields, layers = latent(config, fields), fields.get("layers") or 0
    words = config.words("indexer_types", layers)
    letters = config.value(("index_topk_pattern",), str)
    every = max(config.value(("index_topk_freq",), int) or 1, 1)
    first = config.value(("index_skip_topk_offset",), int)
    if words is None and letters:
        words = list(letters)
    if words is None:
        skip = 2 if first is None else first
        words = ["shared" if max(index - skip + 1, 0) % every else "full" for index in range(min(layers, MAX_LAYERS))]
    if unknown := sorted(set(words) - set(INDEX_MODES)):
        config.fault(f"indexer_types: {unknown[0]!r} is neither full nor shared", "indexer_types")
        return fields
    if len(words) != layers:
        config.fault(f"index_topk_pattern has {len(words)} letters for {layers} layers", "index_topk_pattern")
        return fields
    return fields | {"mixers": compact([INDEX_MODES[word] for word in words])}


def kimi(config: Config, fields: Fields) -> Fields:
    """The first releases of Kimi Linear keep the shapes of delta attention in `linear_attn_config`."""
    inner = config.nested_in("linear_attn_config")
    names = {
        "num_heads": "linear_key_heads",
        "head_dim": "linear_key_head_dim",
        "short_conv_kernel_size": "conv_kernel",
    }
    found = {field: inner[key] for key, field in names.items() if isinstance(inner.get(key), int)}
    if "linear_key_head_dim" in found:
        found["gate_rank"] = found["linear_key_head_dim"]
    fields = latent(config, fields | found)
    # latent attention alone decides heads of the `full` layers; the delta layers need the whole of theirs
    kinds = expand(str(fields.get("mixers") or "full"), fields["layers"]) if fields.get("layers") else ()
    return fields | ({} if "kda" in kinds else {"gate_rank": None})
