"""Precision of released weights and cache, from `quantization_config` or `hf_quant_config.json`."""

from __future__ import annotations

import re
from typing import Any

from llmplan.model.huggingface_config import Config

# words of the quantization tools -> precision of the stored weights
ALGORITHMS = {
    "FP8": "fp8", "FP8_PB_WO": "fp8", "FP8_PER_CHANNEL_PER_TOKEN": "fp8", "FP8_PB_REAL": "fp8", "MXFP8": "mxfp8",
    "NVFP4": "nvfp4", "W4A16_NVFP4": "nvfp4",
    "NVFP4_AWQ": "nvfp4", "NVFP4_SVDQUANT": "nvfp4", "W4A8_NVFP4_FP8": "nvfp4",
    "MXFP4": "mxfp4", "W4A8_MXFP4_FP8": "mxfp4", "INT8": "int8", "INT8_SQ": "int8", "W8A16": "int8",
    "W8A8_SQ_PER_CHANNEL": "int8", "W4A16_AWQ": "int4", "W4A8_AWQ": "int4", "W4A16": "int4", "INT4_AWQ": "int4",
}  # fmt: skip
METHODS = {"fp8": "fp8", "fbgemm_fp8": "fp8", "mxfp4": "mxfp4", "eetq": "int8"}
# tools that say the bits of their integers, and the keys that do; the end of a name is that of a kernel (gptq_marlin)
INTEGERS = re.compile(r"(gptq|awq|hqq|(intel/)?auto-round)(_\w+)?\Z")
INTEGER_BITS = ("bits", "w_bit", "nbits")
TYPES = {"int4": "int4", "int8": "int8", "float8": "fp8", "fp8": "fp8"}  # quanto's and torchao's words begin so
BITS = {(8, "float"): "fp8", (4, "float"): "nvfp4", (8, "int"): "int8", (4, "int"): "int4"}
# the projections of attention, all of them or one: not its norms, not the index
ATTENTION = re.compile(r"attn(\*|\.\*|$)|attn\.(q|k|v|o|qkv|q_a|q_b|kv_a\w*|kv_b)_proj")


def precisions(config: Config, has_experts: bool) -> dict[str, Any]:
    """`weight_precision`, `expert_precision`, `kv_precision` of a ModelSpec, as far as they are told."""
    inner = config.data.get("quantization_config") or config.data.get("compression_config")
    config.used.update(("quantization_config", "compression_config"))
    if inner is not None and not isinstance(inner, dict):
        config.fault("quantization_config must be an object", "quantization_config")
        inner = None
    outer = config.quant.data.get("quantization") if config.quant is not None else None
    told = outer if isinstance(outer, dict) else inner
    result = _expert_type(config)
    if not told:
        return result
    cache = _cache(told) or (_cache(inner) if inner else None)
    if inner and inner.get("weight_block_size"):
        result["block_scaled"] = True
    return _weights(config, told, inner or {}, has_experts) | result | ({"kv_precision": cache} if cache else {})


def _expert_type(config: Config) -> dict[str, Any]:
    """`expert_dtype` beside the quantization (DeepSeek-V4): 4-bit floats with power-of-two scales."""
    word = config.data.get("expert_dtype")
    known = {"fp4": "mxfp4", "fp8": "fp8", "bf16": "bf16"}
    if word is None:
        return {}
    if not isinstance(word, str) or word not in known:
        config.warnings.append(f"expert_dtype {word!r} is not known: experts are planned like the other weights")
        return {}
    # an algorithm for the experts in the quantization itself wins over this key
    quantized = config.data.get("quantization_config")
    own = isinstance(quantized, dict) and quantized.get("moe_quant_algo")
    return {"expert_precision": ALGORITHMS.get(str(own), known[word]) if own else known[word]}


def _weights(config: Config, told: dict[str, Any], inner: dict[str, Any], has_experts: bool) -> dict[str, Any]:
    algorithm = str(told.get("quant_algo") or "").upper()
    if algorithm == "MIXED_PRECISION":
        rest = METHODS.get(str(inner.get("quant_method")).lower())
        return ({"weight_precision": rest} if rest else {}) | _mixed(told)
    precision = ALGORITHMS.get(algorithm) or _method(told)
    if precision is None:
        named = told.get("quant_algo") or told.get("quant_method") or "without a name"
        bits = _integer_bits(told)
        shown = f"{str(named)[:40]!r}" + (f" with {str(bits)[:40]} bits" if bits else "")
        config.warnings.append(f"quantization {shown} is not known: weights are planned in 16 bits")
        return {}
    skipped = told.get("exclude_modules") or told.get("ignore") or told.get("modules_to_not_convert") or []
    if has_experts and _skips_attention(skipped, config.layers):
        return {"expert_precision": precision}
    return {"weight_precision": precision}


def _method(told: dict[str, Any]) -> str | None:
    """The precision that the fields of the common tools add up to."""
    method = str(told.get("quant_method") or "").lower()
    if METHODS.get(method):
        return METHODS[method]
    if told.get("load_in_4bit"):
        return "nf4" if told.get("bnb_4bit_quant_type", "fp4") == "nf4" else "int4"
    if told.get("load_in_8bit"):
        return "int8"
    groups = told.get("config_groups")
    weights = (
        next((g.get("weights") for g in groups.values() if isinstance(g, dict)), None)
        if isinstance(groups, dict)
        else None
    )
    if isinstance(weights, dict):
        return _bits(weights.get("num_bits"), weights.get("type"))
    if method in ("quanto", "torchao"):
        word = str(told.get("weights") or told.get("quant_type"))
        return next((precision for name, precision in TYPES.items() if word.startswith(name)), None)
    return _bits(_integer_bits(told), "int") if INTEGERS.match(method) else None


def _integer_bits(told: dict[str, Any]) -> Any:
    """The bits of integer weights, where the common tools put them."""
    inner = told.get("quant_config")  # HQQ
    weights = inner.get("weight_quant_params") if isinstance(inner, dict) else None
    places = (told, weights if isinstance(weights, dict) else {})
    return next((place[key] for place in places for key in INTEGER_BITS if place.get(key)), None)


def _bits(bits: Any, kind: Any) -> str | None:
    return BITS.get((bits, kind)) if isinstance(bits, int) and isinstance(kind, str) else None


def _mixed(told: dict[str, Any]) -> dict[str, Any]:
    """Each layer names its own: the experts' decide, and those of the rest where they are quantized."""
    layers = told.get("quantized_layers")
    result: dict[str, Any] = {}
    for name, entry in (layers if isinstance(layers, dict) else {}).items():
        precision = ALGORITHMS.get(str(entry.get("quant_algo")).upper()) if isinstance(entry, dict) else None
        if precision:
            field = "expert_precision" if "expert" in str(name) else "weight_precision"
            result.setdefault(field, precision)
    return result


def _skips_attention(skipped: Any, layers: int) -> bool:
    """Whether the attention of most layers is left in 16 bits."""
    if not isinstance(skipped, list):
        return False
    names = [str(item) for item in skipped]
    attention = [name for name in names if ATTENTION.search(name)]
    everywhere = any("*" in name.partition("attn")[0] for name in attention)
    found = {part for name in attention for part in name.split(".") if part.isdigit()}
    return everywhere or len(found) > layers / 2


def _cache(told: dict[str, Any]) -> str | None:
    word = told.get("kv_cache_quant_algo") or told.get("kv_cache_scheme")
    if isinstance(word, dict):
        return _bits(word.get("num_bits"), word.get("type"))
    return ALGORITHMS.get(str(word).upper()) if word else None
