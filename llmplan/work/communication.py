"""What devices say to each other in a training step, by kind of parallelism.

All functions take a plan whose layout holds numbers, or arrays that broadcast against each other.
`exposed` is the share that computation never hides, a fitted number of the stack [1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.collectives import (
    all_reduce_seconds,
    bus_bandwidth,
    dispatch_seconds,
    gather_seconds,
    members_in_domain,
    ring_latency,
    send_seconds,
)
from llmplan.formulas.numeric import maximum, minimum, real, where
from llmplan.formulas.pipeline import stage_layers
from llmplan.formulas.states import expert_parts
from llmplan.formulas.step import exposed_seconds
from llmplan.machine.rates import Links
from llmplan.model.model import Layer
from llmplan.training.plan import TrainingPlan
from llmplan.work.states import end_parameters, layer_parameters, state_bytes
from llmplan.work.tokens import micro_tokens

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

_CONTEXT_EXPOSED = 0.1  # of the ring of keys and values: its first and last hop run beside no attention


def ring(group: Num, inner: Num, links: Links) -> tuple[Num, Num, Num]:
    """Members in the domain [1], bus bandwidth [bytes/s], latency [s]; inner: ranks between neighbours [1]."""
    members = members_in_domain(group, inner, links.domain)
    bandwidth = bus_bandwidth(group, members, links.scale_up, links.scale_out)
    return members, bandwidth, ring_latency(group, members, links.scale_up_latency, links.scale_out_latency)


def reduce(group: Num, inner: Num, links: Links, size: Num) -> Num:
    """All-reduce of `size` bytes [bytes] over a group [s]."""
    _, bandwidth, latency = ring(group * 1.0, inner, links)
    return all_reduce_seconds(size, group * 1.0, bandwidth, latency)


def tensor_parallel(plan: TrainingPlan, layer: Layer, links: Links, exposed: float, tokens: Num) -> Num:
    """All-reduces (or reduce-scatter with all-gather: the same bytes) of one layer, forward and backward [s].

    One for each row-split matrix outside the experts, and again where the forward pass is recomputed.
    Shared experts join the reduction of the routed ones.
    """
    layout = plan.layout
    rows = sum(1 for x in layer.linears if x.split == "row" and not x.routed and not x.shared)
    if any(x.routed for x in layer.linears):
        rows += 1
    times = rows * (2.0 + where(layout.recompute == "full", 1.0, 0.0))
    return exposed * times * reduce(layout.tp, 1.0, links, 2.0 * tokens * layer.hidden)


def context_parallel(plan: TrainingPlan, layer: Layer, links: Links, attention: Num, tokens: Num) -> Num:
    """Ring of keys and values (forward) and their gradients (backward) beside attention [s]."""
    layout = plan.layout
    total: Num = 0.0
    for core in layer.cores:
        size = 2.0 * core.kv_heads * (core.qk_dim + core.v_dim) * tokens * layout.cp / minimum(layout.tp, core.kv_heads)
        _, bandwidth, latency = ring(layout.cp * 1.0, layout.tp * 1.0, links)
        around = 3.0 * gather_seconds(size, layout.cp * 1.0, bandwidth, latency)
        total = total + where(layout.cp > 1, exposed_seconds(around, attention, _CONTEXT_EXPOSED), 0.0)
    return total


def expert_parallel(plan: TrainingPlan, layer: Layer, links: Links, exposed: float, tokens: Num) -> Num:
    """Dispatch and combine of routed tokens, forward and backward [s]."""
    bank = next((x for x in layer.linears if x.routed), None)
    if bank is None:
        return 0.0
    layout = plan.layout
    size = 2.0 * tokens / minimum(layout.tp, layout.ep) * bank.inputs
    members, _, latency = ring(layout.ep * 1.0, 1.0, links)
    once = dispatch_seconds(size, real(bank.active), layout.ep * 1.0, members, links.scale_up, links.scale_out, latency)
    times = 4.0 + where(layout.recompute == "full", 2.0, 0.0)
    return where(layout.ep > 1, exposed * times * once, 0.0)


def pipeline_transfer(plan: TrainingPlan, links: Links) -> Num:
    """Activations and their gradients between stages, for one micro-batch [s]; vp times as often when interleaved.

    Ignored: sends that run beside the next chunk's work (they are short beside the bubble that they lengthen).
    """
    layout = plan.layout
    copies = 1.0 + 1.0 * layout.sequence_parallel * (layout.tp - 1.0)
    size = 2.0 * micro_tokens(plan) * plan.model.hidden / copies
    near = layout.tp * layout.cp * layout.dp * 2.0 <= links.domain
    bandwidth = where(near, links.scale_up, links.scale_out)
    latency = where(near, links.scale_up_latency, links.scale_out_latency)
    return where(layout.pp > 1, layout.vp * send_seconds(size, bandwidth, latency), 0.0)


def data_parallel(plan: TrainingPlan, links: Links, exposed: float, cover: Num, micro_batches: Num) -> Num:
    """Gradient reduction and parameter gathering that the backward and forward passes do not hide, a step [s].

    cover: computation of one micro-batch that it runs beside, a third of it forward [s].
    """
    layout, defaults = plan.layout, plan.recipe
    held, (first, last) = layer_parameters(plan), end_parameters(plan)
    gradient = minimum(state_bytes(plan)[1], defaults.reduce_bytes)
    ends = where(layout.pp == 1, first + last, maximum(first, last))
    frozen = plan.lora
    dp, inner = layout.dp * layout.cp * 1.0, layout.tp * 1.0
    spread = expert_parts(layout.tp, layout.ep)
    expert_dp = maximum(1.0, dp * layout.tp / spread)
    layers = stage_layers(real(plan.model.layer_count), layout.pp, layout.vp)

    def gather(size: Num, group: Num, between: Num, pieces: Num) -> Num:
        _, bandwidth, latency = ring(group, between, links)
        return where(group > 1, gather_seconds(size, group, bandwidth, latency * pieces), 0.0)

    dense, trained = held.dense + ends, held.dense_trained + (0.0 if frozen else ends)
    grads = gather(trained * gradient, dp, inner, layers) + gather(
        held.expert_trained * gradient, expert_dp, spread, layers
    )
    params = gather(dense * 2.0, dp, inner, layers) + gather(held.expert * 2.0, expert_dp, spread, layers)
    forward, backward = cover / 3.0, cover * 2.0 / 3.0
    replicated = exposed_seconds(2.0 * grads, backward, exposed)
    scattered, updated = exposed_seconds(grads, backward, exposed), exposed_seconds(params, forward, exposed)
    # Sharded gradients (stage 2) are reduced after every micro-batch: their full sum has no place to grow in.
    sharded = where(layout.zero >= 2, scattered * micro_batches, scattered) + updated
    fsdp = updated + exposed_seconds(params + grads, backward, exposed)
    full = where(layout.zero >= 3, fsdp * micro_batches, where(layout.zero >= 1, sharded, replicated))
    return where(dp > 1, full, 0.0)
