"""What a training keeps of each parameter on one device: weights, gradients, optimizer states, adapters.

All functions take a plan whose layout holds numbers, or arrays that broadcast against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import maximum, real
from llmplan.formulas.states import expert_parts
from llmplan.machine.precision import ELEMENT_BYTES, STORED_BYTES
from llmplan.model.adapters import Adapter, adapters_of
from llmplan.model.layer import Layer
from llmplan.records import dataclass
from llmplan.training.methods import trained_models
from llmplan.training.plan import TrainingPlan
from llmplan.work.states import (
    Stage,
    adapter_parameters,
    adapter_shape,
    layers_on_stage,
    local_adapter_parameters,
    local_parameters,
)

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

OPTIMIZER_STATES = {
    "adam": 2.0, "adamw": 2.0, "lamb": 2.0, "adam-8bit": 2.0, "adamw-8bit": 2.0, "paged-adamw": 2.0,
    "paged-adamw-8bit": 2.0, "momentum": 1.0, "lion": 1.0, "muon": 1.0,
    "sgd": 0.0, "adafactor": 0.0,
}  # fmt: skip
"""Elements of optimizer state for each parameter, beside the master weight: Kingma & Ba 2014 (two moments), Lion and
momentum (one), Muon (one for matrices; its embeddings under Adam are ignored), Adafactor (row and column sums: nothing
to speak of)."""
OWN_STATE_BYTES = {"adam-8bit": 1.0, "adamw-8bit": 1.0, "paged-adamw-8bit": 1.0, "paged-adamw": 4.0}
"""Bytes of one where the optimizer and not the stack decides (bitsandbytes; Dettmers et al. 2021, arXiv 2110.02861).
Ignored: the scales of blocks, 1 to 2 % of them, and that tensors below 4096 elements stay in 32 bits."""
PAGED = ("paged-adamw", "paged-adamw-8bit")
"""Optimizers whose states are managed memory, which the driver moves to the host where the device is full: Dettmers et
al. 2023, arXiv 2305.14314, section 3; bitsandbytes `optim/optimizer.py`, `get_state_buffer`."""


CAST = ("nf4", "int8")
"""Quantized bases that PEFT prepares for training (`prepare_model_for_kbit_training`): those of bitsandbytes."""


@dataclass(frozen=True, slots=True)
class Held:
    """Parameters that one device holds: dense, in experts, and of those, trained ones [1]."""

    dense: Num
    expert: Num
    dense_trained: Num
    expert_trained: Num


def optimizer_bytes(plan: TrainingPlan) -> float:
    """Bytes of a trained parameter's optimizer states, without the master weight [bytes]."""
    name = plan.workload.optimizer
    return OPTIMIZER_STATES[name] * OWN_STATE_BYTES.get(name, plan.recipe.moment_bytes)


def frozen_bytes(plan: TrainingPlan) -> float:
    """Bytes of a parameter of a quantized base, or of one in the precision of the weights [bytes]."""
    base = plan.workload.quantized_base
    if not plan.lora or base is None:
        return state_bytes(plan)[0]
    return plan.recipe.quantized_base_bytes.get(base, STORED_BYTES[base])


def state_bytes(plan: TrainingPlan) -> tuple[float, float, float]:
    """Bytes of a parameter as held, of its gradient, and of its master copy, by precision and stack."""
    recipe = plan.recipe
    if plan.workload.precision in ("fp32", "tf32"):
        return 4.0, 4.0, 0.0
    gradient, master = recipe.gradient_bytes, recipe.master_bytes
    if plan.workload.precision != "fp16":
        gradient = gradient if recipe.gradient_bytes_bf16 is None else recipe.gradient_bytes_bf16
        master = master if recipe.master_bytes_bf16 is None else recipe.master_bytes_bf16
    given = plan.workload.gradient_precision
    if given is not None and recipe.parameter_bytes <= ELEMENT_BYTES["bf16"]:
        gradient = ELEMENT_BYTES[given]
    return recipe.parameter_bytes, gradient, master


def reduced_bytes(plan: TrainingPlan) -> float:
    """Bytes of a gradient element on its way between replicas: as given or the stack's, and never more than it has."""
    given = plan.workload.gradient_precision
    reduced = plan.recipe.reduce_bytes if given is None else ELEMENT_BYTES[given]
    return min(state_bytes(plan)[1], reduced)


def shard_devices(plan: TrainingPlan) -> Num:
    """Devices that share the shards of one copy: dp x cp, or a part of it under hybrid sharding [1].

    FSDP's HYBRID_SHARD, data_parallel_replicate_degree of torchtitan, --num-distributed-optimizer-instances of
    Megatron-LM.
    """
    return plan.layout.dp * plan.layout.cp * 1.0 / plan.workload.dp_replicate


def expert_shard_devices(plan: TrainingPlan) -> Num:
    """The same of experts, which expert parallelism divides already [1]."""
    layout = plan.layout
    return maximum(1.0, shard_devices(plan) * layout.tp / expert_parts(layout.tp, layout.ep))


def adapters(plan: TrainingPlan, layer: Layer) -> tuple[Adapter, ...]:
    """LoRA adapters of one layer; none where the model itself is trained."""
    if not plan.lora:
        return ()
    return adapters_of(plan.model, layer, plan.workload.lora_targets or plan.recipe.lora_targets)


def rank(plan: TrainingPlan) -> float:
    """Rank of the adapters [1]."""
    return real(plan.workload.lora_rank or plan.recipe.lora_rank)


def _magnitudes(plan: TrainingPlan, outputs: Num) -> Num:
    """Lengths of the outputs of an adapter, where they are trained (DoRA) [1]."""
    return outputs if plan.workload.dora else 0.0


def layer_parameters(plan: TrainingPlan, stage: Stage = "any") -> Held:
    """Parameters of the layers of the fullest stage on one device [1]."""
    dense: Num = 0.0
    expert: Num = 0.0
    trained: Num = 0.0
    trained_expert: Num = 0.0
    for layer in plan.model.layers:
        count = layers_on_stage(plan.model, layer, plan.layout, stage)
        banks = sum((local_parameters(x, plan.layout) for x in layer.linears if x.routed), 0.0)
        rest = sum(
            (local_parameters(x, plan.layout) for x in layer.linears if not x.routed), real(layer.extra_parameters)
        )
        for adapter in adapters(plan, layer):
            lengths = _magnitudes(plan, adapter_shape(adapter, plan.layout)[1])
            added = count * (local_adapter_parameters(adapter, rank(plan), plan.layout) + lengths)
            if adapter.linear.routed:
                trained_expert = trained_expert + added
            else:
                trained = trained + added
        dense, expert = dense + count * rest, expert + count * banks
    if plan.lora:
        return Held(dense + trained, expert + trained_expert, trained, trained_expert)
    return Held(dense, expert, dense, expert)


def trained_parameters(plan: TrainingPlan) -> float:
    """Parameters that are trained, and that a checkpoint holds [1]: all, or those of the adapters."""
    if not plan.lora:
        return real(plan.model.parameters) * trained_models(plan)
    found = ((layer, one) for layer in plan.model.layers for one in adapters(plan, layer))
    return sum(
        layer.copies * (adapter_parameters(one, rank(plan)) + real(_magnitudes(plan, real(one.outputs))))
        for layer, one in found
    )
