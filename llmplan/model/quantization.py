"""Reads what each quantization tool writes into a config, as a precision and the exact bytes of a weight.

Every tool has one function; what none of them understands is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from llmplan.formulas.quantization import BYTE, SCALE, grouped_bytes
from llmplan.records import dataclass


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a weight is stored; precision: of the kernels that multiply it; bytes: with its share of scales [bytes]."""

    precision: str
    bytes: float


class UnreadError(ValueError):
    """The settings of a quantization do not determine its bytes."""


# words of ModelOpt and TensorRT-LLM
ALGORITHMS = {
    "FP8": "fp8", "FP8_PB_WO": "fp8", "FP8_PER_CHANNEL_PER_TOKEN": "fp8", "FP8_PB_REAL": "fp8", "MXFP8": "mxfp8",
    "NVFP4": "nvfp4", "W4A16_NVFP4": "nvfp4",
    "NVFP4_AWQ": "nvfp4", "NVFP4_SVDQUANT": "nvfp4", "W4A8_NVFP4_FP8": "nvfp4",
    "MXFP4": "mxfp4", "W4A8_MXFP4_FP8": "mxfp4", "INT8": "int8", "INT8_SQ": "int8", "W8A16": "int8",
    "W8A8_SQ_PER_CHANNEL": "int8", "W4A16_AWQ": "int4", "W4A8_AWQ": "int4", "W4A16": "int4", "INT4_AWQ": "int4",
}  # fmt: skip
PLAIN = {"fp8": "fp8", "fbgemm_fp8": "fp8", "mxfp4": "mxfp4", "mxfp8": "mxfp8", "eetq": "int8", "experts_int8": "int8"}
BITS = ("bits", "w_bit", "nbits")
GROUPS = ("group_size", "q_group_size")
NARROW, FULL = 4, 8  # bits
INT4_BITS = 6.7  # of a weight with its scales, up to which products run like those of 4 bits, above like those of 8
_GROUP = 128  # of integers, where the tool's own default is meant
_GROUP_8A4W = 32  # torchao's default of integers of 4 bits under inputs of 8
_BLOCK, _ABSMAX = 64.0, 4.0  # bitsandbytes, HQQ, MLX: weights a block; bytes of bitsandbytes' scale of one
_NESTED = 256.0  # blocks whose scales share one, under double quantization
_MX, _NV = 32, 16  # weights that share an 8-bit scale in the OCP formats and in nvfp4
STORED = {
    "fp8": 1.0, "int8": 1.0, "bf16": 2.0, "mxfp8": grouped_bytes(FULL, _MX, 1.0),
    "mxfp4": grouped_bytes(NARROW, _MX, 1.0), "nvfp4": grouped_bytes(NARROW, _NV, 1.0),
    "nf4": grouped_bytes(NARROW, _BLOCK, 1.0 + _ABSMAX / _NESTED),
}  # fmt: skip
"""Bytes of a weight in formats that say their own groups; scales of a row, or of a block of 128 x 128, are nothing."""


def integers(bits: Any, group: Any, *, zero: float | None = None, scale: float = SCALE) -> Scheme:
    """Integers of so many bits in groups; zero: bits of a group's zero point, None = as many as a weight has."""
    if isinstance(bits, bool) or not isinstance(bits, (int, float)) or not 0 < bits <= FULL:
        raise UnreadError("does not say its bits" if bits is None else f"has {str(bits)[:20]!r} bits")
    size = group if isinstance(group, (int, float)) and group > 0 else 0
    zeros = (bits if zero is None else zero) / BYTE
    held = grouped_bytes(float(bits), float(size), scale, zeros)
    return Scheme("int4" if BYTE * held <= INT4_BITS else "int8", held)


def plain(precision: str) -> Scheme:
    """A precision with the scales that its format has."""
    return Scheme(precision, STORED[precision])


def _first(settings: Mapping[str, Any], keys: tuple[str, ...], default: Any = None) -> Any:
    return next((settings[key] for key in keys if settings.get(key) is not None), default)


def _gptq(settings: Mapping[str, Any]) -> Scheme:
    """GPTQ, AWQ, AutoRound, Marlin: packed zeros stand beside the scales also where they are symmetric."""
    return integers(_first(settings, BITS), _first(settings, GROUPS, _GROUP))


def _hqq(settings: Mapping[str, Any]) -> Scheme:
    inner = settings.get("quant_config")
    weights = inner.get("weight_quant_params") if isinstance(inner, dict) else settings
    weights = weights if isinstance(weights, dict) else {}
    return integers(_first(weights, BITS), _first(weights, GROUPS, _BLOCK), zero=BYTE * SCALE)


def _bitsandbytes(settings: Mapping[str, Any]) -> Scheme:
    if settings.get("load_in_4bit"):
        nested = bool(settings.get("bnb_4bit_use_double_quant"))
        held = STORED["nf4"] if nested else grouped_bytes(NARROW, _BLOCK, _ABSMAX)
        return Scheme("nf4" if settings.get("bnb_4bit_quant_type", "fp4") == "nf4" else "int4", held)
    if settings.get("load_in_8bit"):
        return plain("int8")
    raise UnreadError("says neither load_in_4bit nor load_in_8bit")


def compressed(weights: Any) -> Scheme | None:
    """One group's weights of compressed-tensors; None where only inputs are quantized."""
    if weights is None:
        return None
    if not isinstance(weights, dict):
        raise UnreadError("has weights that are no object")
    bits, kind, group = weights.get("num_bits"), weights.get("type", "int"), weights.get("group_size")
    if kind == "int":
        return integers(bits, group, zero=0.0 if weights.get("symmetric", True) else None)
    if (bits, kind) == (FULL, "float"):
        return plain("mxfp8") if group == _MX else plain("fp8")
    if (bits, kind) == (NARROW, "float"):
        return plain("mxfp4") if group == _MX else plain("nvfp4")
    raise UnreadError(f"has weights of {str(bits)[:20]} bits as {str(kind)[:20]!r}")


def _quanto(settings: Mapping[str, Any]) -> Scheme:
    word = str(settings.get("weights"))
    if word in ("float8", "int8"):
        return plain("fp8" if word == "float8" else word)
    width = re.fullmatch(r"int(\d)", word)
    if width is None:
        raise UnreadError(f"has weights {word[:20]!r}")
    return integers(int(width[1]), _GROUP, zero=0.0)


def torchao(kind: Any, settings: Mapping[str, Any]) -> Scheme:
    """torchao: `int4_weight_only` with its words beside it, or a configuration as {_type, _data}."""
    data: Mapping[str, Any] = settings
    if isinstance(kind, dict):
        inside = kind.get("_data")
        data, kind = inside if isinstance(inside, dict) else {}, kind.get("_type")
    word = re.sub(r"[^a-z0-9]", "", str(kind).lower()).removesuffix("config")
    group = _first(data, GROUPS)
    if word in ("int4weightonly", "float8dynamicactivationint4weight"):
        return integers(NARROW, group or _GROUP, zero=BYTE * SCALE)
    if word == "int8dynamicactivationint4weight":
        return integers(NARROW, group or _GROUP_8A4W, zero=BYTE)
    if word in ("int8weightonly", "int8dynamicactivationint8weight"):
        return plain("int8")
    if word.startswith("float8"):
        return plain("fp8")
    if word == "intxweightonly":
        width = re.search(r"\d+", str(data.get("weight_dtype")))
        inner = data.get("granularity")
        inner = inner.get("_data") if isinstance(inner, dict) else {}
        return integers(
            int(width[0]) if width else None, _first(inner if isinstance(inner, dict) else {}, GROUPS, 0), zero=BYTE
        )
    if word.startswith("nvfp4"):
        return plain("nvfp4")
    raise UnreadError(f"has the type {str(kind)[:40]!r}")


def quark(weights: Any) -> Scheme | None:
    """One `weight` of AMD Quark."""
    if isinstance(weights, list):  # in two steps, of which the last one is stored
        weights = weights[-1] if weights else None
    if weights is None:
        return None
    if not isinstance(weights, dict):
        raise UnreadError(f"has weights {str(weights)[:20]!r}")
    word, group = str(weights.get("dtype")), weights.get("group_size")
    if word.startswith("fp8"):
        return plain("fp8")
    if word in ("fp4", "mxfp4") or word.startswith("mx"):
        return plain("mxfp4") if "4" in word or "fp4" in word else plain("mxfp8")
    width = re.fullmatch(r"u?int(\d)", word)
    if width is None:
        raise UnreadError(f"has weights {word[:20]!r}")
    return integers(int(width[1]), group, zero=0.0 if weights.get("symmetric", True) else None)


def mlx(settings: Mapping[str, Any]) -> Scheme:
    """MLX: scales and biases in 16 bits for each group, or the OCP formats."""
    mode = settings.get("mode", "affine")
    if mode in ("mxfp4", "nvfp4", "mxfp8"):
        return plain(str(mode))
    if mode != "affine":
        raise UnreadError(f"has the mode {str(mode)[:20]!r}")
    return integers(settings.get("bits"), settings.get("group_size", _BLOCK), zero=BYTE * SCALE)


def _mean(settings: Mapping[str, Any]) -> Scheme:
    """ExLlama: bits are a mean that has scales in it."""
    return integers(settings.get("bits"), 0)


METHODS: dict[str, Callable[[Mapping[str, Any]], Scheme]] = {
    "gptq": _gptq, "awq": _gptq, "auto-round": _gptq, "intel/auto-round": _gptq, "inc": _gptq, "marlin": _gptq,
    "hqq": _hqq, "bitsandbytes": _bitsandbytes, "quanto": _quanto, "exl2": _mean, "exl3": _mean,
    "mlx": mlx,
}  # fmt: skip
"""Tools that store all matrices in one way; the end of a name is that of a kernel (`gptq_marlin`)."""
READ = (*METHODS, *PLAIN, "compressed-tensors", "torchao", "modelopt", "quark")


def scheme_of(settings: Mapping[str, Any]) -> Scheme:
    """How a tool with one way stores weights; raises UnreadError, with the reason, for what gives no bytes."""
    algorithm = settings.get("quant_algo")
    if algorithm:
        precision = ALGORITHMS.get(str(algorithm).upper())
        if precision is None:
            raise UnreadError("is not known")
        grouped = precision == "int4"
        return integers(NARROW, settings.get("group_size", _GROUP), zero=0.0) if grouped else plain(precision)
    method = str(settings.get("quant_method") or "").lower()
    if method in PLAIN:
        return plain(PLAIN[method])
    read = METHODS.get(method) or METHODS.get(method.partition("_")[0])
    if read is None:
        raise UnreadError("is not known")
    return read(settings)
