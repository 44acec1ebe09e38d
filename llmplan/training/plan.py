"""A training as a plan: what is trained, how it is spread, under which recipe of a stack."""

from __future__ import annotations

from typing import Annotated, Any

from llmplan.formulas.numeric import maximum, real
from llmplan.records import dataclass, names
from llmplan.rules import Within
from llmplan.setup.options import RUN_OPTIONS
from llmplan.setup.plan import Setup
from llmplan.software.distance import Traits, bits_of
from llmplan.software.recipe import TrainingRecipe
from llmplan.units import Bytes
from llmplan.vocabulary import (
    Count,
    Degree,
    Fraction,
    Generation,
    GradientPrecision,
    Guess,
    Method,
    Optimizer,
    QuantizedBase,
    TrainingPrecision,
    WorkloadKind,
)


@dataclass(frozen=True, kw_only=True)
class TrainingWorkload:
    """What is run, apart from where and how it is spread."""

    workload: WorkloadKind
    precision: TrainingPrecision = "bf16"
    """Of the matrix products in training."""
    seq_len: Count = 2048
    target_len: Count | None = None
    """Tokens of the decoder's sequence for encoder-decoder models; default seq_len."""
    global_batch: Count = 1
    """Sequences a step, all devices."""
    optimizer: Optimizer = "adam"
    optimizer_in_backward: bool = False
    """Each layer is updated as soon as its gradients are there, so that no others are kept."""
    offload_parameters: bool = False
    """Shards of parameters, gradients and states in host memory, where they are updated (FSDP's CPU offload)."""
    offload_activations: bool = False
    """Kept activations in host memory until the backward pass needs them."""
    dp_replicate: Degree = 1
    """Groups of dp that each hold all shards (hybrid sharding); 1 = shards over all of dp."""
    gradient_precision: GradientPrecision | None = None
    """Of gradients as they are added up and reduced; None = the stack's."""
    tp_comm_overlap: bool | None = None
    """Whether tensor-parallel communication runs in pieces beside products; None = as in the stack's measured runs."""
    flash_attention: bool = True
    method: Method = "sft"
    """What is learned from; `llmplan.training.methods`."""
    reference: bool = False
    """A frozen copy of the model is compared with."""
    generation: Generation | None = None
    """Where answers are written, of methods that learn from the model's own: on the same devices, or elsewhere."""
    generation_fraction: Fraction | None = None
    """Share of a device that an engine beside the training takes."""
    generation_tp: Degree = 1
    """Devices that share one copy of its weights."""
    packing: bool = True
    """Every micro-batch has seq_len tokens a sequence; else that is the longest, and they vary."""
    lora_rank: Count | None = None
    lora_targets: tuple[str, ...] = ()
    """What has adapters, in the words of `llmplan.model.adapters`; empty = the stack's default."""
    dora: bool = False
    """Adapters scale each output to a length of its own, which is trained."""
    quantized_base: QuantizedBase | None = None
    """Precision of frozen base weights (QLoRA)."""
    tokens: Annotated[float, Within(gt=0, le=1e18)] | None = None
    """Tokens of the whole run."""
    memory_reserve: Annotated[Bytes, Within(gt=0)] | None = None
    """Memory of a device that is to stay free."""


@dataclass(frozen=True, kw_only=True)
class TrainingPlan(Setup):
    """Everything that an estimate of a training needs.

    recipe: the stack's, as of the plan's version; guessed: options of a run with a given layout that were not given, or
    were said to be guesses.
    """

    workload: TrainingWorkload
    recipe: TrainingRecipe
    guessed: tuple[Guess, ...] = ()

    @property
    def widening_guesses(self) -> tuple[Guess, ...]:
        """Guessed options that every measured run of the stack says: the bands of time and memory are wider for
        them."""
        if not self.guessed:
            return ()
        wide = self.stack.widening_options
        return tuple([option for option in self.guessed if option in wide])

    @property
    def usable_bytes(self) -> float:
        """Memory of a device that a framework can have, without the reserve [bytes]."""
        memory = self.device.memory
        return real(maximum(0.0, memory.capacity - memory.reserved - (self.workload.memory_reserve or 0.0)))

    @property
    def kind(self) -> WorkloadKind:
        """What is run: `pretrain`, `finetune` or `lora`."""
        return self.workload.workload

    @property
    def lora(self) -> bool:
        """Whether adapters are trained and the model is frozen."""
        return self.workload.workload == "lora"

    @property
    def traits(self) -> Traits:
        """What it is, as far as the width of bands goes."""
        layers = self.model.kinds | {"adapters"} if self.lora else self.model.kinds
        version, bits = self.options.stack_version or "", bits_of(self.workload.precision)
        return Traits(self.device.id, version, bits, layers, self.model.approximate, self.guessed)

    def as_options(self) -> dict[str, Any]:
        """The plan in the vocabulary, complete: given back as a plan file it is the same plan."""
        layout, workload = self.layout, self.workload
        found = {
            **self.common_options(RUN_OPTIONS),
            **{name: getattr(layout, name) for name in names(layout)},
            **{name: getattr(workload, name) for name in names(workload)},
        }
        if workload.generation != "colocated":
            found |= dict.fromkeys(("generation_fraction", "generation_tp"))
        if workload.method == "sft":
            found |= dict.fromkeys(("method", "reference"))
        if not self.lora:
            found |= dict.fromkeys(("lora_rank", "lora_targets", "quantized_base"))
        if not workload.dora:
            found["dora"] = None
        found["guessed"] = self.widening_guesses or None
        for name, idle in (("offload_activations", False), ("dp_replicate", 1), ("redundant_experts", 0)):
            if found[name] == idle:
                del found[name]
        if workload.packing and workload.workload == "pretrain":
            del found["packing"]  # it is what goes without saying
        return self.in_order(found)
