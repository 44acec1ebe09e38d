"""What one device holds of a model's parameters under a layout, and layers of a pipeline stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from llmplan.formulas.numeric import maximum, minimum, real, where
from llmplan.formulas.pipeline import stage_layers
from llmplan.formulas.states import expert_parts, lora_parameters, split_parts
from llmplan.model.adapters import Adapter
from llmplan.model.layer import Layer, Linear
from llmplan.model.model import Model

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def local_parameters(linear: Linear, layout: Any) -> Num:
    """Parameters of one matrix (or bank) on one device, after tensor and expert parallelism [1]."""
    if linear.routed:
        held: Num = linear.parameters + layout.redundant_experts * (linear.parameters / linear.experts)
        slots: Num = linear.experts + layout.redundant_experts
        return held / minimum(expert_parts(layout.tp, layout.ep), slots * layout.tp)
    if linear.split == "none":
        return real(linear.parameters)
    bias = linear.outputs * linear.bias if linear.split == "row" else 0.0
    return (linear.parameters - bias) / split_parts(layout.tp, real(linear.split_limit)) + bias


def adapter_parameters(adapter: Adapter, rank: float) -> float:
    """Parameters of an adapter (of those of all experts), whole [1]. rank: as asked for [1]."""
    linear = adapter.linear
    return linear.experts * real(lora_parameters(linear.inputs, adapter.outputs, adapter.times * rank))


def adapter_shape(adapter: Adapter, layout: Any) -> tuple[Num, Num]:
    """Inputs and outputs of an adapter (of one expert's) on one device [1].

    Tensor parallelism divides it as its matrix: B where that has its outputs divided and A where its inputs, and
    copies the other half (PEFT `tuners/lora/model.py`: `colwise` shards lora_B, `rowwise` lora_A).
    """
    inputs: Num = real(adapter.linear.inputs)
    if adapter.linear.split == "row":
        inputs = inputs / _parts(adapter.linear, layout)
    outputs: Num = 0.0
    for piece in adapter.pieces:
        outputs = outputs + piece.outputs / (_parts(piece.linear, layout) if piece.linear.split == "column" else 1.0)
    return inputs, outputs


def local_adapter_parameters(adapter: Adapter, rank: float, layout: Any) -> Num:
    """Parameters of an adapter on one device, after tensor and expert parallelism [1]."""
    inputs, outputs = adapter_shape(adapter, layout)
    slots: Num = real(adapter.linear.experts) + layout.redundant_experts
    held = slots / minimum(layout.ep * 1.0, slots)
    return held * lora_parameters(inputs, outputs, adapter.times * rank)


def _parts(linear: Linear, layout: Any) -> Num:
    """Parts that tensor parallelism cuts one matrix into, an expert's included [1]."""
    if linear.routed:
        parts: Num = expert_parts(layout.tp, layout.ep) / layout.ep
        return parts
    return split_parts(layout.tp, real(linear.split_limit))


Stage = Literal["any", "first", "later"]
"""Of a pipeline: any, on which the kinds of layers are spread evenly; the first, that has the leading ones; a later."""


def has_leading(model: Model) -> bool:
    """Whether some layers stand before all others, so that stages are of unlike kinds."""
    return any(layer.leading for layer in model.layers)


def layers_on_stage(model: Model, layer: Layer, layout: Any, stage: Stage = "any") -> Num:
    """Layers of this group on the fullest stage; without leading ones the groups are spread evenly [1]."""
    fullest = stage_layers(real(model.layer_count), layout.pp, layout.vp)
    if stage == "any":
        return fullest * (layer.copies / model.layer_count)
    leading = sum(one.copies for one in model.layers if one.leading)
    ahead = minimum(real(leading), fullest)
    here = ahead if stage == "first" else where(layout.pp > 1, minimum(leading - ahead, fullest), ahead)
    return here if layer.leading else (fullest - here) * (layer.copies / (model.layer_count - leading))


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
