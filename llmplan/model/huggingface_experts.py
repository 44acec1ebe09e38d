"""Which layers have experts: the rules that families name under `experts`, and layers with MLPs of their own width."""

from __future__ import annotations

from typing import Any

from llmplan.digits import whole_number
from llmplan.model.huggingface_config import MAX_LAYERS, Config
from llmplan.model.huggingface_layers import translate
from llmplan.model.patterns import compact

Fields = dict[str, Any]
Family = dict[str, Any]

MLP_WORDS = {"dense": "dense", "sparse": "moe", "moe": "moe", "hash_moe": "moe"}


def mlps(config: Config, family: Family, fields: Fields) -> Fields:
    """`mlps` of a ModelSpec: which layers have experts."""
    layers, rule = fields.get("layers"), family.get("experts", "none")
    flag = family.get("experts_if")
    if flag is not None:
        config.used.add(flag)
        if config.data.get(flag) is False:
            rule = "none"
    stated = config.key_of("experts")  # a family of experts has none only where its config says 0
    if rule != "none" and not fields.get("experts") and not stated and not family.get("dense_too"):
        config.fault("num_local_experts or num_experts is missing: how many experts there are")
    if not isinstance(layers, int) or not 0 < layers <= MAX_LAYERS or "mlps" in fields:
        return {}
    if rule == "none" or not fields.get("experts"):
        own = config.per_layer.get("ffn_hidden")
        return {"mlps": compact([f"dense:{width}" for width in own])} if own else {}
    for field in ("experts_per_token", "expert_ffn_hidden"):
        if not fields.get(field):
            config.fault(f"{field} is missing, and there are {fields['experts']} experts", "num_experts")
    words = config.words("mlp_layer_types", layers, fields.get("mtp_layers", 0) or 0)
    flags = _EXPERTS[rule](config, layers)
    if words is not None:
        kinds = translate(config, "mlp_layer_types", words, MLP_WORDS)
    else:
        kinds = ["moe" if flag else "dense" for flag in flags]
    if "dense" in kinds and not fields.get("ffn_hidden"):
        config.fault("intermediate_size is missing, and there are dense layers")
    return {"mlps": compact(kinds)}


def _experts_all(config: Config, layers: int) -> list[bool]:
    return [True] * layers


def _experts_first(config: Config, layers: int) -> list[bool]:
    """`first_k_dense_replace` dense layers, then one of `moe_layer_freq` has experts; or a list of layers."""
    listed = config.data.get("moe_layers_enum")
    config.used.add("moe_layers_enum")
    if isinstance(listed, str):
        chosen = {whole_number(word.strip(), layers) for word in listed.split(",")}
        return [index in chosen for index in range(layers)]
    first = config.value(("first_k_dense_replace", "num_dense_layers"), int) or 0
    if isinstance(config.data.get("moe_layer_freq"), list):  # 1 = experts, layer by layer
        return [word == "1" for word in config.words("moe_layer_freq", layers) or ["1"] * layers]
    frequency = config.value(("moe_layer_freq",), int) or 1
    return [index >= first and index % frequency == 0 for index in range(layers)]


def _experts_sparse_step(config: Config, layers: int) -> list[bool]:
    dense = config.data.get("mlp_only_layers") or []
    config.used.add("mlp_only_layers")
    step = config.value(("decoder_sparse_step",), int) or 1
    if not isinstance(dense, list):
        config.fault("mlp_only_layers must be a list of layers", "mlp_only_layers")
        dense = []
    return [index not in dense and (index + 1) % step == 0 for index in range(layers)]


def _experts_interleave(config: Config, layers: int) -> list[bool]:
    listed = config.data.get("moe_layers")
    config.used.update(("moe_layers", "interleave_moe_layer_step"))
    if isinstance(listed, list) and listed:
        return [index in listed for index in range(layers)]
    step = config.value(("interleave_moe_layer_step",), int) or 1
    return [(index + 1) % step == 0 for index in range(layers)]


def _experts_ernie(config: Config, layers: int) -> list[bool]:
    start = config.value(("moe_layer_start_index",), int) or 0
    end = config.data.get("moe_layer_end_index", -1)
    config.used.add("moe_layer_end_index")
    last = layers - 1 if not isinstance(end, int) or end < 0 else end
    interval = config.value(("moe_layer_interval",), int) or 1
    return [start <= index <= last and (index + 1) % interval == 0 for index in range(layers)]


def _experts_hunyuan(config: Config, layers: int) -> list[bool]:
    first = config.value(("moe_layer_num_skipped",), int) or 0
    return [index >= first for index in range(layers)]


def _experts_jamba(config: Config, layers: int) -> list[bool]:
    period = config.value(("expert_layer_period",), int) or 2
    offset = config.value(("expert_layer_offset",), int)
    at = 1 if offset is None else offset
    return [index % period == at for index in range(layers)]


_EXPERTS = {
    "all": _experts_all, "hunyuan": _experts_hunyuan, "first": _experts_first, "sparse_step": _experts_sparse_step,
    "interleave": _experts_interleave, "ernie": _experts_ernie, "jamba": _experts_jamba,
}  # fmt: skip
