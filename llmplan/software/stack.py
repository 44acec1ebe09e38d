"""Catalogue type of a software stack: its defaults, its fitted numbers, its bands."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field

from llmplan.schema import Source, Spec
from llmplan.software.band import Band
from llmplan.software.engine import ServingDefaults
from llmplan.units import Bytes
from llmplan.vocabulary import Recompute, WorkloadKind


class Number(Spec):
    """What a fitted number means: an item of `hardware_catalog/numbers.yaml`."""

    unit: str
    meaning: str
    range: tuple[float, float]
    """What is plausible; fits keep inside and `catalog check` refuses what is outside."""
    prior: float
    """Where a fit starts, and what it is drawn to where rows say nothing."""
    spread: Annotated[float, Field(gt=0)]
    """How far from the prior is ordinary, as a fraction of it."""


class TrainingRecipe(Spec):
    """What the stack does where the user says nothing."""

    recompute: Recompute | Literal["auto"] = "auto"
    """`auto` = the least that fits."""
    zero: Annotated[int, Field(ge=0, le=3)] = 1
    sequence_parallel: bool = True
    """Where tp > 1."""
    flash_attention: bool = True
    optimizer: str = "adam"
    precision: str = "bf16"
    micro_batch: int = 1
    lora_rank: int = 16
    lora_targets: tuple[str, ...] = ("q", "kv")
    gradient_bytes: float = 4.0
    """Bytes of a gradient element of 16-bit weights as accumulated."""
    gradient_bytes_bf16: float | None = None
    """The same for bf16 weights, where the stack treats them otherwise than fp16 ones."""
    master_bytes: float = 4.0
    """Bytes of the master copy of a 16-bit weight; 0 = none."""
    master_bytes_bf16: float | None = None
    moment_bytes: float = 4.0
    """Bytes of an element of an optimizer state; 2 where the states are in 16 bits like the weights."""
    reduce_bytes: float = 4.0
    """Bytes of a gradient element in the data-parallel reduction."""
    parameter_bytes: float = 2.0
    """Bytes of a parameter as held; 4 where 32-bit parameters are cast on the fly (FSDP mixed precision)."""
    dropout: bool = False
    norm_saves: float = 1.0
    """Hidden vectors kept for each norm (more where the norm runs unfused in fp32)."""
    activation_saves: float = 1.0
    """Vectors kept at the non-linearity for each one that a fused kernel keeps."""
    attention_kernel: Literal["flash-2", "best"] = "best"
    """`flash-2`, or the fastest that was measured on the device."""
    narrow_inputs: bool = False
    """Inputs of 8-bit matrix products are kept in 8 bits (Transformer Engine), not in 16."""
    selective_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of a layer's activations and matrix products that `selective` computes again beside core
    attention: 0 as in Megatron-LM, about a half where it means every second layer or matrix product."""
    recompute_copies: float = 1.0
    """Times that a recomputed layer's activations stand in memory while it is differentiated: 2 where their
    gradients stand beside them."""
    gathered_unit: Literal["layer", "matrix"] = "layer"
    """What stands whole at once under ZeRO-3: a layer (an FSDP unit), or a matrix where each is gathered as it is
    used (DeepSpeed's submodules, XLA's all-gather before a product)."""
    logits_bytes: float = 8.0
    """Bytes of a logit at the peak, all copies: 4 fp32 and 4 its gradient."""
    logits_chunk: int = 0
    """Tokens of which the loss is computed at a time; 0 = all."""


class MemoryModel(Spec):
    """What the stack holds beside model states and activations."""

    context: Bytes
    """CUDA context, libraries, communicators: seen by nvidia-smi, not by the allocator."""
    fragmentation: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of allocated memory lost in the allocator's blocks (reserved / allocated - 1)."""
    workspace: Bytes = 0.0
    """Buffers of kernels and libraries."""
    loads_unsharded: bool = False
    """A sharded model is first loaded whole on every device: its peak may be that, not the training."""


class Variant(Spec):
    """What was otherwise in older versions of a stack."""

    before: str
    """First version that it no longer holds for, such as `26`."""
    training: dict[str, Any] = {}
    """Defaults that differ, in the words of `training`."""
    fitted: dict[str, float] = {}
    """Numbers that differ."""


class StackLayouts(Spec):
    """Layouts that a stack can run, for searches; a word that is absent is not limited."""

    one: tuple[Literal["tp", "pp", "vp", "cp", "ep"], ...] = ()
    """Degrees that stay 1."""
    zero: tuple[int, ...] | None = None
    """Ways to shard over data parallelism."""
    zero_with_pipeline: tuple[int, ...] | None = None
    """The same with pp > 1; absent = as without."""
    sequence_parallel: tuple[bool, ...] | None = None
    """With tp > 1."""
    recompute: tuple[Recompute, ...] | None = None
    source: str = ""


class Stack(Spec):
    """A training or serving software: `hardware_catalog/stacks/<id>.yaml`."""

    id: str = ""
    name: str
    aliases: tuple[str, ...] = ()
    version: str = ""
    workloads: tuple[WorkloadKind, ...]
    vendors: tuple[str, ...] = ()
    """Makers of the devices that it runs on, where its documentation names them; empty = not known."""
    training: TrainingRecipe | None = None
    layouts: StackLayouts = StackLayouts()
    memory: MemoryModel
    fitted: dict[str, float] = {}
    """Values of the numbers that `numbers.yaml` explains; at most eight for training and eight for serving."""
    variants: tuple[Variant, ...] = ()
    """Older versions, the oldest first."""
    bands: dict[str, Band] = {}
    """By quantity: `step_seconds`, `peak_bytes`, ..."""
    hardware: tuple[str, ...] = ()
    """Devices that it was measured on; elsewhere the bands of `unmeasured_hardware` hold."""
    fitted_on: tuple[str, ...] = ()
    """Sources of the rows that the numbers came from, with how many rows."""
    serving: ServingDefaults | None = None
    notes: tuple[str, ...] = ()
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    date: str

    def variant(self, version: str) -> Variant | None:
        """What older numbers hold for a version; None where the newest do, or the text has no number in it."""
        wanted = version_key(version)
        return next((item for item in self.variants if wanted and wanted < version_key(item.before)), None)

    def at(self, version: str) -> Stack:
        """The stack as of a version."""
        older = self.variant(version)
        if older is None:
            return self
        training = self.training
        if training is not None and older.training:
            training = TrainingRecipe.model_validate({**training.model_dump(exclude_unset=True), **older.training})
        return self.model_copy(update={"training": training, "fitted": {**self.fitted, **older.fitted}})


def version_key(version: str) -> tuple[int, ...]:
    """Numbers of a version or date, for comparing: `v25.04.02` and `25.4.2` are alike.

    >>> version_key("v25.04.02") < version_key("26")
    True
    """
    return tuple(int(number) for number in re.findall(r"\d+", version))
