"""How a model is spread over devices, and what each run does: Layout and Workload.

The words are those of the command line, the plan file, the CSV columns and the JSON
(kebab-case on the command line).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from llmplan.schema import Spec

Degree = Annotated[int, Field(ge=1, le=1_000_000)]
Count = Annotated[int, Field(ge=1, le=10**9)]

Recompute = Literal["none", "selective", "full"]
TrainingPrecision = Literal["fp32", "tf32", "fp16", "bf16", "fp8", "mxfp8", "nvfp4", "int8"]
Optimizer = Literal["adam", "adamw", "adam-8bit", "sgd", "momentum", "lamb", "adafactor", "lion", "muon"]
WorkloadKind = Literal["pretrain", "finetune", "lora", "serve"]
QuantizedBase = Literal["nf4", "int8", "int4", "fp8"]
StoragePrecision = Literal["fp32", "fp16", "bf16", "fp8", "int8", "int4", "nvfp4", "mxfp4"]


class Layout(Spec):
    """Degrees of parallelism and what goes with them; every field a scalar here, an array in `fit`."""

    tp: Degree = 1
    """Tensor parallelism."""
    pp: Degree = 1
    """Pipeline stages."""
    vp: Degree = 1
    """Virtual stages a device (interleaved schedule); 1 = plain 1F1B."""
    cp: Degree = 1
    """Context parallelism."""
    ep: Degree = 1
    """Expert parallelism; divides dp x cp x tp and takes no devices of its own."""
    dp: Degree = 1
    """Data parallelism = devices / (tp x pp x cp)."""
    zero: Annotated[int, Field(ge=0, le=3)] = 0
    """0 replicated; 1 optimizer states, 2 and gradients, 3 and parameters sharded over dp (x cp)."""
    sequence_parallel: bool = False
    """Norms and residuals divided over the tensor-parallel group too."""
    micro_batch: Count = 1
    """Sequences a micro-batch."""
    recompute: Recompute = "none"
    """Activations computed again in the backward pass: none, core attention (selective), all (full)."""
    offload_optimizer: bool = False
    """Optimizer states in host memory."""

    @property
    def devices(self) -> int:
        """Devices that it takes [1]."""
        return self.tp * self.pp * self.cp * self.dp


class Workload(Spec):
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
    flash_attention: bool = True
    lora_rank: Count | None = None
    lora_targets: tuple[str, ...] = ()
    """Names of the matrices with adapters (`q`, `kv`, `out`, `up`, `gate`, `down`); empty = the stack's default."""
    quantized_base: QuantizedBase | None = None
    """Precision of frozen base weights (QLoRA)."""
    tokens: Annotated[float, Field(gt=0, le=1e18)] | None = None
    """Tokens of the whole run."""
