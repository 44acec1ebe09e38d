"""What a training step exchanges beside its layers' passes: stages with their neighbours, replicas with each other.

All functions take a plan whose layout holds numbers, or arrays that broadcast against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import ceil, maximum, minimum, real, where
from llmplan.formulas.pipeline import stage_layers, waited_share
from llmplan.formulas.states import expert_parts
from llmplan.formulas.step import exposed_seconds
from llmplan.machine.links import Links, all_reduce, gather, send
from llmplan.machine.precision import WIDE_BYTES
from llmplan.training.flow import micro_tokens
from llmplan.training.plan import TrainingPlan
from llmplan.training.states import expert_shard_devices, layer_parameters, reduced_bytes, shard_devices
from llmplan.work.states import end_parameters

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

FORWARD_SHARE = 1.0 / 3.0
"""Share of a micro-batch's computation that is its forward pass: the backward pass computes two products for one."""

TRANSFERS = 2.0
"""Messages between two stages for a micro-batch: its activations on, their gradients back."""


def pipeline_transfer(plan: TrainingPlan, links: Links) -> Num:
    """Activations and their gradients between stages, for one micro-batch, alone [s]; vp times when interleaved.

    One message each way, and they wait for each other (1F1B: send forward, receive backward; then the reverse).
    Ignored: the all-gather inside a domain where a message was divided.
    """
    layout = plan.layout
    copies = layout.tp if plan.recipe.divided_transfers else 1.0 + 1.0 * layout.sequence_parallel * (layout.tp - 1.0)
    size = WIDE_BYTES * micro_tokens(plan) * plan.model.hidden / copies
    near = layout.tp * layout.cp * layout.dp * 2.0 <= links.domain
    return where(layout.pp > 1, TRANSFERS * layout.vp * send(links, size, near), 0.0)


def exposed_transfer(plan: TrainingPlan, transfer: Num, cover: Num, micro_batches: Num) -> Num:
    """What a stage waits for of it, for one micro-batch [s]: all, or what the stack cannot hide between virtual stages.

    transfer: alone; cover: work of one micro-batch [s].
    """
    if not plan.recipe.overlapped_transfers:
        return transfer
    pp, vp = plan.layout.pp * 1.0, plan.layout.vp * 1.0
    return where(vp > 1, exposed_seconds(transfer, cover, waited_share(pp, vp, micro_batches)), transfer)


def data_parallel(plan: TrainingPlan, links: Links, exposed: float, cover: Num, micro_batches: Num) -> Num:
    """Gradient reduction and parameter gathering that the backward and forward passes do not hide, a step [s].

    exposed: share that is never hidden [1]; cover: computation of one micro-batch that it runs beside [s].
    Sharded gradients (stage 2) have no place for the sum of several micro-batches: they are reduced after every run
    of them through one chunk of layers, which is one micro-batch, or pp of them where stages are interleaved.
    """
    layout = plan.layout
    held, (first, last) = layer_parameters(plan), end_parameters(plan.model, layout)
    gradient = reduced_bytes(plan)
    ends = where(layout.pp == 1, first + last, maximum(first, last))
    dp, inner = layout.dp * layout.cp * 1.0, layout.tp * 1.0
    spread = expert_parts(layout.tp, layout.ep) * 1.0
    expert_dp = maximum(1.0, dp * layout.tp / spread)
    shards, expert_shards, copies = shard_devices(plan), expert_shard_devices(plan), real(plan.workload.dp_replicate)
    layers = stage_layers(real(plan.model.layer_count), layout.pp, layout.vp)
    dense, trained = held.dense + ends, held.dense_trained + (0.0 if plan.lora else ends)

    def messages(parameters: Num) -> Num:
        """One for each layer, or fewer where several layers fill a bucket."""
        buckets = maximum(1.0, parameters / plan.recipe.bucket_parameters)
        return where(layout.zero >= 3, layers, minimum(layers, buckets))

    def over_shards(dense: Num, expert: Num, each: Num, of_ends: Num = 0.0) -> Num:
        """of_ends: bytes that the ends' parameters, which `dense` counts, have more than `each`."""
        apart = where(expert > 0, gather(links, expert * each, expert_shards, spread, messages(expert)), 0.0)
        return gather(links, dense * each + of_ends, shards, inner, messages(dense)) + apart

    def summed(parameters: Num, group: Num, inner: Num) -> Num:
        count = messages(parameters)
        once = all_reduce(links, parameters * gradient / count, group, inner)
        return where(parameters > 0, count * once, 0.0)

    # under hybrid sharding each shard of the gradients is summed with those of the other copies
    over_copies: Num = 0.0
    if plan.workload.dp_replicate > 1:
        over_copies = summed(trained / shards, copies, inner * shards)
        apart, inner_shards = expert_dp / expert_shards, spread * expert_shards
        over_copies = over_copies + summed(held.expert_trained / expert_shards, apart, inner_shards)
    grads = over_shards(trained, held.expert_trained, gradient) + over_copies
    sums = summed(trained, dp, inner) + summed(held.expert_trained, expert_dp, spread)
    narrow = plan.recipe.gather_bytes.get(plan.workload.precision, WIDE_BYTES)
    wider = ends * (WIDE_BYTES - narrow)
    params = over_shards(dense, held.expert, narrow, wider)
    # of a frozen base nothing comes back
    changed = over_shards(trained, held.expert_trained, narrow, 0.0 if plan.lora else wider)
    forward, backward = cover * FORWARD_SHARE, cover * (1.0 - FORWARD_SHARE)
    beside = 0.0 if plan.recipe.reduces_after_backward else 1.0
    replicated = exposed_seconds(sums, beside * backward, exposed)
    scattered = exposed_seconds(grads, beside * backward, exposed)
    updated = exposed_seconds(changed, beside * forward, exposed)
    runs = where((layout.pp > 1) & (layout.vp > 1), ceil(micro_batches / layout.pp), micro_batches)
    sharded = where(layout.zero >= 2, scattered * runs, scattered) + updated
    fsdp = exposed_seconds(params, forward, exposed) + exposed_seconds(params + grads, backward, exposed)
    full = where(layout.zero >= 3, fsdp * micro_batches, where(layout.zero >= 1, sharded, replicated))
    return where(dp > 1, full, 0.0)
