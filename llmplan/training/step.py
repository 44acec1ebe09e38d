"""Time of a training step: what one device of the slowest stage does, and what it waits for.

All functions take a plan whose layout holds numbers, or arrays that broadcast against each other.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from llmplan.formulas.numeric import ceil, maximum, real, where
from llmplan.formulas.pipeline import bubble_seconds, stage_layers
from llmplan.formulas.states import expert_parts
from llmplan.formulas.step import elementwise_bytes, host_bound_seconds, optimizer_seconds, straggler_factor
from llmplan.machine import rates as reach
from llmplan.model.model import Layer, Linear
from llmplan.software.coefficients import Coefficients
from llmplan.training.plan import TrainingPlan
from llmplan.work.communication import (
    context_parallel,
    data_parallel,
    expert_parallel,
    pipeline_transfer,
    reduce,
    tensor_parallel,
)
from llmplan.work.kernels import Parts, Rates, choose, layer_seconds, linear_seconds
from llmplan.work.states import end_parameters, layer_parameters, optimizer_bytes, state_bytes
from llmplan.work.tokens import micro_tokens, sequence

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

LOW_PRECISIONS = ("fp8", "mxfp8", "nvfp4", "int8")
# Cross entropy in fp32: logits read for maximum and sum, written as probabilities, read and written as gradient.
_LOSS_PASSES, _LOSS_BYTES = 6.0, 4.0
_ROUTING_OPERATIONS = 12.0


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


def training_rates(plan: TrainingPlan, numbers: Coefficients) -> Rates:
    """Kernel rates for the plan's device, precision and stack."""
    kept = plan.device.efficiency.sustained_fraction
    share = numbers.matmul_efficiency * kept
    kernel = plan.recipe.attention_kernel if plan.recipe else "best"
    low = plan.workload.precision in LOW_PRECISIONS
    wide_precision = "bf16" if low else plan.workload.precision
    narrow = share * (numbers.low_precision_efficiency if low else 1.0)
    return Rates(
        low=reach.matmul_rate(plan.device, plan.workload.precision, narrow),
        wide=reach.matmul_rate(plan.device, wide_precision, share),
        attention=reach.attention_rate(plan.device, numbers.attention_efficiency * kept, kernel),
        bandwidth=reach.stream_bandwidth(plan.device),
        units_ramp=reach.ATTENTION_RAMP,
    )


def training_time(plan: TrainingPlan) -> StepTime:
    """Step time by part, for every layout of the plan."""
    numbers, layout = plan.coefficients, plan.layout
    rates, links = training_rates(plan, numbers), reach.links(plan.device, plan.cluster, numbers.scale_out_efficiency)
    micro_batches = plan.workload.global_batch / (layout.dp * layout.micro_batch)
    layers = _layers(plan, rates, links, numbers)
    ends, head_tensor = _ends(plan, rates, links, numbers)
    # The last stage has the head; stages are cut so that it has one layer less where that evens them out.
    share = stage_layers(real(plan.model.layer_count), layout.pp, layout.vp) / plan.model.layer_count
    even = where(layout.pp > 1, real(plan.model.layer_count) / layout.pp / plan.model.layer_count, share)
    inner, outer = _scale(layers, share), _with_ends(_scale(layers, even), ends, head_tensor)
    alone = layout.pp == 1
    last = outer.total > inner.total
    stage = _choose(alone | last if not isinstance(alone, bool) else (alone or bool(last)), outer, inner)
    transfer = pipeline_transfer(plan, links)
    cover = stage.work.total + stage.recompute + stage.host  # links move data while the device waits for its host
    sharing = data_parallel(plan, links, numbers.exposed_data_parallel, cover, micro_batches)
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
        "data_parallel_seconds": sharing,
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


def _layers(plan: TrainingPlan, rates: Rates, links: reach.Links, numbers: Coefficients) -> _Stage:
    """All layers of the model, forward and backward, for one micro-batch; a stage does its share of them."""
    layout, workload, defaults = plan.layout, plan.workload, plan.recipe
    low = workload.precision in LOW_PRECISIONS
    is_full, is_selective = layout.recompute == "full", layout.recompute == "selective"
    total = _Stage(Parts(), 0.0, 0.0, 0.0, 0.0, 0.0)
    for layer in plan.model.layers:
        tokens = micro_tokens(plan, layer)
        forward, backward = layer_seconds(
            layer, tokens, sequence(plan, layer), real(workload.seq_len), layout, rates,
            flash=workload.flash_attention, passes=numbers.elementwise_passes, low=low,
            trained=workload.workload != "lora",
        )  # fmt: skip
        half = (forward.matmul + forward.elementwise) * defaults.selective_share
        selective = half + (0.0 if workload.flash_attention else forward.attention)
        again = where(is_full, forward.total, where(is_selective, selective, 0.0))
        tensor = tensor_parallel(plan, layer, links, numbers.exposed_tensor_parallel, tokens)
        context = context_parallel(plan, layer, links, forward.attention + backward.attention, tokens)
        expert = expert_parallel(plan, layer, links, numbers.exposed_expert_parallel, tokens)
        busy = forward.total + backward.total + again + tensor + context + expert
        host = host_bound_seconds(busy, numbers.operation_host_seconds * layer_operations(layer)) - busy
        for_group = _Stage(forward + backward, again, host, tensor, context, expert)
        total = _add(total, _scale(for_group, real(layer.count)))
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


def _ends(plan: TrainingPlan, rates: Rates, links: reach.Links, numbers: Coefficients) -> tuple[Parts, Num]:
    """Embedding look-up, head and loss of one micro-batch: device time, and tensor-parallel time [s]."""
    model, layout = plan.model, plan.layout
    tokens = micro_tokens(plan)
    lookup = elementwise_bytes(tokens, real(model.hidden), 4.0) / rates.bandwidth
    if not model.head:
        return Parts(elementwise=lookup), 0.0
    head = Linear("head", "head", model.hidden, model.vocab, "column")
    products: Num = 0.0
    for direction in ("forward", "dgrad") if plan.lora else ("forward", "dgrad", "wgrad"):
        products = products + linear_seconds(head, tokens, layout, rates.wide, direction)
    loss = elementwise_bytes(tokens, model.vocab / layout.tp, _LOSS_PASSES, _LOSS_BYTES) / rates.bandwidth
    sums = 2.0 * numbers.exposed_tensor_parallel * reduce(layout.tp, 1.0, links, 2.0 * tokens * model.hidden)
    return Parts(matmul=products, elementwise=lookup + loss), sums


def _optimizer(plan: TrainingPlan, rates: Rates) -> Num:
    """The optimizer's pass over its shard [s]: reads gradient, master and states, writes them and the parameter."""
    layout = plan.layout
    held, (first, last) = layer_parameters(plan), end_parameters(plan)
    frozen = plan.lora
    dp = layout.dp * layout.cp * 1.0
    shards = where(layout.zero >= 1, dp, 1.0)
    expert_shards = where(layout.zero >= 1, maximum(1.0, dp * layout.tp / expert_parts(layout.tp, layout.ep)), 1.0)
    ends = 0.0 if frozen else where(layout.pp == 1, first + last, maximum(first, last))
    parameters = (held.dense_trained + ends) / shards + held.expert_trained / expert_shards
    weight, gradient, master = state_bytes(plan)
    moved = gradient + 2.0 * (optimizer_bytes(plan) + master) + weight
    host = plan.device.host_link.bandwidth if plan.device.host_link else rates.bandwidth
    bandwidth = where(layout.offload_optimizer, host, rates.bandwidth)
    return optimizer_seconds(parameters, moved, bandwidth)
