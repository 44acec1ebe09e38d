"""Time of a training step: what one device of the slowest stage does, and what it waits for.

All functions take a plan whose layout holds numbers, or arrays that broadcast against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.formulas.numeric import ceil, maximum, minimum, real, where
from llmplan.formulas.pipeline import bubble_seconds, stage_layers
from llmplan.formulas.step import (
    elementwise_bytes,
    exposed_beside_pieces,
    exposed_seconds,
    host_bound_seconds,
    optimizer_seconds,
    straggler_factor,
)
from llmplan.machine.links import Links, all_reduce, links_of, with_algorithms
from llmplan.machine.precision import WIDE_BYTES
from llmplan.model.layer import Layer
from llmplan.records import dataclass, fields_of, names
from llmplan.software.coefficients import Coefficients, on_host
from llmplan.training.activations import kept_activations
from llmplan.training.adapters import adapter_operations, adapters_forward, magnitude_seconds, unpacking_seconds
from llmplan.training.communication import FORWARD_SHARE, data_parallel, exposed_transfer, pipeline_transfer
from llmplan.training.flow import layer_flow, micro_tokens
from llmplan.training.memory import training_memory
from llmplan.training.methods import passes_without_gradients, trained_models
from llmplan.training.plan import TrainingPlan
from llmplan.training.recompute import recomputed_share
from llmplan.training.states import (
    PAGED,
    expert_shard_devices,
    layer_parameters,
    optimizer_bytes,
    shard_devices,
    state_bytes,
)
from llmplan.work.communication import expert_parallel_seconds, ring_of_keys_seconds, tensor_parallel_seconds
from llmplan.work.elementwise import operations
from llmplan.work.kernels import Kernels, Precisions, Software, kernels_of
from llmplan.work.layer import NOTHING, Parts, backward, choose, forward
from llmplan.work.products import plain_product
from llmplan.work.states import end_parameters

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

LOSS_PASSES, LOSS_BYTES = 6.0, 4.0
"""Cross entropy in fp32: logits read for maximum and sum, written as probabilities, read and written as gradient."""
LOOKUP_PASSES = 4.0
"""Embedding look-up: a row read and written forward, its gradient read and added backward."""
HOST_PASSES = 3.0
"""Launches of forward and backward passes over those of the forward: two products for one, and what goes with them."""
WAITED = 9.6e-6 - 3.8e-6
"""What a launch takes longer where the host waits for its kernel: short ones take 9.6 us each where it synchronizes
behind every one, 3.8 where it does not (NVIDIA, Getting Started with CUDA Graphs, 2019) [s]."""
KERNELS = 2.0
"""Kernels of an operation: a layer of Megatron-LM without flash attention launches about 20 for the 10 that are
counted, biases, transpositions and dropout among them [1]."""
BACKWARD_PASSES = 1.0
"""Collectives of a layer's backward pass over those of its forward pass."""
PIECES = 4.0
"""Pieces that a product is cut into beside tensor-parallel communication: one for each device of the group, but no
fewer than Transformer Engine's user buffers make of a reduce-scatter (`num_splits`, 4) [1]."""
REACHED = 0.78
"""Share of what pieces can hide that is hidden: NeMo, whose recipes overlap (its user guide, "Communication Overlap"),
leaves 0.42 exposed with 4 pieces (`fitted` of its entry) [1]."""
RING_PASSES = 3.0
"""Times that keys and values go around: forward, again backward, and their gradients."""


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
    scoring_seconds: Num = 0.0
    offload_seconds: Num = 0.0

    @property
    def step_seconds(self) -> Num:
        """Wall time of the step."""
        total: Num = 0.0
        for seconds in self.parts().values():
            total = total + seconds
        return total

    def parts(self) -> dict[str, Num]:
        """Every part by name."""
        return fields_of(self)


@dataclass(frozen=True, slots=True)
class _Stage:
    """Seconds of one micro-batch through one stage."""

    work: Parts = NOTHING
    recompute: Num = 0.0
    host: Num = 0.0
    tensor: Num = 0.0
    context: Num = 0.0
    expert: Num = 0.0
    scoring: Num = 0.0

    @property
    def total(self) -> Num:
        return self.work.total + self.recompute + self.host + self.tensor + self.context + self.expert + self.scoring

    def __add__(self, other: _Stage) -> _Stage:
        return _Stage(*(getattr(self, name) + getattr(other, name) for name in names(_Stage)))

    def __mul__(self, factor: Num) -> _Stage:
        return _Stage(*(getattr(self, name) * factor for name in names(_Stage)))


def _choose(condition: Any, a: _Stage, b: _Stage) -> _Stage:
    rest = [name for name in names(_Stage) if name != "work"]
    chosen = {name: where(condition, getattr(a, name), getattr(b, name)) for name in rest}
    return _Stage(choose(condition, a.work, b.work), **chosen)


def training_kernels(plan: TrainingPlan, numbers: Coefficients) -> Kernels:
    """The kernels of the plan's device, precision and stack."""
    recipe, precision = plan.recipe, plan.workload.precision
    stored = precision if precision in ("fp32", "tf32") else "bf16"
    narrow = precision if precision not in ("fp16", "fp32", "tf32") else stored
    stored = "fp32" if stored == "tf32" else stored
    weights = narrow if narrow in ("fp8", "mxfp8", "nvfp4", "int8") else stored
    kinds = Precisions(weights, weights, precision, stored, block_scaled=recipe.block_scaled)
    software = Software(
        attention=recipe.attention_kernel, flash=plan.workload.flash_attention, fused_experts=recipe.fused_experts,
        permute_fusion=recipe.permute_fusion, routing_spread=recipe.routing_spread,
    )  # fmt: skip
    return kernels_of(plan.device, kinds, software, numbers)


def training_links(plan: TrainingPlan, numbers: Coefficients) -> Links:
    """The links of the plan's device in its cluster, with the stack's algorithms."""
    links = links_of(plan.device, plan.cluster, numbers.scale_out_efficiency)
    return with_algorithms(links, plan.recipe.all_reduce, plan.recipe.dispatch)


def machine_of(plan: TrainingPlan, numbers: Coefficients) -> tuple[Kernels, Links]:
    """What device, cluster and stack make of the plan's precision."""
    if plan.machine is not None and numbers is plan.coefficients:
        at_hand: tuple[Kernels, Links] = plan.machine
        return at_hand
    return training_kernels(plan, numbers), training_links(plan, numbers)


def training_time(plan: TrainingPlan, numbers: Coefficients | None = None) -> StepTime:
    """Step time by part, for every layout of the plan; numbers: the plan's unless given."""
    kernels, links = plan.on_machine(lambda one: machine_of(one, numbers or one.coefficients))
    numbers = on_host(numbers or plan.coefficients, plan.cluster.host_time_ratio)
    layout = plan.layout
    micro_batches = plan.workload.global_batch / (layout.dp * layout.micro_batch)
    trained = trained_models(plan)
    layers, ends = _layers(plan, kernels, links, numbers) * trained, _ends(plan, kernels, links, numbers)
    # The last stage has the head; stages are cut so that it has one layer less where that evens them out.
    share = stage_layers(real(plan.model.layer_count), layout.pp, layout.vp) / plan.model.layer_count
    even = where(layout.pp > 1, real(plan.model.layer_count) / layout.pp / plan.model.layer_count, share)
    inner, outer = layers * share, layers * even + ends
    alone = layout.pp == 1
    last = outer.total > inner.total
    # Filling and draining pass every other stage once: where the last one is the slowest, those without the head.
    others = where(last, inner.total, ((layout.pp - 2.0) * inner.total + outer.total) / maximum(layout.pp - 1.0, 1.0))
    many = getattr(last, "ndim", 0)  # of layouts, or of coefficients
    stage = _choose(alone | last if many else (alone or bool(last)), outer, inner)
    transfer = pipeline_transfer(plan, links)
    cover = stage.total - stage.scoring  # gradients move while the device waits for its host, or for other data
    moving = _moving(plan, kernels, cover)
    sharing = data_parallel(plan, links, numbers.exposed_data_parallel, cover + moving, micro_batches)
    bubble = bubble_seconds(others + transfer, layout.pp, layout.vp)
    parts = {
        "matmul_seconds": stage.work.matmul * micro_batches,
        "attention_seconds": stage.work.attention * micro_batches,
        "elementwise_seconds": stage.work.elementwise * micro_batches,
        "recompute_seconds": stage.recompute * micro_batches,
        "host_seconds": (stage.host + numbers.micro_batch_seconds) * micro_batches + numbers.step_seconds,
        "tensor_parallel_seconds": stage.tensor * micro_batches,
        "context_parallel_seconds": stage.context * micro_batches,
        "expert_parallel_seconds": stage.expert * micro_batches,
        "pipeline_transfer_seconds": exposed_transfer(plan, transfer, stage.total, micro_batches) * micro_batches,
        "pipeline_bubble_seconds": bubble,
        "data_parallel_seconds": sharing * trained,
        "optimizer_seconds": _optimizer(plan, kernels) * trained,
        "scoring_seconds": stage.scoring * micro_batches,
        "offload_seconds": moving * micro_batches * trained,
    }
    busy: Num = 0.0
    for seconds in parts.values():
        busy = busy + seconds
    nodes = ceil(layout.devices / links.devices_per_node)
    slower = straggler_factor(nodes, numbers.straggler_loss) - 1.0
    return StepTime(**parts, straggler_seconds=busy * slower)


def _exposed_tensor(plan: TrainingPlan, numbers: Coefficients, sums: Num, cover: Num, products: Num) -> Num:
    """Tensor-parallel communication that is not hidden [s]: the stack's share, all where nothing overlaps, no more than
    is left beside products in pieces where those are asked for.

    sums: alone; cover: work beside it; products: those of that work that are cut [s].
    """
    given = plan.workload.tp_comm_overlap
    usual = exposed_seconds(sums, cover, numbers.exposed_tensor_parallel)
    if given is None:
        return usual
    pieces = maximum(plan.layout.tp * 1.0, PIECES)
    return minimum(usual, exposed_beside_pieces(sums, products, pieces, REACHED)) if given else sums


def _layers(plan: TrainingPlan, kernels: Kernels, links: Links, numbers: Coefficients) -> _Stage:
    """All layers of the model, forward and backward, for one micro-batch; a stage does its share of them."""
    total = _Stage()
    for layer in plan.model.layers:
        total = total + _layer(plan, layer, kernels, links, numbers) * real(layer.count)
    return total


def _layer(plan: TrainingPlan, layer: Layer, kernels: Kernels, links: Links, numbers: Coefficients) -> _Stage:
    """One layer, forward and backward, for one micro-batch; of a stage that runs some of its layers again, the mean."""
    layout, flow, recipe = plan.layout, layer_flow(plan, layer), plan.recipe
    trained = not plan.lora
    beside = adapters_forward(plan, layer, flow, kernels)
    unpacked = Parts(elementwise=unpacking_seconds(plan, layer, kernels))
    ahead = forward(layer, flow, layout, kernels, trained=trained) + beside + unpacked
    ahead = ahead + magnitude_seconds(plan, layer, kernels)
    back = backward(layer, flow, layout, kernels, trained=trained) + beside * 2.0 + unpacked
    whole = recomputed_share(plan)
    half = (ahead.matmul + ahead.elementwise) * recipe.selective_share
    selective = half + (0.0 if plan.workload.flash_attention else ahead.attention)
    again = where(layout.recompute == "selective", selective, whole * ahead.total)
    passes = 1.0 + BACKWARD_PASSES + whole
    sums = passes * tensor_parallel_seconds(layer, flow, layout, links)
    exchanged = passes * expert_parallel_seconds(layer, flow, layout, links, recipe.dispatch_bytes)
    around: Num = 0.0
    for core in layer.cores:
        around = around + RING_PASSES * ring_of_keys_seconds(core, flow, layout, links)
    tensor, expert, context = _exposed(plan, numbers, ahead + back, (sums, exchanged, around))
    busy = ahead.total + back.total + again + tensor + context + expert
    launched = HOST_PASSES + whole
    launched = launched * (operations(layer, layout.cp * 1.0) + adapter_operations(plan, layer))
    launches = launched * numbers.operation_host_seconds
    # a pass without gradients is the forward one, of as many sequences
    share = passes_without_gradients(plan) / trained_models(plan)
    waits = _exposed(plan, numbers, ahead, (sums / passes, exchanged / passes, around / RING_PASSES))
    once = (ahead.total + waits[0] + waits[1] + waits[2]) * share
    host = host_bound_seconds(busy, launches) - busy
    if recipe.blocking_launches:
        host = launches + launched * KERNELS * WAITED
    return _Stage(ahead + back, again, host, tensor, context, expert, once)


def _exposed(
    plan: TrainingPlan, numbers: Coefficients, work: Parts, moved: tuple[Num, Num, Num]
) -> tuple[Num, Num, Num]:
    """What tensor-parallel sums, experts' tokens and attention's keys on their way add to the work beside them [s].

    What one of them moves goes on while the device waits for another: a second of work covers each of them, and so
    does a second of such a wait. moved: their times alone [s].
    """
    sums, exchanged, around = moved
    if plan.recipe.blocking_launches:  # the host waits for an exchange like for any kernel
        return moved
    tensor = _exposed_tensor(plan, numbers, sums, work.total, work.matmul)
    expert = exposed_seconds(exchanged, work.total + tensor, numbers.exposed_expert_parallel)
    context = exposed_seconds(around, work.attention + tensor + expert, numbers.exposed_context_parallel)
    return tensor, expert, context


def _ends(plan: TrainingPlan, kernels: Kernels, links: Links, numbers: Coefficients) -> _Stage:
    """Embedding look-up, head and loss of one micro-batch."""
    model, layout = plan.model, plan.layout
    tokens = micro_tokens(plan)
    lookup = elementwise_bytes(tokens, real(model.hidden), LOOKUP_PASSES) / kernels.stream
    if not model.head:
        return _Stage(Parts(elementwise=lookup))
    n, k = model.vocab / layout.tp, real(model.hidden)
    products = plain_product(n, k, tokens, kernels.wide, "forward")
    scoring = products * passes_without_gradients(plan)
    products = products + plain_product(n, k, tokens, kernels.wide, "input_gradient")
    if not plan.lora:
        products = products + plain_product(n, k, tokens, kernels.wide, "weight_gradient")
    loss = elementwise_bytes(tokens, model.vocab / layout.tp, LOSS_PASSES, LOSS_BYTES) / kernels.stream
    size = WIDE_BYTES * tokens * model.hidden
    sums = (1.0 + BACKWARD_PASSES) * all_reduce(links, size, layout.tp * 1.0)
    shown = _exposed_tensor(plan, numbers, sums, products, products)
    return _Stage(Parts(matmul=products, elementwise=lookup + loss), tensor=shown, scoring=scoring)


def _moving(plan: TrainingPlan, kernels: Kernels, cover: Num) -> Num:
    """What moving kept activations to the host and back adds to a micro-batch [s].

    Each way takes bytes / link beside the pass that makes or needs them, and what is longer than that pass shows.
    cover: computation of the micro-batch, both passes [s]. Ignored: devices that share a link or the host's memory.
    """
    if not plan.workload.offload_activations:
        return 0.0
    link = _host_bandwidth(plan, kernels)
    once = kept_activations(plan).each / link
    forward = exposed_seconds(once, cover * FORWARD_SHARE, 0.0)
    return forward + exposed_seconds(once, cover * (1.0 - FORWARD_SHARE), 0.0)


def _host_bandwidth(plan: TrainingPlan, kernels: Kernels) -> Num:
    """Of the link to the host's memory; a device without one works in that memory [bytes/s]."""
    link = plan.on_machine(lambda one: one.device.host_link.bandwidth if one.device.host_link else 0.0)
    return where(link > 0, link, kernels.stream)


def _optimizer(plan: TrainingPlan, kernels: Kernels) -> Num:
    """The optimizer's pass over its shard [s]: reads gradient, master and states, writes them and the parameter.

    What is in the host's memory passes at the rate of the link to it. Parameters that are kept there come over for the
    forward and for the backward pass of every micro-batch, and their gradients go back; paged states that the device
    has no room for come and go once. Ignored: what of this runs beside other work, and that a host's processors may be
    slower than its link.
    """
    layout, workload = plan.layout, plan.workload
    held, (first, last) = layer_parameters(plan), end_parameters(plan.model, layout)
    shards = where(layout.zero >= 1, shard_devices(plan), 1.0)
    expert_shards = where(layout.zero >= 1, expert_shard_devices(plan), 1.0)
    ends = 0.0 if plan.lora else where(layout.pp == 1, first + last, maximum(first, last))
    parameters = (held.dense_trained + ends) / shards + held.expert_trained / expert_shards
    weight, gradient, master = state_bytes(plan)
    moved = gradient + 2.0 * (optimizer_bytes(plan) + master) + weight
    host = _host_bandwidth(plan, kernels)
    bandwidth = where(layout.offload_optimizer, host, kernels.stream)
    if workload.offload_parameters:
        held_bytes = ((held.dense + (first + last)) / shards + held.expert / expert_shards) * weight
        micro_batches = workload.global_batch / (layout.dp * layout.micro_batch)
        crossing = micro_batches * (2.0 * held_bytes + parameters * gradient)
        return optimizer_seconds(parameters, moved, host) + crossing / host
    seconds = optimizer_seconds(parameters, moved, bandwidth)
    if workload.optimizer in PAGED:
        away = training_memory(plan).host_bytes / plan.devices_on_host
        return seconds + where(layout.offload_optimizer, 0.0, 2.0 * away / host)
    return seconds
