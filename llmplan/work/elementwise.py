"""Norms, residuals, non-linearities, rotations, permutations of a layer: bytes moved and kernels launched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.formulas.experts import routed_bytes
from llmplan.formulas.matmul import cast_bytes
from llmplan.formulas.numeric import minimum, real, where
from llmplan.formulas.step import elementwise_bytes
from llmplan.machine.kernels import GroupedCurve
from llmplan.machine.precision import WIDE_BYTES
from llmplan.model.layer import Layer
from llmplan.model.model import MLP_OUT
from llmplan.work.communication import reductions
from llmplan.work.flow import Flow
from llmplan.work.kernels import Kernels
from llmplan.work.products import first_bank, local_shape, rank_rows

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

NORM_PASSES, RESIDUAL_PASSES, ACTIVATION_PASSES, ELEMENTWISE_BACKWARD = 2.0, 3.0, 1.5, 2.0
"""Reads and writes of a vector: a norm in and out, a residual addition two in and one out, a non-linearity in (each
half of a gated one) and out. The backward pass moves about twice that."""
ROTARY_PASSES = 1.5
"""Rotary embedding reads and writes queries and keys; `saved_elements` counts q, k and v."""
ROUTING_OPERATIONS = 12.0
"""Operations that routing tokens to experts and back takes: top-k, sort, permute, counts, exchange, weigh, and their
inverses."""

ATTENTION_OPERATIONS = 2.0
"""Operations of what mixes tokens: rotation with the write into the cache, and the mixing."""
RING_OPERATIONS = 3.0
"""Operations of a further piece of keys: it is sent on and received, mixed, and added up."""


def elementwise_seconds(layer: Layer, flow: Flow, layout: Any, kernels: Kernels) -> Num:
    """Forward, of one layer [s]; nothing where no token passes. `ELEMENTWISE_BACKWARD` times that backward."""
    copies = 1.0 + 1.0 * layout.sequence_parallel * (layout.tp - 1.0)
    outside = (NORM_PASSES * layer.norms + RESIDUAL_PASSES * layer.residuals) * layer.hidden / copies
    bank = first_bank(layer)
    dense = layer.activation_elements - expert_activations(layer)
    inside = ACTIVATION_PASSES * dense + ROTARY_PASSES * sum(core.saved_elements for core in layer.cores)
    moved = elementwise_bytes(flow.rows, outside + inside / layout.tp, kernels.passes) / kernels.stream
    launched: Num = small_kernels(layer, beside=kernels.software.beside)
    if kernels.software.fused_norms:
        launched = launched - where(layout.tp * 1.0 > 1, minimum(real(layer.norms), reductions(layer, layout)), 0.0)
    seconds = moved + launched * kernels.small
    if bank is not None:
        rows, _ = rank_rows(bank, flow.rows, layout, kernels.software.routing_spread)
        inner = local_shape(bank, layout)[0] / _halves(layer)
        if kernels.experts.all_rows:  # where all tokens are here, without an exchange
            rows = where(layout.tp >= layout.ep, flow.rows * bank.active, rows)
        seconds = seconds + routed_seconds(
            rows, flow.rows / copies, real(layer.hidden), inner, kernels.experts, kernels.passes
        )
    return where(flow.rows > 0, seconds, 0.0)


def routed_seconds(rows: Num, tokens: Num, hidden: Num, inner: Num, curve: GroupedCurve, passes: Num = 1.0) -> Num:
    """What a layer of routed experts takes beside its products [s]: launches, non-linearity, weighted sum, casts.

    rows: that pass the non-linearity [1]; tokens [1]; hidden: width of a token [1]; inner: of an expert on this
    device [1]; passes: memory traffic over that of the measured kernels [1].
    """
    moved = routed_bytes(rows, tokens, hidden, inner)
    narrow: Any = curve.input_bytes < WIDE_BYTES  # cast with what is routed, where no product casts
    cast = cast_bytes(tokens * hidden + rows * inner, curve.input_bytes)
    moved = moved + where(narrow & (curve.cast_bandwidth == 0.0), cast, 0.0)
    return curve.launch + passes * moved / curve.routed_bandwidth


def expert_activations(layer: Layer) -> float:
    """Elements a token at the non-linearity of routed experts, all that it takes together [1]."""
    return real(sum(linear.outputs * linear.active for linear in layer.linears if linear.role == "expert_in"))


def small_kernels(layer: Layer, *, beside: bool = False) -> float:
    """Elementwise kernels of the forward pass outside the experts [1]: a norm each, rotation with the write into the
    cache, the non-linearity; beside: that of shared experts runs while routed ones do."""
    dense = any(
        linear.role in MLP_OUT and not linear.routed and not (beside and linear.shared) for linear in layer.linears
    )
    return real(layer.norms + len(layer.cores) + dense)


def operations(layer: Layer, cp: Num = 1.0) -> Num:
    """Operations that the host launches for one layer, forward [1]: matrices, mixing, norms, residuals, routing.

    cp: devices that share a sequence, and pieces of its keys that are mixed one after the other [1].
    """
    routing = ROUTING_OPERATIONS if first_bank(layer) is not None else 0.0
    return operations_apart(layer) + (cp - 1.0) * RING_OPERATIONS * len(layer.cores) + routing


def operations_apart(layer: Layer) -> float:
    """Operations of one layer, forward, that were each measured alone, without the gap to the next [1].

    All but those of routing, which were measured together.
    """
    return real(len(layer.linears) + ATTENTION_OPERATIONS * len(layer.cores) + layer.norms + layer.residuals)


def _halves(layer: Layer) -> float:
    """Parts of an expert's inner vector that its first matrix makes: 2 where up and gate are one matrix [1]."""
    widths = [linear for linear in layer.linears if linear.routed]
    out = next((linear for linear in widths if linear.role == "expert_out"), widths[-1])
    return widths[0].outputs / out.inputs
