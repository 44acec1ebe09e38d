"""Which layers slide: the rules that families name under `window`."""

from __future__ import annotations

from typing import Any

from llmplan.digits import whole_number
from llmplan.errors import did_you_mean
from llmplan.model.huggingface_config import MAX_LAYERS, PER_LAYER, Config
from llmplan.model.patterns import compact

MAX_RATIO = 65536  # tokens in one compressed entry
Fields = dict[str, Any]
Family = dict[str, Any]

COMMON = {
    "full_attention": "full", "attention": "full", "global_attention": "full", "sliding_attention": "sliding",
    "local_attention": "sliding", "chunked_attention": "chunked",
}  # fmt: skip


def mixers(config: Config, family: Family, fields: Fields) -> Fields:
    """`mixers` of a ModelSpec, and the window that goes with it."""
    layers = fields.get("layers")
    if not isinstance(layers, int) or not 0 < layers <= MAX_LAYERS:
        return {}
    words = config.words("layer_types", layers, fields.get("mtp_layers", 0) or 0)
    config.used.update(("sliding_window", "sliding_window_size", "use_sliding_window", "max_window_layers"))
    config.used.update(("sliding_window_pattern", "_sliding_window_pattern", "global_attn_every_n_layers"))
    if words is not None:
        kinds = translate(config, "layer_types", words, COMMON | family.get("layer_types", {}))
    else:
        kinds = _WINDOWS[family.get("window", "none")](config, fields, layers)
    result: Fields = {"mixers": compact(_own_shapes(config, fields, kinds))}
    if ("sliding" in kinds and "sliding_window" not in fields) or config.data.get("sliding_window"):
        window = config.value(("sliding_window", "sliding_window_size"), int)
        if "sliding" in kinds and not window:
            config.fault("sliding_window is missing, and there are layers with sliding attention", "layer_types")
        result["sliding_window"] = window
    return result


def _own_shapes(config: Config, fields: Fields, kinds: list[str]) -> list[str]:
    """Kinds with the heads, kv heads and head width of a layer behind them, where layers differ in them."""
    names = ("heads", "kv_heads", "head_dim")
    own = [config.per_layer.get(name) for name in names]
    words = []
    for index, kind in enumerate(kinds):
        here = [numbers[index] if numbers else fields.get(name) for name, numbers in zip(names, own, strict=True)]
        changed = [value if value and value != fields.get(name) else 0 for name, value in zip(names, here, strict=True)]
        attends = kind.partition("_")[0] in ("full", "sliding", "chunked") and any(changed)
        words.append(f"{kind}:{'/'.join(map(str, changed))}" if attends else kind)
    return words


def per_layer_config(config: Config, fields: Fields, keys: dict[str, list[str]]) -> None:
    """`per_layer_config` of transformers 5: the attributes of single layers that differ from the model's."""
    given = config.data.get("per_layer_config")
    config.used.add("per_layer_config")
    layers = fields.get("layers")
    if not given or not isinstance(layers, int) or layers > MAX_LAYERS:
        return
    fields_of = {key: name for name in PER_LAYER for key in keys.get(name, ())}
    for index, changes in given.items() if isinstance(given, dict) else (("", None),):
        number = whole_number(index, layers - 1)
        if number is None or not isinstance(changes, dict):
            config.fault("per_layer_config must give attributes for the number of a layer", "per_layer_config")
            return
        for key, value in changes.items():
            if key not in fields_of or type(value) is not int or value < 1:
                config.fault(f"per_layer_config: {key} of layer {index} is not known to be read", "per_layer_config")
                return
            name = fields_of[key]
            config.per_layer.setdefault(name, [fields.get(name) or 0] * layers)[number] = value


def translate(config: Config, key: str, words: list[str], known: dict[str, str]) -> list[str]:
    """Words of a config as kinds of layers; a fault for each that is not known."""
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
    keys = ("sliding_window_pattern", "_sliding_window_pattern", "global_attn_every_n_layers")
    pattern = next((config.data[key] for key in keys if config.data.get(key) is not None), None)
    config.used.update(keys)
    if not _window(config, fields):
        return ["full"] * layers
    if isinstance(pattern, str) and pattern and set(pattern) <= {"L", "G"}:
        return ["sliding" if pattern[index % len(pattern)] == "L" else "full" for index in range(layers)]
    every = config.value(keys, int) or fields.get("window_every") or 1
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
    return translate(config, "attn_type_list", words, {"0": "lightning", "1": "full"})


def _compressed(config: Config, fields: Fields, layers: int) -> list[str]:
    words = config.words("compress_ratios", layers, fields.get("mtp_layers", 0) or 0)
    if words is None:
        config.fault("compress_ratios or layer_types is missing: how each layer compresses its context")
        return ["full"] * layers
    for word in sorted(set(words)):
        if whole_number(word, MAX_RATIO) is None:
            config.fault(f"compress_ratios: {word!r} is no number of tokens", "compress_ratios")
            return ["full"] * layers
    return [f"compressed:{word}" for word in words]


def _listed(config: Config, fields: Fields, layers: int) -> list[str]:
    config.fault("layer_types is missing: which layers are attention and which are not")
    return ["full"] * layers


def _hybrid_pattern(config: Config, fields: Fields, layers: int) -> list[str]:
    """`hybrid_layer_pattern`: 1 = sliding (MiMo); without it every sixth layer and the first see everything."""
    words = config.words("hybrid_layer_pattern", layers)
    if words is None:
        return ["full" if index == 0 or not (index + 1) % 6 else "sliding" for index in range(layers)]
    return translate(config, "hybrid_layer_pattern", words, {"0": "full", "1": "sliding"})


def _jamba(config: Config, fields: Fields, layers: int) -> list[str]:
    period = config.value(("attn_layer_period",), int) or 8
    offset = config.value(("attn_layer_offset",), int)
    at = 4 if offset is None else offset
    return ["full" if index % period == at else "mamba" for index in range(layers)]


def _full_list(config: Config, fields: Fields, layers: int) -> list[str]:
    """`full_attn_idxs` names the layers of attention, all where it is not there; the others are convolutions."""
    chosen = config.data.get("full_attn_idxs")
    config.used.add("full_attn_idxs")
    if chosen is not None and not isinstance(chosen, list):
        config.fault("full_attn_idxs must be a list of layers", "full_attn_idxs")
    return ["full" if not isinstance(chosen, list) or index in chosen else "conv" for index in range(layers)]


def _kda(config: Config, fields: Fields, layers: int) -> list[str]:
    """`linear_attn_config` counts the layers with full attention from 1; else every fourth has it."""
    full = config.nested_in("linear_attn_config").get("full_attn_layers")
    if isinstance(full, list):
        return ["full" if index + 1 in full else "kda" for index in range(layers)]
    every = config.value(("layer_group_size",), int) or 4
    return ["kda" if (index + 1) % every else "full" for index in range(layers)]


def _modernbert(config: Config, fields: Fields, layers: int) -> list[str]:
    """From the first on every n-th layer sees everything."""
    every = config.value(("global_attn_every_n_layers",), int) or 3
    return ["sliding" if index % every else "full" for index in range(layers)]


def _image_layers(config: Config, fields: Fields, layers: int) -> list[str]:
    """`cross_attention_layers` look at the image alone."""
    chosen = config.data.get("cross_attention_layers")
    config.used.add("cross_attention_layers")
    if not isinstance(chosen, list):
        config.fault("cross_attention_layers must be a list of layers", "cross_attention_layers")
        return ["full"] * layers
    return ["image" if index in chosen else "full" for index in range(layers)]


_WINDOWS = {
    "all": _all, "alternate": _alternate, "attention_list": _attention_list, "chunks": _chunks,
    "compressed": _compressed, "every": _every, "full_list": _full_list, "hybrid_pattern": _hybrid_pattern,
    "image_layers": _image_layers,
    "jamba": _jamba, "kda": _kda, "linear_interval": _linear_interval, "listed": _listed, "modernbert": _modernbert,
    "none": _full, "qwen": _qwen,
}  # fmt: skip
