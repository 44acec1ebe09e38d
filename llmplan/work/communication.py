"""What devices say to each other for one layer, by kind of parallelism; forward passes, nothing of it hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.formulas.numeric import minimum, real, where
from llmplan.formulas.states import split_parts
from llmplan.machine.links import Links, all_reduce, exchange, gather
from llmplan.machine.precision import WIDE_BYTES
from llmplan.model.layer import Core, Layer
from llmplan.work.flow import Flow
from llmplan.work.products import first_bank

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

OUT = ("attention_out", "recurrent_out", "mlp_out")
"""Roles of matrices whose partial sums tensor-parallel devices add up, routed experts aside."""


def tensor_parallel_seconds(layer: Layer, flow: Flow, layout: Any, links: Links) -> Num:
    """All-reduces (or reduce-scatter with all-gather: the same bytes) of one layer, forward [s]."""
    size = WIDE_BYTES * flow.rows * layer.hidden
    return reductions(layer, layout) * all_reduce(links, size, layout.tp * 1.0)


def reductions(layer: Layer, layout: Any) -> Num:
    """All-reduces over the tensor-parallel group of one layer, forward [1].

    One for each matrix that is cut by rows; one for all where sublayers run in parallel (one residual addition).
    Experts add one: shared ones join the reduction of the routed. Under sequence parallelism tokens come to whole ones
    (ep >= tp) by the exchange, and only shared experts are reduced.
    """
    dense = sum(1 for linear in layer.linears if linear.role in OUT and linear.split == "row")
    bank = first_bank(layer)
    if bank is None:
        return real(min(dense, max(layer.residuals, 1)))
    shared = 1.0 if any(linear.role == "shared_out" for linear in layer.linears) else 0.0
    whole: Num = 1.0 * layout.sequence_parallel * where(layout.ep >= layout.tp, 1.0, 0.0)
    return real(dense) + 1.0 - whole * (1.0 - shared)


def expert_parallel_seconds(layer: Layer, flow: Flow, layout: Any, links: Links, dispatch_bytes: float) -> Num:
    """Tokens to their experts and back, forward [s]; dispatch_bytes: of an element on the way there [bytes].

    Tensor-parallel devices that hold the same tokens need no exchange among each other; under sequence parallelism each
    holds its own.
    """
    bank = first_bank(layer)
    if bank is None:
        return 0.0
    shared = minimum(layout.tp, layout.ep) * 1.0
    apart = where(layout.sequence_parallel * 1.0 > 0, 1.0, shared)
    group, tokens = layout.ep / apart, flow.rows / shared
    there = exchange(links, dispatch_bytes * tokens * bank.inputs, real(bank.active), group, apart)
    back = exchange(links, WIDE_BYTES * tokens * bank.inputs, real(bank.active), group, apart)
    return there + back


def gathered_keys_seconds(core: Core, tokens: Num, layout: Any, links: Links, cp: Num) -> Num:
    """What is cached of so many tokens of prompts, in 16 bits, gathered by the devices that share them [s].

    tokens: of all of them [1]; cp: devices, with tp ranks between neighbours [1].
    """
    parts = split_parts(layout.tp * 1.0, real(core.cache_heads))
    size = WIDE_BYTES * core.cache_elements * core.cache_ratio * tokens / parts
    return gather(links, size, cp, layout.tp * 1.0)


def spread_cache_seconds(core: Core, flow: Flow, layout: Any, links: Links) -> Num:
    """Queries to all devices that a sequence's cache is spread over, and what each attends to put together [s].

    An all-gather of the queries and a reduce-scatter of the outputs, in 16 bits, of the heads that those devices have
    together; of latent attention both are as wide as what is cached. Ignored: the softmax's sums.
    """
    width = 2 * core.cache_elements if core.latent else core.qk_dim + core.v_dim
    size = WIDE_BYTES * flow.decoding * flow.each * core.heads * flow.spread / layout.tp * width
    return gather(links, size, flow.spread, 1.0)


def ring_of_keys_seconds(core: Core, flow: Flow, layout: Any, links: Links) -> Num:
    """Keys and values of a sequence once around the devices that share it, forward [s]."""
    heads = minimum(layout.tp, core.kv_heads)
    size = WIDE_BYTES * core.kv_heads * (core.qk_dim + core.v_dim) * flow.tokens * layout.cp / heads
    return gather(links, size, layout.cp * 1.0, layout.tp * 1.0)
