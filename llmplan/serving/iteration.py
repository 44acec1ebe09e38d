"""Time of one iteration of an engine: so many sequences decode one token, so many tokens of prompts are read.

Batch, context and lengths may be numbers or arrays, and so may the degrees of the layout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.formulas.numeric import maximum, real, where
from llmplan.formulas.prefix import as_if_read_whole
from llmplan.formulas.speculation import accepted_tokens
from llmplan.formulas.step import host_bound_seconds
from llmplan.machine.links import Links, links_of, send, with_algorithms
from llmplan.machine.precision import NARROW, STORED_BYTES, WIDE_BYTES
from llmplan.model.layer import Layer
from llmplan.model.model import Model
from llmplan.records import dataclass, fields_of, replace
from llmplan.serving.drafts import drafted_tokens, drafting_plan
from llmplan.serving.encoders import Encoder, encoders_of, encoders_seconds
from llmplan.serving.host_layers import HostLayers, host_layer_seconds
from llmplan.serving.lora import ServedAdapters, adapter_seconds, served_adapters
from llmplan.serving.prefix import prefix_seconds
from llmplan.software.coefficients import Coefficients, on_host
from llmplan.work.communication import (
    expert_parallel_seconds,
    gathered_keys_seconds,
    spread_cache_seconds,
    tensor_parallel_seconds,
)
from llmplan.work.elementwise import ATTENTION_OPERATIONS, operations, operations_apart
from llmplan.work.flow import Flow
from llmplan.work.kernels import Kernels, Precisions, Software, kernels_of
from llmplan.work.layer import Parts, forward
from llmplan.work.products import plain_product

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num
    from llmplan.serving.plan import ServingPlan, ServingWorkload
    from llmplan.software.engine import ServingPolicy

COMPILED_LAUNCH = 3.8e-6
"""Time of a kernel of 2.9 us with its launch, launched one after another by a compiled program [s] (NVIDIA, Getting
Started with CUDA Graphs, 2019); Python takes ten times that (`operation_host_seconds`)."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One copy of the model as an engine runs it: layers, layout, kernels and links, fitted coefficients applied.

    dispatch_bytes: of an element on the way to its expert [bytes]; drafted: tokens that are drafted for a sequence and
    checked in one step; written: tokens that a step adds to a sequence on average, 1 without drafts [1]; prefix: tokens
    of a prompt that are cached before it is read [1]; drafts: what does, by its name; drafter: the model that does, if
    one; adapters: that are resident; encoders: of the images and the sound of a prompt; seen: tokens of its images that
    cross-attention sees [1]; overlapped: whether the host works on the next iteration while the device runs this one;
    captured, captured_prompts: whether decoding is launched as a graph, and prompts in pieces; launch: time of the host
    for an operation that is not [s]; device_layers: share of the layers that is on the device [1]; host: what runs the
    others, if any; host_link: of a device to its host, one direction [bytes/s]; cp: devices that share the tokens of a
    prompt, of which `layout` is one [1]; dcp: devices of tp over which the cache of a sequence is spread [1].
    """

    model: Model
    layout: Any
    kernels: Kernels
    links: Links
    dispatch_bytes: float
    numbers: Coefficients
    drafted: Num = 0.0
    written: Num = 1.0
    prefix: float = 0.0
    drafts: str = "none"
    drafter: Replica | None = None
    adapters: ServedAdapters | None = None
    encoders: tuple[Encoder, ...] = ()
    seen: float = 0.0
    overlapped: bool = False
    captured: bool = True
    captured_prompts: bool = False
    launch: Num = 0.0
    device_layers: float = 1.0
    host: HostLayers | None = None
    host_link: float = 0.0
    cp: float = 1.0
    dcp: float = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """Seconds of one iteration by part; they sum to `total` [s]."""

    matmul_seconds: Num
    attention_seconds: Num
    elementwise_seconds: Num
    tensor_parallel_seconds: Num
    expert_parallel_seconds: Num
    pipeline_transfer_seconds: Num
    host_seconds: Num
    encoder_seconds: Num = 0.0
    host_layers_seconds: Num = 0.0

    @property
    def total(self) -> Num:
        """The whole iteration."""
        return (
            self.matmul_seconds + self.attention_seconds + self.elementwise_seconds + self.tensor_parallel_seconds
            + self.expert_parallel_seconds + self.pipeline_transfer_seconds + self.host_seconds + self.encoder_seconds
            + self.host_layers_seconds
        )  # fmt: skip

    def plus(self, other: Step, times: Num) -> Step:
        """With another iteration so many times after it [1]."""
        return Step(**{name: value + times * getattr(other, name) for name, value in self.parts().items()})

    def parts(self) -> dict[str, Num]:
        """Every part by name."""
        return fields_of(self)


def precisions(model: Model, work: ServingWorkload) -> Precisions:
    """Precisions of weights, experts, inputs and cache; released experts may have fewer bits than the rest."""
    own = model.expert_precision or work.weight_precision
    narrower = own in STORED_BYTES and STORED_BYTES[own] < STORED_BYTES[work.weight_precision]
    return Precisions(
        work.weight_precision, own if narrower else work.weight_precision, work.activation_precision, work.kv_precision,
        block_scaled=model.block_scaled,
    )  # fmt: skip


def software(policy: ServingPolicy, cache: str) -> Software:
    """What an engine decides about kernels; cache: its precision."""
    narrow = STORED_BYTES[cache] < WIDE_BYTES
    shares = policy.cache_reads == "shared" or (policy.cache_reads == "shared_16_bit" and not narrow)
    return Software(
        engine=policy.kernels == "engine",
        fused_experts=policy.fused_experts,
        routing_spread=policy.routing_spread,
        shares_cache=shares,
        shared_groups=policy.shared_groups,
        windows=policy.window_cache != "ignored",
        fused_norms=policy.fused_norms,
        fused_casts=policy.fused_casts,
        experts_apart=policy.experts_apart,
        beside=policy.experts_beside,
        early=policy.early_start,
        narrow_latent=policy.narrow_latent,
    )


def machine_of(plan: ServingPlan, numbers: Coefficients) -> tuple[Kernels, Links]:
    """What device, cluster and engine make of the plan's precisions."""
    if plan.machine is not None and numbers is plan.coefficients:
        at_hand: tuple[Kernels, Links] = plan.machine
        return at_hand
    work, policy = plan.workload, plan.engine.policy
    return (
        kernels_of(plan.device, precisions(plan.model, work), software(policy, work.kv_precision), numbers),
        with_algorithms(links_of(plan.device, plan.cluster), policy.all_reduce, policy.dispatch),
    )


def replica(plan: ServingPlan, numbers: Coefficients | None = None) -> Replica:
    """The replica of a plan; numbers: the plan's unless given."""
    work, policy = plan.workload, plan.engine.policy
    kernels, links = plan.on_machine(lambda one: machine_of(one, numbers or one.coefficients))
    own = numbers or plan.coefficients
    numbers = on_host(own, plan.cluster.host_time_ratio)
    narrow = policy.narrow_dispatch and work.activation_precision in NARROW
    drafted: Num = 0.0
    written: Num = 1.0
    if work.speculation != "none":
        drafted = drafted_tokens(work, policy, plan.layout)
        written = accepted_tokens(drafted, work.acceptance or policy.acceptance)
    drafter = None
    if plan.draft is not None:  # it runs in the target's iterations: their cost is there already
        drafter = replica(drafting_plan(plan), replace(own, iteration_seconds=0.0, sequence_seconds=0.0))
    layout, cp = plan.layout, real(plan.layout.cp)
    if cp > 1.0:
        layout = replace(layout, cp=1)
    return Replica(
        plan.model, layout, kernels, links, kernels.experts.input_bytes if narrow else WIDE_BYTES, numbers,
        drafted, written, work.input_tokens - work.computed_tokens if work.prefix_hit else 0.0, work.speculation,
        drafter, served_adapters(plan.model, work), encoders_of(plan, numbers), real(plan.seen_tokens),
        policy.overlapped_host, policy.captured, policy.captured_prompts,
        COMPILED_LAUNCH if policy.compiled else numbers.operation_host_seconds,
        plan.device_layers, _host_layers(plan, numbers),
        plan.device.host_link.bandwidth if plan.device.host_link else 0.0, cp, real(work.dcp or 1),
    )  # fmt: skip


def _host_layers(plan: ServingPlan, numbers: Coefficients) -> HostLayers | None:
    """What runs layers in host memory, by the same software."""
    work, policy, link = plan.workload, plan.engine.policy, plan.device.host_link
    if plan.host is None or link is None or policy.host_rows is None:
        return None
    kernels = kernels_of(plan.host, precisions(plan.model, work), software(policy, work.kv_precision), numbers)
    return HostLayers(kernels, link.bandwidth, real(policy.host_rows), work.gpu_layers == 0)


def iteration(at: Replica, decoding: Num, context: Num, prompt: Num, length: Num) -> Step:
    """One iteration of one replica.

    decoding: sequences that get one token more [1]; context: tokens that each of them has, on average [1];
    prompt: tokens of prompts computed in this iteration [1]; length: of one prompt, without its cached prefix [1].
    Either may be 0.
    Under context parallelism devices share the prompts' tokens and gather what is cached of them.
    Under pipeline parallelism: a round in which every stage sees every pp-th part of the batch once; every stage holds
    1/pp of the layers and sees pp parts in a round, so that sums over all layers stay as they are.
    """
    layout, numbers, pp = at.layout, at.numbers, at.layout.pp * 1.0
    requests = prompt / maximum(length, 1.0)
    decoding, prompt = decoding / pp, prompt / pp
    work, tensor, expert, launches, apart = Parts(), 0.0 * pp, 0.0 * pp, 0.0 * pp, 0.0 * pp
    for layer in at.model.layers:
        whole = as_if_read_whole(length, at.prefix) if at.prefix else length
        flow = layer_flow(at.model, layer, decoding, context, prompt / at.cp, whole, 1.0 + at.drafted, at.seen, at.dcp)
        if at.prefix:
            found = prefix_seconds(layer, at.prefix, prompt / maximum(length, 1.0), layout, at.kernels)
            work = work + Parts(attention=found) * real(layer.count)
        count = real(layer.count) * at.device_layers
        if at.adapters is not None:
            asking = decoding + prompt / maximum(length, 1.0)
            beside = adapter_seconds(at.adapters, at.model, layer, flow.rows, asking, layout, at.kernels)
            work = work + Parts(matmul=where(flow.rows > 0, beside, 0.0)) * count
        work = work + forward(layer, flow, layout, at.kernels) * count
        some = where(flow.rows > 0, count, 0.0)
        tensor = (
            tensor
            + some * tensor_parallel_seconds(layer, flow, layout, at.links)
            + count * _shared(at, layer, flow, prompt)
        )
        expert = expert + some * expert_parallel_seconds(layer, flow, layout, at.links, at.dispatch_bytes)
        # graphs of decoding are launched as one; prompts, and all without graphs, operation by operation
        each = ATTENTION_OPERATIONS * len(layer.cores) if at.captured_prompts else operations(layer)
        apart = apart + some * (operations(layer) if at.kernels.routing_apart else operations_apart(layer))
        launches = launches + where((flow.tokens if at.captured else flow.rows) > 0, count * each, 0.0)
    on_host = at.host is not None and at.host.head
    head = 0.0 if on_host else _head_seconds(at, decoding * (1.0 + at.drafted) + prompt / maximum(length, 1.0))
    size = WIDE_BYTES * (decoding * (1.0 + at.drafted) + prompt / at.cp) * at.model.hidden
    times = where(decoding > 0, at.drafted, 0.0)
    if at.drafts == "medusa":
        block = plain_product(at.model.hidden / layout.tp, real(at.model.hidden), decoding, at.kernels.wide, "forward")
        work, head = work + Parts(matmul=block) * times, head + times * _head_seconds(at, decoding)
    elif at.drafts != "none" and at.drafter is None:
        drafting, among_tensor, among_experts = _draft(at, decoding, context)
        work, head = work + drafting * times, head + times * _head_seconds(at, decoding)
        tensor, expert = tensor + times * among_tensor, expert + times * among_experts
    transfer = where(pp > 1, pp * send(at.links, size, near=True), 0.0)
    factor = numbers.communication_factor
    device = work.total + head + factor * (tensor + expert)
    # of what is launched one by one, the longer of device and host counts
    eager = host_bound_seconds(device, launches * at.launch) - device
    gaps = numbers.operation_gap_seconds * apart + where(launches > 0, eager, 0.0)
    host = numbers.iteration_seconds + numbers.sequence_seconds * decoding * pp
    if at.overlapped:  # the longer of the two counts
        host = host_bound_seconds(device + gaps, host) - device - gaps
    host = host + gaps
    images: Num = 0.0
    if at.encoders:  # they stand before the first stage
        images = encoders_seconds(at.encoders, requests, at.launch)
    own = Step(
        work.matmul + head,
        work.attention,
        work.elementwise,
        factor * tensor,
        factor * expert,
        transfer,
        host,
        images,
        _on_host(at, decoding, context, prompt, length),
    )
    if at.drafter is None:
        return own
    drafts = iteration(at.drafter, decoding * pp, context, 0.0, length)
    reads = iteration(at.drafter, 0.0, 0.0, prompt * pp, length)
    return own.plus(drafts, times).plus(reads, where(prompt > 0, 1.0, 0.0))


def _shared(at: Replica, layer: Layer, flow: Flow, prompt: Num) -> Num:
    """What devices say to each other that share prompts, or the cache of a sequence [s]."""
    total: Num = 0.0
    if at.cp > 1.0:
        gathered = [gathered_keys_seconds(core, prompt, at.layout, at.links, at.cp) for core in layer.cores]
        total = where(prompt > 0, sum(gathered), 0.0)
    if at.dcp > 1.0:
        attended = [spread_cache_seconds(core, flow, at.layout, at.links) for core in layer.cores]
        total = total + where(flow.decoding > 0, sum(attended), 0.0)
    return total


def _on_host(at: Replica, decoding: Num, context: Num, prompt: Num, length: Num) -> Num:
    """Layers in host memory, and the output layer where it is there too [s].

    Prompts and what is decoded beside them count one after the other. Ignored: that few rows, which the host multiplies
    when they are alone, share the weights that were copied for a prompt.
    """
    if at.host is None:
        return 0.0
    total: Num = 0.0
    for layer in at.model.layers:
        away = real(layer.count) * (1.0 - at.device_layers)
        for rows, tokens in ((decoding, 0.0), (0.0, prompt)):
            flow = layer_flow(at.model, layer, rows, context, tokens, length)
            total = total + away * host_layer_seconds(layer, flow, at.layout, at.kernels, at.host)
    if at.host.head:
        total = total + _head_seconds(replace(at, kernels=at.host.kernels), decoding + prompt / maximum(length, 1.0))
    return total


def _draft(at: Replica, decoding: Num, context: Num) -> tuple[Parts, Num, Num]:
    """Layer that drafts one token more, and its collectives over tensor and expert parallelism.

    A module for multi-token prediction is a layer like the last one, behind a product that joins two hidden vectors
    (DeepSeek-V3, arXiv 2412.19437, 2.2), and so is EAGLE's (Li et al. 2024, arXiv 2401.15077, 3.1).
    """
    layer, hidden = at.model.layers[-1], real(at.model.hidden)
    flow = layer_flow(at.model, layer, decoding, context, 0.0, 1.0, seen=at.seen)
    join = plain_product(hidden / at.layout.tp, 2.0 * hidden, decoding, at.kernels.wide, "forward")
    return (
        forward(layer, flow, at.layout, at.kernels) + Parts(matmul=join),
        tensor_parallel_seconds(layer, flow, at.layout, at.links),
        expert_parallel_seconds(layer, flow, at.layout, at.links, at.dispatch_bytes),
    )


def layer_flow(
    model: Model,
    layer: Layer,
    decoding: Num,
    context: Num,
    prompt: Num,
    length: Num,
    each: Num = 1.0,
    seen: float = 0.0,
    spread: float = 1.0,
) -> Flow:
    """What one iteration brings to a layer: an encoder reads prompts, its decoder writes with the prompt as source.

    seen: tokens of a prompt's images that cross-attention sees [1]; without any, its layers are passed over;
    spread: devices over which the cache of a sequence is spread [1].
    """
    if model.architecture == "decoder" and any(core.cross for core in layer.cores):
        if not seen:
            return Flow(0.0, 1.0)
        length = maximum(length, 1.0)
        return Flow(prompt, length, decoding, context, each, source=seen, source_tokens=seen * prompt / length)
    if model.architecture != "encoder-decoder":
        return Flow(prompt, maximum(length, 1.0), decoding, context, each, spread=spread)
    if layer.side == "encoder":
        return Flow(tokens=prompt, length=maximum(length, 1.0))
    written = maximum(context - length, 1.0)
    return Flow(
        tokens=0.0, length=1.0, decoding=decoding, context=written, each=each, source=length, source_tokens=prompt
    )


def _head_seconds(at: Replica, rows: Num) -> Num:
    """Logits of the sequences that get a token, in 16 bits [s]."""
    if not at.model.head:
        return 0.0
    n, k = at.model.vocab / at.layout.tp, real(at.model.hidden)
    curve, stored = at.kernels.wide, at.model.stored
    if stored is not None:
        curve = replace(curve, weight_bytes=stored.head)
    return plain_product(n, k, rows, curve, "forward")
