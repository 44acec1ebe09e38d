"""LoRA: the work of the adapters beside the frozen matrices, and of unpacking a quantized base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.formulas.step import elementwise_bytes
from llmplan.model.adapters import Adapter
from llmplan.model.model import Layer
from llmplan.training.plan import TrainingPlan
from llmplan.training.states import adapters, rank
from llmplan.work.flow import Flow
from llmplan.work.kernels import Kernels
from llmplan.work.layer import NOTHING, Parts
from llmplan.work.products import plain_product
from llmplan.work.states import adapter_shape, local_parameters

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

INPUT_PASSES, OUTPUT_PASSES = 2.0, 3.0
"""Reads and writes of vectors: dropout takes the input and writes a copy, the sum reads two results and writes one."""
ADAPTER_OPERATIONS = 5.0
"""Launches of one adapter, forward [1]: dropout, two products, scaling, addition (PEFT, `lora.Linear.forward`)."""


def adapters_forward(plan: TrainingPlan, layer: Layer, flow: Flow, kernels: Kernels) -> Parts:
    """Adapters of one layer, forward; twice that backward [s]. Ignored: adapters of routed experts."""
    total = NOTHING
    for adapter in _dense(plan, layer):
        width, rows = adapter.times * rank(plan), flow.rows_of(adapter.linear)
        total = total + _adapter(adapter, width, rows, plan.layout, kernels)
    return total


def _dense(plan: TrainingPlan, layer: Layer) -> list[Adapter]:
    return [adapter for adapter in adapters(plan, layer) if not adapter.linear.routed]


def _adapter(adapter: Adapter, width: float, rows: Num, layout: Any, kernels: Kernels) -> Parts:
    k, n = adapter_shape(adapter, layout)
    down = plain_product(width, k, rows, kernels.wide, "forward")
    up = plain_product(n, width, rows, kernels.wide, "forward")
    moved = elementwise_bytes(rows, INPUT_PASSES * k + OUTPUT_PASSES * n, 1.0) / kernels.stream
    return Parts(matmul=down + up, elementwise=moved)


def adapter_operations(plan: TrainingPlan, layer: Layer) -> float:
    """Launches of a layer's adapters, forward [1]."""
    return ADAPTER_OPERATIONS * len(_dense(plan, layer))


def unpacking_seconds(plan: TrainingPlan, layer: Layer, kernels: Kernels) -> Num:
    """Time to widen the quantized base of one layer for one pass [s]; 0 where products take it as it is."""
    base = plan.workload.quantized_base
    each = plan.recipe.unpacking_bytes.get(base, 0.0) if base is not None else 0.0
    if each == 0.0:
        return 0.0
    held: Num = 0.0
    for linear in layer.linears:
        held = held + (0.0 if linear.wide else local_parameters(linear, plan.layout))
    return held * each / kernels.stream
