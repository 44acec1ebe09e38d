"""What is assumed for serving options that were not given: precisions, lengths, the smallest sensible tp."""

from __future__ import annotations

from collections.abc import Iterable

from llmplan.machine.hardware import Device
from llmplan.model.model import Model
from llmplan.setup.layout import Layout
from llmplan.software.engine import ServingPolicy

CHAT_TOKENS = 290.0
"""A length that is not known, in or out: requests of the OpenOrca set of MLPerf Inference v4 have 294 and 291."""
ROOM_FOR_CACHE = 0.25
"""Share of memory that weights leave at least in the layout that is chosen where none is given."""
LOW_PRECISIONS = ("fp8", "int8", "int4", "nvfp4", "mxfp4")
STORED = {
    "fp8": "fp8", "mxfp8": "fp8", "int8": "int8", "int4": "int4", "nvfp4": "nvfp4", "mxfp4": "mxfp4", "nf4": "int4",
    "fp32": "fp32", "fp16": "fp16", "bf16": "bf16",
}  # fmt: skip
"""Precision that released weights are served in, by the one that they were released in."""


def wide_precision(device: Device) -> str:
    """16 bits as the device has them."""
    for name in ("bf16", "fp16"):
        if name in device.peak and name not in device.unsupported:
            return name
    return "fp32"


def weight_precision(model: Model, device: Device) -> str:
    """That of the released weights, where the device multiplies in it or widens it; else 16 bits."""
    return STORED.get(model.weight_precision or "", wide_precision(device))


def activation_precision(weights: str, device: Device) -> str:
    """Weights of 8 bits, nvfp4 and mxfp4 meet inputs of their own kind where the device can; int4 meets 16 bits."""
    native = weights in device.peak and weights not in device.unsupported
    return (
        weights if native and weights in ("fp8", "int8", "nvfp4", "mxfp4", "fp32", "fp16") else wide_precision(device)
    )


def kv_precision(model: Model, activations: str, policy: ServingPolicy, device: Device) -> str:
    """That of the model's release, else the engine's choice for low precisions, else 16 bits."""
    if model.kv_precision in ("fp8", "int8"):
        return model.kv_precision
    common = not policy.low_precision_kv_on or device.architecture.startswith(policy.low_precision_kv_on)
    if activations in LOW_PRECISIONS and policy.low_precision_kv is not None and common:
        return policy.low_precision_kv
    return wide_precision(device)


def lengths(input_tokens: float | None, output_tokens: float | None) -> tuple[float, float]:
    """Lengths of a request; one that is missing is a chat's."""
    return input_tokens or CHAT_TOKENS, output_tokens or CHAT_TOKENS


def layouts(devices: int, heads: Iterable[int], layers: int) -> list[Layout]:
    """Layouts to try: the least tensor parallelism first, a power of two that divides devices and heads; then, with
    the most of it, stages of a pipeline."""
    counts = (devices, *heads)
    tensor = [1 << bit for bit in range(devices.bit_length()) if all(count % (1 << bit) == 0 for count in counts)]
    most = tensor[-1]
    rest = devices // most
    stages = [pp for pp in range(2, min(rest, layers) + 1) if rest % pp == 0]
    return [
        *(Layout(tp=tp, dp=devices // tp) for tp in tensor),
        *(Layout(tp=most, pp=pp, dp=rest // pp) for pp in stages),
    ]


def first_with_room(weights: list[float], usable: float) -> int:
    """Index of the first layout whose weights leave room for a cache; the last where none does.

    weights, usable: of one device [bytes].
    """
    return next((index for index, held in enumerate(weights) if has_room(held, usable)), len(weights) - 1)


def has_room(weights: float, usable: float) -> bool:
    """Whether weights leave room for a cache; weights, usable: of one device [bytes]."""
    return weights <= (1.0 - ROOM_FOR_CACHE) * usable
