"""What one device holds of a model's parameters under a layout, and layers of a pipeline stage."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from llmplan.formulas.numeric import maximum, minimum, real, where
from llmplan.formulas.pipeline import stage_layers
from llmplan.formulas.states import expert_parts, lora_parameters, split_parts
from llmplan.model.model import Layer, Linear, Model

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def local_parameters(linear: Linear, layout: Any) -> Num:
    """Parameters of one matrix (or bank) on one device, after tensor and expert parallelism [1]."""
    if linear.routed:
        return linear.parameters / minimum(expert_parts(layout.tp, layout.ep), linear.experts * layout.tp)
    if linear.split == "none":
        return real(linear.parameters)
    bias = linear.outputs * linear.bias if linear.split == "row" else 0.0
    return (linear.parameters - bias) / split_parts(layout.tp, real(linear.split_limit)) + bias


def adapter_parameters(layer: Layer, rank: int | None, targets: Collection[str]) -> float:
    """Parameters of LoRA adapters in one layer, copied over tensor parallelism [1]; rank None = no adapters."""
    if rank is None:
        return 0.0
    chosen = [linear for linear in layer.linears if linear.name in targets]
    return sum(linear.experts * real(lora_parameters(linear.inputs, linear.outputs, rank)) for linear in chosen)


def layers_on_stage(model: Model, layer: Layer, layout: Any) -> Num:
    """Layers of this group on the fullest stage, the groups spread evenly [1]."""
    fullest = stage_layers(real(model.layer_count), layout.pp, layout.vp)
    return fullest * (layer.copies / model.layer_count)


def largest_matrix(model: Model, layout: Any) -> Num:
    """Parameters of the largest matrix (or bank of experts) of any layer on one device [1]."""
    largest: Num = 0.0
    for layer in model.layers:
        for linear in layer.linears:
            largest = maximum(largest, local_parameters(linear, layout))
    return largest


def end_parameters(model: Model, layout: Any) -> tuple[Num, Num]:
    """Parameters before the first layer and after the last on one device [1], each on its own stage.

    Under pipeline parallelism a tied table stands on both ends. Encoders of images and sound stand before the
    first layer and are copied over tensor parallelism.
    """
    first = model.embedding_parameters / layout.tp + model.position_parameters + model.tower_parameters
    tied_copy = where(layout.pp > 1, model.embedding_parameters / layout.tp, 0.0) if model.tied_embeddings else 0.0
    last = model.head_parameters / layout.tp + model.final_parameters + tied_copy
    return first, last
