"""What the tables cannot say of models with recurrent layers: Mamba, short convolutions, RG-LRU."""

from __future__ import annotations

from typing import Any

from llmplan.model.huggingface_config import MAX_LAYERS, Config
from llmplan.model.patterns import compact

Fields = dict[str, Any]

HYBRID_WORDS = {
    "mamba": "M", "linear_attention": "M", "attention": "*", "full_attention": "*", "mlp": "-", "moe": "E",
}  # fmt: skip
HYBRID = {"M": "mamba2", "*": "full", "-": "dense", "E": "moe"}


def nemotron_h(config: Config, fields: Fields) -> Fields:
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


def bamba(config: Config, fields: Fields) -> Fields:
    """`attn_layer_indices` names the layers of attention, where `layer_types` does not."""
    config.used.add("attn_layer_indices")
    if config.data.get("layer_types") is not None:
        return fields
    chosen = config.data.get("attn_layer_indices") or []
    if not isinstance(chosen, list):
        config.fault("attn_layer_indices must be a list of layers", "attn_layer_indices")
        return fields
    layers = fields.get("layers") or 0
    return fields | {
        "mixers": compact(
            ["full" if index in chosen else "mamba2" for index in range(min(layers, MAX_LAYERS))] or ["full"]
        )
    }


def mamba(config: Config, fields: Fields) -> Fields:
    """Mamba-1's inner width is `expand` times the hidden one; the rank of its step 1/16 of it where `auto`."""
    expand = config.value(("expand", "mamba_expand"), int) or 2
    hidden = fields.get("hidden") or 0
    ranks = {key: config.data.get(key) for key in ("time_step_rank", "mamba_dt_rank")}
    config.used.update(ranks)
    rank = next((value for value in ranks.values() if type(value) is int), -(-hidden // 16))
    inner = config.value(("intermediate_size",), int) if fields.get("mixers") == "mamba" else None
    for key in ("use_bias", "mamba_proj_bias"):
        if config.value((key,), bool):
            config.fault(f"{key} is not supported", key)
    return fields | {"recurrent_width": inner or expand * hidden, "mamba_dt_rank": rank}


def lfm2(config: Config, fields: Fields) -> Fields:
    """The MLP's width is 2/3 of what the config says, rounded up to a multiple, unless the config switches that off."""
    width = fields.get("ffn_hidden")
    adjust = config.value(("block_auto_adjust_ff_dim",), bool)
    multiple = config.value(("block_multiple_of",), int) or 256
    factor = config.data.get("block_ffn_dim_multiplier")
    config.used.add("block_ffn_dim_multiplier")
    if width is None or adjust is False:
        return fields
    width = int(2 * width / 3)
    if isinstance(factor, (int, float)) and 0 < factor < MAX_MULTIPLE:
        width = int(factor * width)
    return fields | {"ffn_hidden": -(-width // multiple) * multiple}


MAX_MULTIPLE = 1000  # of a width; real ones stay below 10


def recurrent_gemma(config: Config, fields: Fields) -> Fields:
    """`block_types` repeats; the config gives the width of gate and up together."""
    words = config.data.get("block_types") or ["recurrent", "recurrent", "attention"]
    config.used.update(("block_types", "_block_types"))
    known = {"recurrent": "rglru", "attention": "sliding"}
    if not isinstance(words, list) or not all(word in known for word in map(str, words)):
        config.fault("block_types must be a list of recurrent and attention", "block_types")
        return fields
    layers, width = fields.get("layers") or 0, fields.get("ffn_hidden")
    kinds = [known[words[index % len(words)]] for index in range(min(layers, MAX_LAYERS))]
    return fields | {"mixers": compact(kinds), "ffn_hidden": width // 2 if width else None}
