"""Choices and counts that a plan, a stack's entry and a measured run share: the values that each may have."""

from __future__ import annotations

from typing import Annotated, Literal

from llmplan.rules import Within

Degree = Annotated[int, Within(ge=1, le=1_000_000)]
Count = Annotated[int, Within(ge=1, le=10**9)]
RequestTokens = Annotated[float, Within(ge=1, le=1e9)]
Amount = Annotated[float, Within(ge=0)]
Fraction = Annotated[float, Within(gt=0, le=1)]

Recompute = Literal["none", "selective", "full"]
TrainingPrecision = Literal["fp32", "tf32", "fp16", "bf16", "fp8", "mxfp8", "nvfp4", "int8"]
StoragePrecision = Literal["fp32", "fp16", "bf16", "fp8", "int8", "int4", "nvfp4", "mxfp4"]
QuantizedBase = Literal["nf4", "int8", "int4", "fp8"]
GradientPrecision = Literal["fp32", "bf16"]
Guess = Literal["recompute", "zero", "vp", "flash_attention", "optimizer", "lora_targets"]
"""Options of a training run that default to the stack's recipe, and that runs of one stack differ in."""
Optimizer = Literal[
    "adam", "adamw", "adam-8bit", "adamw-8bit", "paged-adamw", "paged-adamw-8bit", "sgd", "momentum", "lamb",
    "adafactor", "lion", "muon",
]  # fmt: skip
WorkloadKind = Literal["pretrain", "finetune", "lora", "serve"]
Method = Literal["sft", "dpo", "reward", "grpo", "ppo"]
Generation = Literal["colocated", "apart"]
LengthSpread = Literal["constant", "uniform", "dataset"]
Speculation = Literal["none", "mtp", "eagle", "medusa", "draft-model"]
Arrival = Literal["poisson", "gamma"]
Load = Literal["static", "closed", "saturated", "open"]
ReduceAlgorithm = Literal["ring", "switch", "one_shot", "two_shot", "lamport"]
Dispatch = Literal["domain", "all_to_all", "direct", "all_gather"]
