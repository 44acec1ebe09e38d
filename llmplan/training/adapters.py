"""LoRA: the work of the adapters beside the frozen matrices, and of unpacking a quantized base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.formulas.step import elementwise_bytes
from llmplan.model.adapters import Adapter
from llmplan.model.layer import Layer
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
LENGTH_BYTES = 20.0
"""Bytes moved for each parameter of a matrix that DoRA merges: read in 16 bits and written in 32; both and the product
read and the sum written; read for the lengths (PEFT `tuners/lora/dora.py`, `get_weight_norm`)."""
SCALING_PASSES = 5.0
"""More of DoRA: two results read and scaled, and their sum added to the base's."""
MAGNITUDE_OPERATIONS = 14.0
"""Launches of the same, forward [1]: identity, two products, transposed, cast, scaled, added, lengths, quotient, three
scalings, two sums."""
ADAPTER_OPERATIONS = 5.0
"""Launches of one adapter, forward [1]: dropout, two products, scaling, addition (PEFT, `lora.Linear.forward`)."""


def adapters_forward(plan: TrainingPlan, layer: Layer, flow: Flow, kernels: Kernels) -> Parts:
    """Adapters of one layer, forward; twice that backward [s]. Ignored: adapters of routed experts."""
    total = NOTHING
    for adapter in _dense(plan, layer):
        width, rows = adapter.times * rank(plan), flow.rows_of(adapter.linear)
        passes = OUTPUT_PASSES + (SCALING_PASSES if plan.workload.dora else 0.0)
        total = total + _adapter(adapter, width, rows, plan.layout, kernels, passes)
    return total


def _dense(plan: TrainingPlan, layer: Layer) -> list[Adapter]:
    return [adapter for adapter in adapters(plan, layer) if not adapter.linear.routed]


def _adapter(adapter: Adapter, width: float, rows: Num, layout: Any, kernels: Kernels, passes: float) -> Parts:
    k, n = adapter_shape(adapter, layout)
    down = plain_product(width, k, rows, kernels.wide, "forward")
    up = plain_product(n, width, rows, kernels.wide, "forward")
    moved = elementwise_bytes(rows, INPUT_PASSES * k + passes * n, 1.0) / kernels.stream
    return Parts(matmul=down + up, elementwise=moved)


def adapter_operations(plan: TrainingPlan, layer: Layer) -> float:
    """Launches of a layer's adapters, forward [1]."""
    each = ADAPTER_OPERATIONS + (MAGNITUDE_OPERATIONS if plan.workload.dora else 0.0)
    return each * len(_dense(plan, layer))


def magnitude_seconds(plan: TrainingPlan, layer: Layer, kernels: Kernels) -> Parts:
    """What DoRA adds to one layer, forward [s]: the product of each adapter's factors, made with an identity, and the
    lengths of the outputs of their sum with the matrix. Nothing of it goes backward (the lengths are detached)."""
    total = NOTHING
    for adapter in _dense(plan, layer) if plan.workload.dora else ():
        width, (k, n) = adapter.times * rank(plan), adapter_shape(adapter, plan.layout)
        down = plain_product(width, k, k, kernels.wide, "forward")
        up = plain_product(n, width, k, kernels.wide, "forward")
        total = total + Parts(matmul=down + up, elementwise=LENGTH_BYTES * k * n / kernels.stream)
    return total


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
