"""A model as the options of a framework that takes shapes instead of names (Megatron-LM), and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmplan.digits import whole_number
from llmplan.errors import Fault, InputError
from llmplan.launch.quantities import whole
from llmplan.model.spec import ModelSpec
from llmplan.records import fields_of, given

TOLD_ELSEWHERE = frozenset({
    "id", "name", "family", "aliases", "weight_precision", "block_scaled", "expert_precision", "kv_precision",
    "exact_parameters", "published_parameters", "notes", "sources", "date", "max_context", "approximate", "head_dim",
    "shared_experts", "shared_expert_ffn_hidden", "expert_ffn_hidden", "mtp_layers", "gated_mlp",
})  # fmt: skip
"""Fields that are said by other facts, or that no shape depends on."""
LEARNED, ROPE = "learned_absolute", "rope"


def shape_facts(spec: ModelSpec, known: frozenset[str]) -> dict[str, Any]:
    """The shape in the settings of a target; a fault for what they cannot express."""
    beyond = sorted(given(spec).keys() - TOLD_ELSEWHERE - known - {"position_rows", "dense_layers"})
    if beyond or spec.architecture != "decoder":
        what = ", ".join(beyond) or f"architecture {spec.architecture}"
        raise InputError(Fault(f"its options have no words for the shape of {spec.name or 'the model'}: {what}"))
    biased = spec.mlp_bias or spec.attention_out_bias
    plain = spec.hidden // spec.heads
    shared = spec.shared_experts * (spec.shared_expert_ffn_hidden or spec.expert_ffn_hidden or 0)
    sparse = spec.layers - spec.dense_layers
    return {
        **{name: getattr(spec, name) for name in known if name in fields_of(spec)},
        "experts": spec.experts or None, "experts_per_token": spec.experts_per_token or None,
        "head_dim": spec.head_dim if spec.head_dim != plain and not spec.is_mla else None,
        "grouped": spec.kv_heads != spec.heads and not spec.is_mla,
        "kv_heads": spec.kv_heads if spec.kv_heads != spec.heads and not spec.is_mla else None,
        "untied": not spec.tied_embeddings, "linear_bias": biased, "latent": spec.is_mla,
        "positions": LEARNED if spec.position_rows else ROPE, "max_positions": spec.position_rows or spec.max_context,
        "shared_width": shared or None,
        "layer_kinds": f"([0]*{spec.dense_layers}+[1]*{sparse})" if spec.dense_layers and spec.experts else None,
        "mtp_layers": spec.mtp_layers or None,
    }  # fmt: skip


def of_shape(facts: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """A model with the keys of a model file; None where its layers, width, heads or vocabulary are not given."""
    layers, hidden, heads = (whole(facts, word, None) for word in ("layers", "hidden", "heads"))
    vocab = whole(facts, "vocab", None)
    if not (layers and hidden and heads and vocab):
        return None
    gated = _true(facts.get("gated_mlp"))
    # without it Megatron-LM takes 4 x the hidden width, and two thirds of that, in steps of 64, with SwiGLU
    wide = whole(facts, "ffn_hidden", None) or (int(4 * hidden * 2 / 3 / 64) * 64 if gated else 4 * hidden)
    spec: dict[str, Any] = {
        "name": name, "layers": layers, "hidden": hidden, "heads": heads, "vocab": vocab,
        "kv_heads": (whole(facts, "kv_heads", None) if _true(facts.get("grouped")) else None) or heads,
        "head_dim": whole(facts, "head_dim", None) or hidden // heads, "ffn_hidden": wide, "gated_mlp": gated,
        "norm": facts.get("norm", "layernorm"), "tied_embeddings": not _true(facts.get("untied")),
        "qkv_bias": _true(facts.get("qkv_bias")) or _true(facts.get("linear_bias")),
        "mlp_bias": _true(facts.get("linear_bias")), "attention_out_bias": _true(facts.get("linear_bias")),
    }  # fmt: skip
    if str(facts.get("qk_norm", "none")) != "none":
        spec["qk_norm"] = facts["qk_norm"]
    positions = whole(facts, "max_positions", None)
    if positions:
        spec["position_rows" if facts.get("positions") == LEARNED else "max_context"] = positions
    return spec | _experts(facts, layers) | _latent(facts)


def _experts(facts: Mapping[str, Any], layers: int) -> dict[str, Any]:
    experts = whole(facts, "experts", None)
    if not experts:
        return {}
    width = whole(facts, "expert_ffn_hidden", None) or whole(facts, "ffn_hidden", None)
    found = {"experts": experts, "experts_per_token": whole(facts, "experts_per_token", 2), "expert_ffn_hidden": width}
    if shared := whole(facts, "shared_width", None):
        found |= {"shared_experts": 1, "shared_expert_ffn_hidden": shared}
    kinds = "".join(char for char in str(facts.get("layer_kinds", "")) if char in "0123456789[]*+")
    head = kinds.partition("+")[0]
    dense = whole_number(head[4:], layers - 1) if head.startswith("[0]*") else None
    if dense is not None:
        found["dense_layers"] = dense
    return found


def _latent(facts: Mapping[str, Any]) -> dict[str, Any]:
    if not _true(facts.get("latent")):
        return {}
    names = ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    found = {name: number for name in names if (number := whole(facts, name, None))}
    return found | {"head_dim": found.get("qk_nope_head_dim", 0) + found.get("qk_rope_head_dim", 0)}


def _true(value: Any) -> bool:
    return str(value).lower() == "true"
