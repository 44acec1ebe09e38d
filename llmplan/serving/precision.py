"""Bytes of weights and cache by precision, as engines store them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmplan.model.model import Model
    from llmplan.serving.plan import ServingWorkload

LOW = ("fp8", "int8", "nvfp4", "mxfp4", "int4")
WEIGHT_BYTES = {
    "fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.52, "nvfp4": 0.5625, "mxfp4": 0.53125,
}  # fmt: skip
"""Bytes of a stored weight with its scales: int4 in groups of 128 with a 16-bit scale and a 4-bit zero (GPTQ, AWQ),
nvfp4 an 8-bit scale for 16, mxfp4 one for 32; scales of fp8 and int8 (a row, or a 128 x 128 block) are nothing."""


def expert_bytes(model: Model, work: ServingWorkload) -> float:
    """Bytes of a weight of an expert: released ones may have fewer bits than the rest (MXFP4 in gpt-oss)."""
    if work.weight_precision not in LOW and model.expert_precision in WEIGHT_BYTES:
        return WEIGHT_BYTES[model.expert_precision]
    return WEIGHT_BYTES[work.weight_precision]
