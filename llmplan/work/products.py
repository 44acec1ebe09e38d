"""Matrix products of a layer on one device: which run as one, their local shapes, and their time by direction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from llmplan.formulas.experts import busiest_rank, padded_rows, touched_experts
from llmplan.formulas.matmul import cast_bytes, gradient_traffic, matmul_seconds, product_traffic
from llmplan.formulas.numeric import everywhere, is_zero, maximum, minimum, real, where
from llmplan.formulas.states import expert_parts, split_parts
from llmplan.machine.kernels import GroupedCurve, ProductCurve
from llmplan.model.layer import Layer, Linear
from llmplan.model.model import MLP_OUT
from llmplan.records import replace
from llmplan.work.flow import Flow
from llmplan.work.kernels import Kernels

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

Direction = Literal["forward", "input_gradient", "weight_gradient"]
HALF_TILE = 64.0
"""Rows: half of the 128-row tile that grouped products take where experts have many rows [1]."""
_LEAST_ROWS = 1e-9  # of a rank, below which there are none


def joined(layer: Layer) -> Iterator[tuple[Linear, ...]]:
    """Matrices that read the same input and run as one product (queries, keys and values; gate and up).

    Ignored: stacks that keep them apart (plain PyTorch models), whose smaller products fill the chip less.
    """
    group: list[Linear] = []
    for linear in layer.linears:
        last = group[-1] if group else None
        if (
            last is not None
            and not linear.saves_input
            and everywhere(linear.inputs == last.inputs)
            and linear.routed == last.routed
            and linear.wide == last.wide
            and "row" not in (linear.split, last.split)
            and "cross_kv" not in (linear.role, last.role)
        ):
            group.append(linear)
            continue
        if group:
            yield tuple(group)
        group = [linear]
    if group:
        yield tuple(group)


def first_bank(layer: Layer) -> Linear | None:
    """The first matrix of the routed experts, into which tokens go; None where the layer has none."""
    return next((linear for linear in layer.linears if linear.routed), None)


def local_shape(linear: Linear, layout: Any) -> tuple[Num, Num]:
    """Outputs and inputs (n, k) of a matrix on one device [1]."""
    n, k = real(linear.outputs), real(linear.inputs)
    if linear.split == "none":
        return n, k
    if linear.routed:
        parts = expert_parts(layout.tp, layout.ep) / layout.ep
    else:
        parts = split_parts(layout.tp, real(linear.split_limit))
    return (n / parts, k) if linear.split == "column" else (n, k / parts)


def products_seconds(
    layer: Layer, flow: Flow, layout: Any, kernels: Kernels, direction: Direction, *, copies: float = 1.0
) -> Num:
    """Every matrix product of one layer in one direction [s]; nothing where no token passes.

    copies: of a cast input that are written, 2 where the gradient of the weight needs its transpose [1].
    """
    total: Num = 0.0
    for group in joined(layer):
        rows = flow.rows_of(group[0])
        once = product_seconds(group, rows, layout, kernels, direction, copies=copies)
        total = total + where(rows > 0, once, 0.0)
    return total


def product_seconds(
    group: tuple[Linear, ...], rows: Num, layout: Any, kernels: Kernels, direction: Direction, *, copies: float = 1.0
) -> Num:
    """Matrices that run as one product, for so many tokens [s]."""
    first = group[0]
    n, k = local_shape(first, layout)
    for other in group[1:]:
        n = n + local_shape(other, layout)[0]
    if first.routed:
        return _grouped(first, n, k, rows, layout, kernels, direction, copies)
    curve = kernels.fused if producer(first) in kernels.software.fused_casts else kernels.products
    curve = kernels.wide if first.wide else curve
    if first.stored is not None:
        held = sum(one.outputs * (one.stored or 0.0) for one in group) / sum(one.outputs for one in group)
        curve = replace(curve, weight_bytes=held)
    if first.shared and kernels.software.beside:  # starts, and fills units, while routed experts do
        curve = replace(curve, launch=0.0, ramp_k=0.0, tail=0.0)
    return plain_product(n, k, rows, curve, direction, copies=copies)


def producer(linear: Linear) -> str:
    """The operation that makes a matrix's inputs: `norm`, `attention` or `activation`."""
    if linear.role in MLP_OUT:
        return "activation"
    return "attention" if linear.role in ("attention_out", "recurrent_out") else "norm"


def plain_product(n: Num, k: Num, rows: Num, curve: ProductCurve, direction: Direction, *, copies: float = 1.0) -> Num:
    """A product of `rows` tokens with a (k, n) matrix, of their gradients with its transpose, or the matrix's
    gradient [s]. What is cast is cast with the first product that reads it."""
    fixed = {"rate": curve.rate, "ramp_k": curve.ramp_k, "tail": curve.tail, "bandwidth": curve.bandwidth}
    if direction == "weight_gradient":
        traffic = gradient_traffic(rows, n, k, curve.input_bytes)
        return matmul_seconds(k, n, rows, traffic=traffic, launch=curve.launch, **fixed)
    columns, inner = (n, k) if direction == "forward" else (k, n)
    traffic = product_traffic(rows, columns, inner, curve.weight_bytes, curve.input_bytes)
    seconds = matmul_seconds(rows, columns, inner, traffic=traffic, launch=curve.launch, **fixed)
    return seconds if is_zero(curve.cast_bandwidth) else seconds + _cast(rows * inner, curve, copies)


def rank_rows(bank: Linear, tokens: Num, layout: Any, spread: float) -> tuple[Num, Num]:
    """Rows of the busiest rank, and its experts that have any [1].

    tokens: of the micro-batch or step on this device, which tensor-parallel ranks share or hold alike. The ep ranks of
    a group take the tokens of ep / min(tp, ep) of them together. A copy of an expert takes its share of the rows: it
    counts as an expert more, and is read as one.
    """
    shared = minimum(layout.tp, layout.ep) * 1.0
    experts, active = real(bank.experts) + layout.redundant_experts, real(bank.active)
    together = maximum(tokens * layout.ep / shared, _LEAST_ROWS)
    rows = tokens * active / shared * busiest_rank(layout.ep * 1.0, experts, active, together, spread)
    touched = touched_experts(experts, active, together, spread) / layout.ep
    return rows, maximum(minimum(touched, rows), minimum(1.0, rows))


def _grouped(
    bank: Linear, n: Num, k: Num, tokens: Num, layout: Any, kernels: Kernels, direction: Direction, copies: float
) -> Num:
    """A product of a bank of experts [s]; its launch is the layer's (`elementwise`)."""
    rows, groups = rank_rows(bank, tokens, layout, kernels.software.routing_spread)
    curve = kernels.experts if bank.stored is None else replace(kernels.experts, weight_bytes=bank.stored)
    return grouped_product(n, k, rows, groups, curve, direction, copies=copies)


def grouped_product(
    n: Num, k: Num, rows: Num, groups: Num, curve: GroupedCurve, direction: Direction, *, copies: float = 1.0
) -> Num:
    """`plain_product` for rows that are grouped by expert, launch aside [s]; groups: experts that have any [1]."""
    columns, inner = (k, n) if direction == "input_gradient" else (n, k)
    if direction == "weight_gradient":
        traffic = gradient_traffic(rows, n, k, curve.input_bytes, groups)
    else:
        traffic = product_traffic(rows, columns, inner, curve.weight_bytes, curve.input_bytes, groups)
    seconds = matmul_seconds(
        padded_rows(rows, groups, curve.padding, HALF_TILE), columns, inner, rate=curve.rate, ramp_k=0.0,
        tail=curve.tail, traffic=traffic, bandwidth=curve.bandwidth, launch=0.0,
    )  # fmt: skip
    if is_zero(curve.cast_bandwidth) or direction == "weight_gradient":
        return seconds
    return seconds + _cast(rows * inner, curve, copies)


def _cast(elements: Num, curve: ProductCurve | GroupedCurve, copies: float) -> Num:
    """Casting inputs of a product, where they are [s]."""
    bandwidth = curve.cast_bandwidth
    moved = cast_bytes(elements, curve.input_bytes, copies)
    return where(bandwidth > 0, moved / where(bandwidth > 0, bandwidth, 1.0), 0.0)
