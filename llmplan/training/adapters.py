"""LoRA: the work of the adapters beside the frozen matrices, and of unpacking a quantized base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.formulas.numeric import real
from llmplan.formulas.step import elementwise_bytes
from llmplan.model.model import Layer, Linear
from llmplan.training.plan import TrainingPlan
from llmplan.training.states import lora_targets
from llmplan.work.flow import Flow
from llmplan.work.kernels import Kernels
from llmplan.work.layer import NOTHING, Parts
from llmplan.work.products import local_shape, plain_product
from llmplan.work.states import local_parameters

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

INPUT_PASSES, OUTPUT_PASSES = 2.0, 3.0
"""Reads and writes of vectors: dropout takes the input and writes a copy, the sum reads two results and writes one."""
ADAPTER_OPERATIONS = 5.0
"""Launches of one adapter, forward [1]: dropout, two products, scaling, addition (PEFT, `lora.Linear.forward`)."""


def targets_of(plan: TrainingPlan, layer: Layer) -> list[Linear]:
    """Matrices of a layer that have adapters; none outside LoRA."""
    names = lora_targets(plan) if plan.lora else ()
    return [linear for linear in layer.linears if linear.name in names and not linear.routed]


def adapters_forward(plan: TrainingPlan, layer: Layer, flow: Flow, kernels: Kernels) -> Parts:
    """Adapters of one layer, forward; twice that backward [s]. Ignored: adapters of routed experts."""
    rank = plan.workload.lora_rank
    total = NOTHING
    for linear in targets_of(plan, layer) if rank is not None else ():
        total = total + _adapter(linear, real(rank or 0), flow.rows_of(linear), plan.layout, kernels)
    return total


def _adapter(linear: Linear, rank: float, rows: Num, layout: Any, kernels: Kernels) -> Parts:
    n, k = local_shape(linear, layout)
    down = plain_product(rank, k, rows, kernels.wide, "forward")
    up = plain_product(n, rank, rows, kernels.wide, "forward")
    moved = elementwise_bytes(rows, INPUT_PASSES * k + OUTPUT_PASSES * n, 1.0) / kernels.stream
    return Parts(matmul=down + up, elementwise=moved)


def adapter_operations(plan: TrainingPlan, layer: Layer) -> float:
    """Launches of a layer's adapters, forward [1]."""
    return ADAPTER_OPERATIONS * len(targets_of(plan, layer))


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
