"""What the tables cannot say of Gemma 3n and Gemma 4: layers that share caches, embeddings of each layer, experts."""

from __future__ import annotations

from typing import Any

from llmplan.model.huggingface_config import Config
from llmplan.model.patterns import compact, expand

Fields = dict[str, Any]


def gemma4(config: Config, fields: Fields) -> Fields:
    """Experts run beside the dense MLP, with three norms, a scale a channel and one an expert.

    The last layers may share the caches of those before; then they may have an MLP twice as wide.
    """
    fields = _shared_caches(config, fields)
    if config.value(("use_double_wide_mlp",), bool) and fields.get("ffn_hidden"):
        wide = f"dense:{2 * fields['ffn_hidden']}"
        kinds = expand(fields["mixers"], fields["layers"])
        fields = fields | {"mlps": compact([wide if "_shared" in kind else "dense" for kind in kinds])}
    if not fields.get("experts") or config.data.get("enable_moe_block") is False:
        return fields | dict.fromkeys(("experts", "experts_per_token", "expert_ffn_hidden"))
    return fields | {
        "shared_experts": 1,
        "shared_expert_ffn_hidden": fields.get("ffn_hidden"),
        "norms_per_layer": 7,
        "layer_extra_parameters": fields.get("hidden", 0) + fields["experts"],
    }


def gemma3n(config: Config, fields: Fields) -> Fields:
    """AltUp (arXiv 2301.13310) keeps several versions of a token: coefficients, a router and its norm in each layer."""
    fields, hidden = _shared_caches(config, fields), fields.get("hidden") or 0
    versions = config.value(("altup_num_inputs",), int) or 4
    own = versions**2 + versions**3 + versions * hidden + 2 * hidden
    unused = 0
    if config.is_of_4:  # layers that share a cache have matrices of keys and values there, and do not use them
        width = fields.get("head_dim") or 0
        each = 2 * hidden * (fields.get("kv_heads") or 0) * width + width
        unused = each * (config.value(("num_kv_shared_layers",), int) or 0)
    table = 2 * (versions - 1) * hidden * hidden
    return fields | {"layer_extra_parameters": own, "extra_parameters": table + unused}


def _shared_caches(config: Config, fields: Fields) -> Fields:
    """The last `num_kv_shared_layers` layers read the cache of the last layer of their kind before them."""
    shared = config.value(("num_kv_shared_layers",), int) or 0
    layers = fields.get("layers") or 0
    if not shared or not layers or "mixers" not in fields:
        return fields
    if shared >= layers:
        config.fault(f"num_kv_shared_layers {shared} leaves none of {layers} layers a cache", "num_kv_shared_layers")
        return fields
    kinds = expand(fields["mixers"], layers)
    words = [_sharing(kind) if index >= layers - shared else kind for index, kind in enumerate(kinds)]
    return fields | {"mixers": compact(words)}


def _sharing(word: str) -> str:
    kind, colon, numbers = word.partition(":")
    return f"{kind}_shared{colon}{numbers}"
