"""Time of a training step: what one device of the slowest stage does, and what it waits for.

All functions take a plan whose layout holds numbers, or arrays that broadcast against each other.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from llmplan.formulas.collectives import (
    all_reduce_seconds,
    bus_bandwidth,
    dispatch_seconds,
    gather_seconds,
    members_in_domain,
    ring_latency,
    send_seconds,
)
from llmplan.formulas.numeric import ceil, maximum, minimum, where
from llmplan.formulas.pipeline import bubble_seconds, stage_layers
from llmplan.formulas.states import expert_parts
from llmplan.formulas.step import (
    elementwise_bytes,
    exposed_seconds,
    host_bound_seconds,
    optimizer_seconds,
    straggler_factor,
)
from llmplan.plan.model import Layer, Linear
from llmplan.plan.plan import Plan
from llmplan.planner import rates as reach
from llmplan.planner.kernels import Parts, Rates, choose, elementwise_seconds, layer_seconds, linear_seconds
from llmplan.planner.memory import OPTIMIZER_BYTES, end_parameters, layer_parameters, state_bytes

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

LOW_PRECISIONS = ("fp8", "mxfp8", "nvfp4", "int8")
# Cross entropy in fp32: logits read for the maximum and the sum, written as probabilities, read and written as gradient.
_LOSS_PASSES, _LOSS_BYTES = 6.0, 4.0
_ROUTING_OPERATIONS = 12.0
_ATTENTION_RAMP = 2e9  # FLOPs: half of a wave of 128 x 128 blocks over some hundred units at 128 wide heads


@dataclass(frozen=True, slots=True)
class StackNumbers:
    """A stack's fitted numbers for training, neutral where it has none. Meanings stand in its catalogue entry."""

    matmul_efficiency: float = 1.0
    low_precision_efficiency: float = 1.0
    attention_efficiency: float = 1.0
    elementwise_passes: float = 1.0
    operation_host_seconds: float = 0.0
    exposed_model_parallel: float = 1.0
    exposed_data_parallel: float = 0.3
    straggler_loss: float = 0.0
    scale_out_efficiency: float = 1.0
    step_seconds: float = 0.0

    @classmethod
    def of(cls, plan: Plan) -> StackNumbers:
        """The numbers of the plan's stack."""
        return cls(**{f.name: plan.stack.fitted.get(f.name, f.default) for f in fields(cls)})


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of one optimizer step by part; every field a number or an array [s]. They sum to `step_seconds`."""

    matmul_seconds: Num
    attention_seconds: Num
    elementwise_seconds: Num
    recompute_seconds: Num
    host_seconds: Num
    tensor_parallel_seconds: Num
    context_parallel_seconds: Num
    expert_parallel_seconds: Num
    pipeline_transfer_seconds: Num
    pipeline_bubble_seconds: Num
    data_parallel_seconds: Num
    optimizer_seconds: Num
    straggler_seconds: Num

    @property
    def step_seconds(self) -> Num:
        """Wall time of the step."""
        total: Num = 0.0
        for field in fields(self):
            total = total + getattr(self, field.name)
        return total

    def parts(self) -> dict[str, Num]:
        """Every part by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class _Stage:
    """Seconds of one micro-batch through one stage."""

    work: Parts
    recompute: Num
    host: Num
    tensor: Num
    context: Num
    expert: Num

    @property
    def total(self) -> Num:
        return self.work.total + self.recompute + self.host + self.tensor + self.context + self.expert


def training_rates(plan: Plan, numbers: StackNumbers) -> Rates:
    """Kernel rates for the plan's device, precision and stack."""
    kept = plan.device.efficiency.sustained_fraction
    share = numbers.matmul_efficiency * kept
    kernel = plan.stack.training.attention_kernel if plan.stack.training else "best"
    low = plan.workload.precision in LOW_PRECISIONS
    wide_precision = "bf16" if low else plan.workload.precision
    narrow = share * (numbers.low_precision_efficiency if low else 1.0)
    return Rates(
        low=reach.matmul_rate(plan.device, plan.workload.precision, narrow),
        wide=reach.matmul_rate(plan.device, wide_precision, share),
        attention=reach.attention_rate(plan.device, numbers.attention_efficiency * kept, kernel),
        bandwidth=reach.stream_bandwidth(plan.device),
        units_ramp=_ATTENTION_RAMP,
    )


def training_time(plan: Plan, numbers: StackNumbers | None = None) -> StepTime:
    """Step time by part, for every layout of the plan; numbers: the stack's unless given."""
    numbers = numbers or StackNumbers.of(plan)
    layout = plan.layout
    rates, links = training_rates(plan, numbers), reach.links(plan.device, plan.cluster, numbers.scale_out_efficiency)
    micro_batches = plan.workload.global_batch / (layout.dp * layout.micro_batch)
    layers = _layers(plan, rates, links, numbers)
    ends, head_tensor = _ends(plan, rates, links, numbers)
    # The last stage has the head; stages are cut so that it has one layer less where that evens them out.
    share = stage_layers(float(plan.model.layer_count), layout.pp, layout.vp) / plan.model.layer_count
    even = where(layout.pp > 1, float(plan.model.layer_count) / layout.pp / plan.model.layer_count, share)
    inner, outer = _scale(layers, share), _with_ends(_scale(layers, even), ends, head_tensor)
    alone = layout.pp == 1
    last = outer.total > inner.total
    stage = _choose(alone | last if not isinstance(alone, bool) else (alone or bool(last)), outer, inner)
    transfer = _pipeline_transfer(plan, links)
    data_parallel = _data_parallel(plan, links, numbers, stage, micro_batches)
    bubble = bubble_seconds(stage.total + transfer, layout.pp, layout.vp)
    parts = {
        "matmul_seconds": stage.work.matmul * micro_batches,
        "attention_seconds": stage.work.attention * micro_batches,
        "elementwise_seconds": stage.work.elementwise * micro_batches,
        "recompute_seconds": stage.recompute * micro_batches,
        "host_seconds": stage.host * micro_batches + numbers.step_seconds,
        "tensor_parallel_seconds": stage.tensor * micro_batches,
        "context_parallel_seconds": stage.context * micro_batches,
        "expert_parallel_seconds": stage.expert * micro_batches,
        "pipeline_transfer_seconds": transfer * micro_batches,
        "pipeline_bubble_seconds": bubble,
        "data_parallel_seconds": data_parallel,
        "optimizer_seconds": _optimizer(plan, rates),
    }
    busy: Num = 0.0
    for seconds in parts.values():
        busy = busy + seconds
    nodes = ceil(layout.tp * layout.pp * layout.cp * layout.dp / links.devices_per_node)
    slower = straggler_factor(nodes, numbers.straggler_loss) - 1.0
    return StepTime(**parts, straggler_seconds=busy * slower)


def _scale(stage: _Stage, factor: Num) -> _Stage:
    return _Stage(stage.work * factor, *(getattr(stage, f.name) * factor for f in fields(_Stage)[1:]))


def _with_ends(stage: _Stage, ends: Parts, tensor: Num) -> _Stage:
    return _Stage(stage.work + ends, stage.recompute, stage.host, stage.tensor + tensor, stage.context, stage.expert)


def _choose(condition: Any, a: _Stage, b: _Stage) -> _Stage:
    rest = (where(condition, getattr(a, f.name), getattr(b, f.name)) for f in fields(_Stage)[1:])
    return _Stage(choose(condition, a.work, b.work), *rest)


def _micro_tokens(plan: Plan) -> Num:
    return plan.layout.micro_batch * float(plan.workload.seq_len) / plan.layout.cp


def _layers(plan: Plan, rates: Rates, links: reach.Links, numbers: StackNumbers) -> _Stage:
    """All layers of the model, forward and backward, for one micro-batch; a stage does its share of them."""
    layout, workload, defaults = plan.layout, plan.workload, plan.stack.training
    assert defaults is not None
    tokens, low = _micro_tokens(plan), workload.precision in LOW_PRECISIONS
    is_full, is_selective = layout.recompute == "full", layout.recompute == "selective"
    total = _Stage(Parts(), 0.0, 0.0, 0.0, 0.0, 0.0)
    for layer in plan.model.layers:
        forward, backward = layer_seconds(
            layer, tokens, float(workload.seq_len), layout, rates, flash=workload.flash_attention,
            passes=numbers.elementwise_passes, trained=workload.workload != "lora", low=low,
        )  # fmt: skip
        half = (forward.matmul + forward.elementwise) * defaults.selective_share
        selective = half + (0.0 if workload.flash_attention else forward.attention)
        again = where(is_full, forward.total, where(is_selective, selective, 0.0))
        tensor = _tensor_parallel(plan, layer, links, numbers, tokens)
        context = _context_parallel(plan, layer, links, forward.attention + backward.attention, tokens)
        expert = _expert_parallel(plan, layer, links, numbers, tokens)
        busy = forward.total + backward.total + again + tensor + context + expert
        host = host_bound_seconds(busy, numbers.operation_host_seconds * layer_operations(layer)) - busy
        for_group = _Stage(forward + backward, again, host, tensor, context, expert)
        total = _add(total, _scale(for_group, float(layer.count)))
    return total


def layer_operations(layer: Layer) -> float:
    """Operations that the host launches for one layer [1]: matrices, mixing, norms, residuals, routing.

    Routing tokens to experts and back takes about a dozen small kernels (top-k, sort, permute, counts,
    exchange, weigh, and their inverses).
    """
    routing = _ROUTING_OPERATIONS if any(linear.routed for linear in layer.linears) else 0.0
    return len(layer.linears) + 2.0 * len(layer.cores) + layer.norms + layer.residuals + routing


def _add(a: _Stage, b: _Stage) -> _Stage:
    return _Stage(a.work + b.work, *(getattr(a, f.name) + getattr(b, f.name) for f in fields(_Stage)[1:]))


def _ends(plan: Plan, rates: Rates, links: reach.Links, numbers: StackNumbers) -> tuple[Parts, Num]:
    """Embedding look-up, head and loss of one micro-batch: device time, and tensor-parallel time [s]."""
    model, layout = plan.model, plan.layout
    tokens = _micro_tokens(plan)
    lookup = elementwise_bytes(tokens, float(model.hidden), 4.0) / rates.bandwidth
    if not model.head:
        return Parts(elementwise=lookup), 0.0
    head = Linear("head", model.hidden, model.vocab, "column")
    products: Num = 0.0
    for direction in ("forward", "dgrad") if plan.workload.workload == "lora" else ("forward", "dgrad", "wgrad"):
        products = products + linear_seconds(head, tokens, layout, rates.wide, direction)
    loss = elementwise_bytes(tokens, model.vocab / layout.tp, _LOSS_PASSES, _LOSS_BYTES) / rates.bandwidth
    reduce = _reduce(layout.tp, 1.0, links, 2.0 * tokens * model.hidden) * 2.0 * numbers.exposed_model_parallel
    return Parts(matmul=products, elementwise=lookup + loss), reduce


def _group(group: Num, inner: Num, links: reach.Links) -> tuple[Num, Num, Num]:
    """Members in the domain, bus bandwidth and latency of a group with `inner` ranks between neighbours."""
    members = members_in_domain(group, inner, links.domain)
    bandwidth = bus_bandwidth(group, members, links.scale_up, links.scale_out)
    return members, bandwidth, ring_latency(group, members, links.scale_up_latency, links.scale_out_latency)


def _reduce(group: Num, inner: Num, links: reach.Links, size: Num) -> Num:
    _, bandwidth, latency = _group(group * 1.0, inner, links)
    return all_reduce_seconds(size, group * 1.0, bandwidth, latency)


def _tensor_parallel(plan: Plan, layer: Layer, links: reach.Links, numbers: StackNumbers, tokens: Num) -> Num:
    """All-reduces (or reduce-scatter with all-gather: the same bytes) of one layer, forward and backward [s].

    One for each row-split matrix outside the experts, and again where the forward pass is recomputed.
    Shared experts join the reduction of the routed ones.
    """
    layout = plan.layout
    rows = sum(1 for x in layer.linears if x.split == "row" and not x.routed and not x.name.startswith("shared"))
    if any(x.routed for x in layer.linears):
        rows += 1
    times = rows * (2.0 + where(layout.recompute == "full", 1.0, 0.0))
    return numbers.exposed_model_parallel * times * _reduce(layout.tp, 1.0, links, 2.0 * tokens * layer.hidden)


def _context_parallel(plan: Plan, layer: Layer, links: reach.Links, attention: Num, tokens: Num) -> Num:
    """Ring of keys and values (forward) and their gradients (backward) beside attention [s]."""
    layout = plan.layout
    total: Num = 0.0
    for core in layer.cores:
        size = 2.0 * core.kv_heads * (core.qk_dim + core.v_dim) * tokens * layout.cp / minimum(layout.tp, core.kv_heads)
        _, bandwidth, latency = _group(layout.cp * 1.0, layout.tp * 1.0, links)
        ring = 3.0 * gather_seconds(size, layout.cp * 1.0, bandwidth, latency)
        total = total + where(layout.cp > 1, exposed_seconds(ring, attention, 0.1), 0.0)
    return total


def _expert_parallel(plan: Plan, layer: Layer, links: reach.Links, numbers: StackNumbers, tokens: Num) -> Num:
    """Dispatch and combine of routed tokens, forward and backward [s]."""
    bank = next((x for x in layer.linears if x.routed), None)
    if bank is None:
        return 0.0
    layout = plan.layout
    size = 2.0 * tokens / minimum(layout.tp, layout.ep) * bank.inputs
    members, _, latency = _group(layout.ep * 1.0, 1.0, links)
    once = dispatch_seconds(size, float(bank.active), layout.ep * 1.0, members, links.scale_up, links.scale_out, latency)
    times = 4.0 + where(layout.recompute == "full", 2.0, 0.0)
    return where(layout.ep > 1, numbers.exposed_model_parallel * times * once, 0.0)


def _pipeline_transfer(plan: Plan, links: reach.Links) -> Num:
    """Activations and their gradients between stages, for one micro-batch [s]; vp times as often when interleaved.

    Half of it is counted: sends run beside the next chunk's work except while the pipeline fills and drains.
    """
    layout = plan.layout
    copies = 1.0 + 1.0 * layout.sequence_parallel * (layout.tp - 1.0)
    size = 2.0 * _micro_tokens(plan) * plan.model.hidden / copies
    near = layout.tp * layout.cp * layout.dp * 2.0 <= links.domain
    bandwidth = where(near, links.scale_up, links.scale_out)
    latency = where(near, links.scale_up_latency, links.scale_out_latency)
    return where(layout.pp > 1, layout.vp * send_seconds(size, bandwidth, latency), 0.0)


def _data_parallel(plan: Plan, links: reach.Links, numbers: StackNumbers, stage: _Stage, micro_batches: Num) -> Num:
    """Gradient reduction and parameter gathering that the backward and forward passes do not hide, a step [s]."""
    layout, defaults = plan.layout, plan.stack.training
    assert defaults is not None
    held, (first, last) = layer_parameters(plan), end_parameters(plan)
    gradient = minimum(state_bytes(plan)[1], defaults.reduce_bytes)
    ends = where(layout.pp == 1, first + last, maximum(first, last))
    frozen = plan.workload.workload == "lora"
    dp, inner = layout.dp * layout.cp * 1.0, layout.tp * 1.0
    spread = expert_parts(layout.tp, layout.ep)
    expert_dp = maximum(1.0, dp * layout.tp / spread)
    layers = stage_layers(float(plan.model.layer_count), layout.pp, layout.vp)

    def gather(size: Num, group: Num, between: Num, pieces: Num) -> Num:
        _, bandwidth, latency = _group(group, between, links)
        return where(group > 1, gather_seconds(size, group, bandwidth, latency * pieces), 0.0)

    dense, trained = held.dense + ends, held.dense_trained + (0.0 if frozen else ends)
    grads = gather(trained * gradient, dp, inner, layers) + gather(held.expert_trained * gradient, expert_dp, spread, layers)
    params = gather(dense * 2.0, dp, inner, layers) + gather(held.expert * 2.0, expert_dp, spread, layers)
    cover = stage.work.total + stage.recompute
    forward, backward = cover / 3.0, cover * 2.0 / 3.0
    hidden = numbers.exposed_data_parallel
    replicated = exposed_seconds(2.0 * grads, backward, hidden)
    sharded = exposed_seconds(grads, backward, hidden) + exposed_seconds(params, forward, hidden)
    fsdp = exposed_seconds(params, forward, hidden) + exposed_seconds(params + grads, backward, hidden)
    full = where(layout.zero >= 3, fsdp * micro_batches, where(layout.zero >= 1, sharded, replicated))
    return where(dp > 1, full, 0.0)


def _optimizer(plan: Plan, rates: Rates) -> Num:
    """The optimizer's pass over its shard [s]: reads gradient, master and states, writes them and the parameter."""
    layout = plan.layout
    held, (first, last) = layer_parameters(plan), end_parameters(plan)
    frozen = plan.workload.workload == "lora"
    dp = layout.dp * layout.cp * 1.0
    shards = where(layout.zero >= 1, dp, 1.0)
    expert_shards = where(layout.zero >= 1, maximum(1.0, dp * layout.tp / expert_parts(layout.tp, layout.ep)), 1.0)
    ends = 0.0 if frozen else where(layout.pp == 1, first + last, maximum(first, last))
    parameters = (held.dense_trained + ends) / shards + held.expert_trained / expert_shards
    weight, gradient, master = state_bytes(plan)
    moved = gradient + 2.0 * (OPTIMIZER_BYTES[plan.workload.optimizer] + master) + weight
    host = plan.device.host_link.bandwidth if plan.device.host_link else rates.bandwidth
    bandwidth = where(layout.offload_optimizer, host, rates.bandwidth)
    return optimizer_seconds(parameters, moved, bandwidth)
