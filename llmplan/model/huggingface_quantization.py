"""Precision of released weights and cache, from `quantization_config`, `hf_quant_config.json` or MLX's `quantization`.

A tool names matrices that it treats otherwise or leaves in 16 bits, by names, globs and regular expressions. They are
sorted into module groups; what most layers of a group have holds for all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from llmplan.model.huggingface_config import Config
from llmplan.model.layer import Group
from llmplan.model.quantization import (
    ALGORITHMS,
    FULL,
    PLAIN,
    READ,
    Scheme,
    UnreadError,
    compressed,
    integers,
    mlx,
    plain,
    quark,
    scheme_of,
    torchao,
)

WIDE_BYTES = 2.0  # of a weight in 16 bits
Named = tuple[str, Scheme | None]
"""A matrix, or a pattern of them, and how it is stored; None = in 16 bits."""
MATRICES: tuple[Group, ...] = ("attention", "mlp", "shared", "experts")
SKIPS = ("exclude_modules", "ignore", "modules_to_not_convert", "llm_int8_skip_modules", "exclude", "skip_modules",
         "ignored_layers", "packed_modules_to_not_convert")  # fmt: skip
EXPERTS = {"fp4": "mxfp4", "fp8": "fp8", "bf16": "bf16"}  # `expert_dtype` of DeepSeek-V4
ALL = re.compile(r"^(linear|(re:)?[.*^$]*)$", re.IGNORECASE)
_NOTHING = re.compile(r"norm|index|bias|conv1d|rotary|a_log|dt_|input_scale")
"""Parts of attention that are small, and kept in 16 bits everywhere."""
_GROUPS: tuple[tuple[Group, re.Pattern[str]], ...] = (
    ("encoders", re.compile(r"vis(ion|ual)|audio|image|mm_|multi_modal|projector|merger|patch_embed")),
    ("head", re.compile(r"lm_head|output_layer|embed_out|(^|[.*])head$|^output$")),
    ("embedding", re.compile(r"embed|wte|tok_emb")),
    ("shared", re.compile(r"shared_?expert|shexp|shared_mlp")),
    ("router", re.compile(r"router|(mlp|moe|feed_forward|ffn)\.(gate|router)(\W*$|\.w)|(^|[.*])gate\$?$|gate\.wg")),
    ("experts", re.compile(r"experts?(\W|_|$)|moe")),
    ("attention", re.compile(r"attn|attention|mixer(?!\.(up|down|gate)_proj)|mamba|ssm|([qkvo]|qkv)_proj")),
    ("mlp", re.compile(r"mlp|ffn|feed_?forward|(gate|up|down)_proj|fc[12]|mixer")),
)
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)(?:\.|$)")


def precisions(config: Config, has_experts: bool) -> dict[str, Any]:
    """Fields of a ModelSpec that the config gives: precisions of weights, experts and cache, bytes by module group."""
    inner = config.data.get("quantization_config") or config.data.get("compression_config")
    config.used.update(("quantization_config", "compression_config", "quantization"))
    if inner is not None and not isinstance(inner, dict):
        config.fault("quantization_config must be an object", "quantization_config")
        inner = None
    outer = config.quant.data.get("quantization") if config.quant is not None else None
    settings = outer if isinstance(outer, dict) else inner or _mlx(config.document.data.get("quantization"))
    if settings and "quant_method" not in settings and "quant_algo" not in settings:
        settings = _mlx(settings) or settings
    result: dict[str, Any] = {}
    if settings:
        try:
            default, named = _read(settings, inner or {})
        except UnreadError as why:
            named_as = str(settings.get("quant_algo") or settings.get("quant_method") or "without a name")[:40]
            config.fault(
                f"quantization {named_as!r} {why}: the bytes of its weights are not known (read are "
                f"{', '.join(READ)}); without quantization_config the model is planned in 16 bits, and a GGUF file has "
                "exact bytes",
                "quantization_config",
            )
            return {}
        result = _fields(_sorted(default, named, config.layers), settings, has_experts)
        cache = _cache(settings) or (_cache(inner) if inner else None)
        result |= {"kv_precision": cache} if cache else {}
        if inner and inner.get("weight_block_size"):
            result["block_scaled"] = True
    return result | _expert_type(config, result)


def _mlx(settings: Any) -> dict[str, Any] | None:
    """MLX names no method: its words are a group's size and the bits."""
    plainly = isinstance(settings, dict) and {"bits", "group_size"} <= settings.keys()
    return {"quant_method": "mlx", **settings} if plainly else None


def _read(settings: dict[str, Any], inner: dict[str, Any]) -> tuple[Scheme | None, list[Named]]:
    """How matrices are stored where nothing else is given, and what is said of others."""
    method = str(settings.get("quant_method") or "").lower()
    sparse = settings.get("sparsity_config")
    if sparse and (not isinstance(sparse, dict) or sparse.get("format", "dense") not in ("dense", None)):
        raise UnreadError("stores sparse matrices")
    named: list[Named] = [(str(name), None) for key in SKIPS for name in _list(settings.get(key))]
    groups = settings.get("config_groups")
    default: Scheme | None = None
    if str(settings.get("quant_algo") or "").upper() == "MIXED_PRECISION":
        rest = PLAIN.get(str(inner.get("quant_method")).lower())
        return (plain(rest) if rest else None), list(_mixed(settings))  # what it skips is left to the rest
    if isinstance(groups, dict) and not settings.get("quant_algo"):
        for group in groups.values():
            if isinstance(group, dict):
                stored = compressed(group.get("weights"))
                named += [(str(name), stored) for name in _list(group.get("targets")) or ["Linear"]]
    elif method == "torchao":
        default, own = _torchao(settings)
        named += own
    elif method == "quark":
        overall = settings.get("global_quant_config")
        default = quark(overall.get("weight")) if isinstance(overall, dict) else None
        layers = settings.get("layer_quant_config")
        for name, one in (layers if isinstance(layers, dict) else {}).items():
            named.append((name, quark(one.get("weight")) if isinstance(one, dict) else None))
    else:
        default = scheme_of(settings)
        named += list(_own(settings, method))
    everything = [stored for name, stored in named if ALL.match(name) and stored is not None]
    return default or (everything[-1] if everything else None), [one for one in named if not ALL.match(one[0])]


def _torchao(settings: dict[str, Any]) -> tuple[Scheme | None, list[Named]]:
    kind = settings.get("quant_type")
    words = settings.get("quant_type_kwargs")
    words = words if isinstance(words, dict) else {}
    if isinstance(kind, dict) and "_type" not in kind:
        kind = kind.get("default", kind)
    inner = kind.get("_data") if isinstance(kind, dict) else None
    known = inner if isinstance(inner, dict) else {}
    by_name = next((known[key] for key in ("fqn_to_config", "module_fqn_to_config") if key in known), None)
    ends: list[Named] = []
    if not isinstance(by_name, dict):
        default = torchao(kind, words)
        if settings.get("include_input_output_embeddings"):
            ends = [("lm_head", default), ("embed_tokens", default)]
        return default, ends
    named = [(name, None if one is None else torchao(one, {})) for name, one in by_name.items()]
    default_of = dict(named).get("_default")
    return default_of, [one for one in named if one[0] != "_default"]


def _own(settings: dict[str, Any], method: str) -> Iterator[Named]:
    """What tools with one way say of single matrices beside it."""
    if settings.get("lm_head") is True:
        yield "lm_head", scheme_of(settings)
    if method in ("exl2", "exl3") and settings.get("head_bits"):
        yield "lm_head", integers(settings["head_bits"], 0)
    for key in ("dynamic", "extra_config"):  # GPTQModel, AutoRound
        entries = settings.get(key)
        for name, one in (entries if isinstance(entries, dict) else {}).items():
            if name.startswith("-:"):
                yield name[2:], None
            elif isinstance(one, dict) and one.get("bits") is not None:
                yield name.removeprefix("+:"), _bits_of(settings, one)
    if method == "mlx":
        yield from (("lm_head", mlx(settings)), ("embed_tokens", mlx(settings)))
        for name, one in settings.items():
            if isinstance(one, dict):
                yield name, mlx(settings | one)
            elif one is False:
                yield name, None


def _bits_of(settings: dict[str, Any], one: dict[str, Any]) -> Scheme | None:
    wide = isinstance(one["bits"], int) and one["bits"] > FULL
    return None if wide else scheme_of(settings | one)


def _mixed(settings: dict[str, Any]) -> Iterator[Named]:
    """ModelOpt, where each layer names its own algorithm."""
    layers = settings.get("quantized_layers")
    for name, one in (layers if isinstance(layers, dict) else {}).items():
        if isinstance(one, dict) and one.get("quant_algo"):
            yield str(name), scheme_of(one)


def group_of_name(name: str) -> Group | None:
    """The module group of a matrix, or of a pattern of them; None where it is none that is counted."""
    clean = name.removeprefix("re:").replace("\\", "").lower()
    if _NOTHING.search(clean.rpartition(".")[2]) or _NOTHING.search(clean.replace("(", ".").rpartition("attn.")[2]):
        return None
    return next((group for group, pattern in _GROUPS if pattern.search(clean)), None)


def _sorted(default: Scheme | None, named: list[Named], layers: int) -> dict[Group, Scheme | None]:
    """Each group as most of its layers are stored; ties go to the wider."""
    found: dict[Group, dict[Scheme | None, set[str]]] = {}
    for name, stored in named:
        group = group_of_name(name)
        if group is not None:
            numbers = set(_LAYER.findall(name)) or {str(number) for number in range(layers)}
            found.setdefault(group, {}).setdefault(stored, set()).update(numbers)
    result: dict[Group, Scheme | None] = dict.fromkeys(MATRICES, default)
    for group, ways in found.items():
        counted = {way: len(numbers) for way, numbers in ways.items()}
        if group in MATRICES and default is not None:
            counted[default] = counted.get(default, 0) + max(layers - sum(counted.values()), 0)
        most = max(counted.values())
        tied = [way for way, count in counted.items() if count == most]
        result[group] = max(tied, key=lambda way: WIDE_BYTES if way is None else way.bytes)
    return result


def _fields(groups: dict[Group, Scheme | None], settings: dict[str, Any], has_experts: bool) -> dict[str, Any]:
    """What kernels go by: one precision of the experts and one of the rest; and the bytes of every group."""
    if all(stored is None for stored in groups.values()):
        return {}
    rest = groups["attention"] if has_experts else groups["mlp"] or groups["attention"]
    result: dict[str, Any] = {} if rest is None else {"weight_precision": rest.precision}
    experts = groups["experts"]
    if has_experts and experts is not None and (rest is None or experts.precision != rest.precision):
        result["expert_precision"] = experts.precision
    ends: tuple[Group, ...] = ("embedding", "head", "encoders")
    kept = [*MATRICES, *(name for name in ends if groups.get(name) is not None)]
    held = {name: WIDE_BYTES if (stored := groups[name]) is None else stored.bytes for name in kept}
    return result | {"released": held}


def _expert_type(config: Config, settings: dict[str, Any]) -> dict[str, Any]:
    """`expert_dtype` beside the quantization (DeepSeek-V4): 4-bit floats with power-of-two scales."""
    word = config.data.get("expert_dtype")
    if word is None:
        return {}
    if not isinstance(word, str) or word not in EXPERTS:
        config.warnings.append(f"expert_dtype {word!r} is not known: experts are planned like the other weights")
        return {}
    # an algorithm for the experts in the quantization itself wins over this key
    quantized = config.data.get("quantization_config")
    own = isinstance(quantized, dict) and quantized.get("moe_quant_algo")
    precision = ALGORITHMS.get(str(own), EXPERTS[word]) if own else EXPERTS[word]
    held = {**settings.get("released", {}), "experts": plain(precision).bytes}
    return {"expert_precision": precision, "released": held}


def _cache(settings: dict[str, Any]) -> str | None:
    word = settings.get("kv_cache_quant_algo") or settings.get("kv_cache_scheme")
    if isinstance(word, dict):
        try:
            stored = compressed(word)
        except UnreadError:
            return None
        return stored.precision if stored is not None else None
    return ALGORITHMS.get(str(word).upper()) if word else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
