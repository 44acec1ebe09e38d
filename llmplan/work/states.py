"""What one device holds of the parameters, and in how many bytes: weights, gradients, optimizer states, adapters.

All functions take a plan whose layout holds numbers, or arrays that broadcast against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmplan.formulas.numeric import maximum, minimum, real, where
from llmplan.formulas.pipeline import stage_layers
from llmplan.formulas.states import expert_parts, lora_parameters, split_parts
from llmplan.model.model import Layer, Linear
from llmplan.setup.plan import Setup
from llmplan.training.plan import TrainingPlan

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

# Elements of optimizer state for each parameter, beside the master weight: Kingma & Ba 2014 (two moments), Lion and
# momentum (one), Muon (one for matrices; its embeddings under Adam are ignored), Adafactor (row and column sums:
# nothing to speak of).
OPTIMIZER_STATES = {
    "adam": 2.0, "adamw": 2.0, "lamb": 2.0, "adam-8bit": 2.0, "momentum": 1.0, "lion": 1.0, "muon": 1.0,
    "sgd": 0.0, "adafactor": 0.0,
}  # fmt: skip
# Bytes of one where the optimizer and not the stack decides: Dettmers et al. 2021, arXiv 2110.02861.
NARROW_STATES = {"adam-8bit": 1.0}


def optimizer_bytes(plan: TrainingPlan) -> float:
    """Bytes of a trained parameter's optimizer states, without the master weight [bytes]."""
    name = plan.workload.optimizer
    return OPTIMIZER_STATES[name] * NARROW_STATES.get(name, plan.recipe.moment_bytes)


@dataclass(frozen=True, slots=True)
class Held:
    """Parameters that one device holds: dense, in experts, and of those, trained ones [1]."""

    dense: Num
    expert: Num
    dense_trained: Num
    expert_trained: Num


def local_parameters(linear: Linear, layout: Any) -> Num:
    """Parameters of one matrix (or bank) on one device, after tensor and expert parallelism [1]."""
    if linear.routed:
        return linear.parameters / minimum(expert_parts(layout.tp, layout.ep), linear.experts * layout.tp)
    if linear.split == "none":
        return real(linear.parameters)
    bias = linear.outputs * linear.bias if linear.split == "row" else 0.0
    return (linear.parameters - bias) / split_parts(layout.tp, real(linear.split_limit)) + bias


def adapter_parameters(layer: Layer, plan: TrainingPlan) -> float:
    """Parameters of LoRA adapters in one layer, copied over tensor parallelism [1]."""
    rank = plan.workload.lora_rank
    if not plan.lora or rank is None:
        return 0.0
    targets = lora_targets(plan)
    chosen = [linear for linear in layer.linears if linear.name in targets]
    return sum(linear.experts * real(lora_parameters(linear.inputs, linear.outputs, rank)) for linear in chosen)


def lora_targets(plan: TrainingPlan) -> tuple[str, ...]:
    """Names of the matrices that have adapters."""
    defaults = plan.recipe
    return plan.workload.lora_targets or (defaults.lora_targets if defaults else ())


def layers_on_stage(plan: TrainingPlan, layer: Layer) -> Num:
    """Layers of this group on the fullest stage, the groups spread evenly [1]."""
    layout, total = plan.layout, plan.model.layer_count
    fullest = stage_layers(real(total), layout.pp, layout.vp)
    return fullest * (layer.copies / total)


def layer_parameters(plan: TrainingPlan) -> Held:
    """Parameters of the layers of the fullest stage on one device [1]."""
    frozen = plan.lora
    dense: Num = 0.0
    expert: Num = 0.0
    trained: Num = 0.0
    for layer in plan.model.layers:
        count = layers_on_stage(plan, layer)
        banks = sum((local_parameters(x, plan.layout) for x in layer.linears if x.routed), 0.0)
        rest = sum(
            (local_parameters(x, plan.layout) for x in layer.linears if not x.routed), real(layer.extra_parameters)
        )
        adapters = adapter_parameters(layer, plan)
        dense, expert, trained = dense + count * (rest + adapters), expert + count * banks, trained + count * adapters
    return Held(dense, expert, trained, 0.0) if frozen else Held(dense, expert, dense, expert)


def largest_matrix(plan: TrainingPlan) -> Num:
    """Parameters of the largest matrix (or bank of experts) of any layer on one device [1]."""
    largest: Num = 0.0
    for layer in plan.model.layers:
        for linear in layer.linears:
            largest = maximum(largest, local_parameters(linear, plan.layout))
    return largest


def end_parameters(plan: Setup) -> tuple[Num, Num]:
    """Parameters before the first layer and after the last on one device [1], each on its own stage.

    Under pipeline parallelism a tied table stands on both ends.
    """
    model, layout = plan.model, plan.layout
    first = model.embedding_parameters / layout.tp + model.position_parameters
    tied_copy = where(layout.pp > 1, model.embedding_parameters / layout.tp, 0.0) if model.tied_embeddings else 0.0
    last = model.head_parameters / layout.tp + model.final_parameters + tied_copy
    return first, last


def state_bytes(plan: TrainingPlan) -> tuple[float, float, float]:
    """Bytes of a parameter as held, of its gradient, and of its master copy, by precision and stack."""
    defaults = plan.recipe
    if plan.workload.precision in ("fp32", "tf32"):
        return 4.0, 4.0, 0.0
    gradient, master = defaults.gradient_bytes, defaults.master_bytes
    if plan.workload.precision != "fp16":
        gradient = gradient if defaults.gradient_bytes_bf16 is None else defaults.gradient_bytes_bf16
        master = master if defaults.master_bytes_bf16 is None else defaults.master_bytes_bf16
    return defaults.parameter_bytes, gradient, master
