"""Which layers slide, which have experts: the rules that `families.yaml` names under `window` and `experts`."""

from __future__ import annotations

from typing import Any

from llmplan.errors import did_you_mean
from llmplan.model.huggingface_config import Config
from llmplan.model.patterns import compact

MAX_LAYERS = 10_000  # as ModelSpec has it; beyond, the spec itself reports the fault
MAX_RATIO = 65536  # tokens in one compressed entry
Fields = dict[str, Any]
Family = dict[str, Any]

COMMON = {
    "full_attention": "full", "attention": "full", "global_attention": "full", "sliding_attention": "sliding",
    "local_attention": "sliding", "chunked_attention": "chunked",
}  # fmt: skip
MLP_WORDS = {"dense": "dense", "sparse": "moe", "moe": "moe", "hash_moe": "moe"}


def mixers(config: Config, family: Family, fields: Fields) -> Fields:
    """`mixers` of a ModelSpec, and the window that goes with it."""
    layers = fields.get("layers")
    if not isinstance(layers, int) or not 0 < layers <= MAX_LAYERS:
        return {}
    words = config.words("layer_types", layers, fields.get("mtp_layers", 0) or 0)
    config.used.update(("sliding_window", "sliding_window_size"))
    if words is not None:
        kinds = _translate(config, "layer_types", words, COMMON | family.get("layer_types", {}))
    else:
        kinds = _WINDOWS[family.get("window", "none")](config, fields, layers)
    result: Fields = {"mixers": compact(kinds)}
    if ("sliding" in kinds and "sliding_window" not in fields) or config.data.get("sliding_window"):
        window = config.value(("sliding_window", "sliding_window_size"), int)
        if "sliding" in kinds and not window:
            config.fault("sliding_window is missing, and there are layers with sliding attention", "layer_types")
        result["sliding_window"] = window
    return result


def _translate(config: Config, key: str, words: list[str], known: dict[str, str]) -> list[str]:
    for word in sorted(set(words) - set(known)):
        hint = did_you_mean(word, known)
        config.fault(f"{key}: {word!r} is not a kind of layer known for {config.model_type or 'this model'}{hint}", key)
    return [known.get(word, "full") for word in words]


def _full(config: Config, fields: Fields, layers: int) -> list[str]:
    return ["full"] * layers


def _window(config: Config, fields: Fields) -> int | None:
    """The window: the config's (null = none), or the family's default where the key is absent."""
    if "sliding_window" in config.data:
        return config.value(("sliding_window",), int) or None
    default: int | None = fields.get("sliding_window")
    return default


def _all(config: Config, fields: Fields, layers: int) -> list[str]:
    if config.data.get("use_sliding_window") is False:
        return ["full"] * layers
    window = _window(config, fields)
    # a window as long as the longest context never drops anything
    shorter = window is not None and window < (fields.get("max_context") or window + 1)
    return ["sliding" if shorter else "full"] * layers


def _alternate(config: Config, fields: Fields, layers: int) -> list[str]:
    if not _window(config, fields):
        return ["full"] * layers
    return ["full" if index % 2 else "sliding" for index in range(layers)]


def _every(config: Config, fields: Fields, layers: int) -> list[str]:
    """Each n-th layer sees everything; n is `sliding_window_pattern`, a number or letters such as LLLG."""
    pattern = config.data.get("sliding_window_pattern")
    config.used.add("sliding_window_pattern")
    if not _window(config, fields):
        return ["full"] * layers
    if isinstance(pattern, str) and pattern and set(pattern) <= {"L", "G"}:
        return ["sliding" if pattern[index % len(pattern)] == "L" else "full" for index in range(layers)]
    every = config.value(("sliding_window_pattern",), int) or fields.get("window_every") or 1
    return ["sliding" if (index + 1) % every else "full" for index in range(layers)]


def _qwen(config: Config, fields: Fields, layers: int) -> list[str]:
    """Only with `use_sliding_window`, and then from layer `max_window_layers` on."""
    if config.data.get("use_sliding_window") is not True or not _window(config, fields):
        return ["full"] * layers
    first = config.value(("max_window_layers",), int) or 0
    return ["full" if index < first else "sliding" for index in range(layers)]


def _linear_interval(config: Config, fields: Fields, layers: int) -> list[str]:
    interval = config.value(("full_attention_interval",), int) or 4
    return ["delta" if (index + 1) % interval else "full" for index in range(layers)]


def _chunks(config: Config, fields: Fields, layers: int) -> list[str]:
    """Layers with rotary positions attend within chunks; `no_rope_layers` has a 0 where one sees everything."""
    flags = config.words("no_rope_layers", layers) if config.data.get("no_rope_layers") else None
    interval = config.value(("no_rope_layer_interval",), int) or 4
    if flags is None:
        flags = ["1" if (index + 1) % interval else "0" for index in range(layers)]
    return ["full" if flag == "0" else "chunked" for flag in flags]


def _attention_list(config: Config, fields: Fields, layers: int) -> list[str]:
    """`attn_type_list`: 1 = softmax attention, 0 = lightning attention."""
    words = config.words("attn_type_list", layers)
    if words is None:
        if config.model_type != "minimax_m2":
            config.fault("layer_types or attn_type_list is missing: which layers have softmax attention")
        return ["full"] * layers
    return _translate(config, "attn_type_list", words, {"0": "lightning", "1": "full"})


def _compressed(config: Config, fields: Fields, layers: int) -> list[str]:
    words = config.words("compress_ratios", layers, fields.get("mtp_layers", 0) or 0)
    if words is None:
        config.fault("compress_ratios or layer_types is missing: how each layer compresses its context")
        return ["full"] * layers
    for word in sorted(set(words)):
        if not (word.isdigit() and int(word) <= MAX_RATIO):
            config.fault(f"compress_ratios: {word!r} is no number of tokens", "compress_ratios")
            return ["full"] * layers
    return [f"compressed:{word}" for word in words]


def _listed(config: Config, fields: Fields, layers: int) -> list[str]:
    config.fault("layer_types is missing: which layers are attention and which are not")
    return ["full"] * layers


_WINDOWS = {
    "listed": _listed,
    "none": _full, "all": _all, "alternate": _alternate, "every": _every, "qwen": _qwen, "chunks": _chunks,
    "linear_interval": _linear_interval, "attention_list": _attention_list, "compressed": _compressed,
}  # fmt: skip


def mlps(config: Config, family: Family, fields: Fields) -> Fields:
    """`mlps` of a ModelSpec: which layers have experts."""
    layers, rule = fields.get("layers"), family.get("experts", "none")
    said = config.key_of("experts")  # a family of experts has none only where its config says 0
    if rule != "none" and not fields.get("experts") and not said and not family.get("dense_too"):
        config.fault("num_local_experts or num_experts is missing: how many experts there are")
    if rule == "none" or not fields.get("experts") or not isinstance(layers, int) or not 0 < layers <= MAX_LAYERS:
        return {}
    for field in ("experts_per_token", "expert_ffn_hidden"):
        if not fields.get(field):
            config.fault(f"{field} is missing, and there are {fields['experts']} experts", "num_experts")
    words = config.words("mlp_layer_types", layers, fields.get("mtp_layers", 0) or 0)
    if words is not None:
        kinds = _translate(config, "mlp_layer_types", words, MLP_WORDS)
    else:
        kinds = ["moe" if flag else "dense" for flag in _EXPERTS[rule](config, layers)]
    if "dense" in kinds and not fields.get("ffn_hidden"):
        config.fault("intermediate_size is missing, and there are dense layers")
    return {"mlps": compact(kinds)}


def _experts_all(config: Config, layers: int) -> list[bool]:
    return [True] * layers


def _experts_first(config: Config, layers: int) -> list[bool]:
    """`first_k_dense_replace` dense layers, then one of `moe_layer_freq` has experts; or a list of layers."""
    listed = config.data.get("moe_layers_enum")
    if isinstance(listed, str):
        chosen = {int(word) for word in listed.split(",") if word.strip().isdigit()}
        return [index in chosen for index in range(layers)]
    first = config.value(("first_k_dense_replace",), int) or 0
    frequency = config.value(("moe_layer_freq",), int) or 1
    return [index >= first and index % frequency == 0 for index in range(layers)]


def _experts_sparse_step(config: Config, layers: int) -> list[bool]:
    dense = config.data.get("mlp_only_layers") or []
    step = config.value(("decoder_sparse_step",), int) or 1
    if not isinstance(dense, list):
        config.fault("mlp_only_layers must be a list of layers", "mlp_only_layers")
        dense = []
    return [index not in dense and (index + 1) % step == 0 for index in range(layers)]


def _experts_interleave(config: Config, layers: int) -> list[bool]:
    listed = config.data.get("moe_layers")
    if isinstance(listed, list) and listed:
        return [index in listed for index in range(layers)]
    step = config.value(("interleave_moe_layer_step",), int) or 1
    return [(index + 1) % step == 0 for index in range(layers)]


def _experts_ernie(config: Config, layers: int) -> list[bool]:
    start = config.value(("moe_layer_start_index",), int) or 0
    end = config.data.get("moe_layer_end_index", -1)
    last = layers - 1 if not isinstance(end, int) or end < 0 else end
    interval = config.value(("moe_layer_interval",), int) or 1
    return [start <= index <= last and (index + 1) % interval == 0 for index in range(layers)]


def _experts_hunyuan(config: Config, layers: int) -> list[bool]:
    first = config.value(("moe_layer_num_skipped",), int) or 0
    return [index >= first for index in range(layers)]


_EXPERTS = {
    "all": _experts_all, "hunyuan": _experts_hunyuan, "first": _experts_first, "sparse_step": _experts_sparse_step,
    "interleave": _experts_interleave, "ernie": _experts_ernie,
}  # fmt: skip
