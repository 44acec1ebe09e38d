"""Memory of a replica's fullest device: weights, workspace, and the key-value cache in what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.formulas.engine_memory import (
    admitted_tokens,
    expert_workspace,
    filled_layers,
    group_size,
    kept_back,
    prefill_peak,
    sampler_peak,
)
from llmplan.formulas.kv_cache import (
    block_tokens,
    growing_length,
    resident_sequences,
    sequence_bytes,
)
from llmplan.formulas.numeric import everywhere, maximum, minimum, real, where
from llmplan.formulas.pipeline import stage_layers
from llmplan.formulas.states import split_parts
from llmplan.machine.precision import STORED_BYTES
from llmplan.model.layer import Core
from llmplan.model.model import MLP_OUT, Model
from llmplan.records import dataclass, replace
from llmplan.serving.drafts import MEDUSA, drafting_plan
from llmplan.serving.iteration import precisions
from llmplan.serving.plan import ServingPlan
from llmplan.serving.weights import WeightParts, expert_width, host_weight_bytes, weight_parts
from llmplan.software.engine import ServingPolicy

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

MANY = 4
"""Devices of tensor parallelism from which an engine captures larger graphs (SGLang)."""
MLP_IN = ("mlp_in", "shared_in")


@dataclass(frozen=True, slots=True)
class CacheShape:
    """Cache of one sequence on the fullest device.

    growing: bytes a token of layers that keep every token [bytes]; windows: (bytes a token, window)
    of the others [bytes, 1]; state: bytes whatever the length [bytes].
    """

    growing: Num
    windows: tuple[tuple[Num, float], ...]
    state: Num

    @property
    def whole(self) -> Num:
        """A token that every layer keeps [bytes]."""
        return self.growing + sum((each for each, _ in self.windows), 0.0)

    def bytes(self, length: Num) -> Num:
        """Of one sequence of that many tokens [bytes]."""
        total = sequence_bytes(length, self.growing, 0.0, 0.0, self.state)
        for each, window in self.windows:
            total = total + sequence_bytes(length, 0.0, each, window, 0.0)
        return total

    def times(self, share: float) -> CacheShape:
        """Of a share of the layers [1]."""
        windows = tuple((each * share, window) for each, window in self.windows)
        return CacheShape(self.growing * share, windows, self.state * share)

    def admitted(self, length: Num, policy: ServingPolicy) -> Num:
        """What must be free before one request of that length is let in [bytes]."""
        block = real(policy.block_tokens)
        held = self.growing * block_tokens(length, block) + self.state
        for each, window in self.windows:
            kept = minimum(block_tokens(length, block), window)
            if policy.group_layers is not None:
                kept = admitted_tokens(length, window, real(policy.max_batch_tokens), block)
            held = held + each * kept
        return held


@dataclass(frozen=True, slots=True)
class ServingMemory:
    """Bytes on the fullest device of a replica, and what the cache holds.

    kv_cache_bytes: the room that the engine sets aside, where it does so, not what a load uses;
    kv_tokens: that all replicas' caches hold at the plan's lengths [1]; token_bytes: of the cache, one
    token of a long sequence, all devices of a replica [bytes]; resident: sequences of one replica at
    once [1]; longest: tokens of the longest single sequence [1]; longest_request: tokens of the greatest
    that the engine is started for, and requests: how many of those all replicas hold [1]; needed_bytes: with one;
    budget_bytes: that may be taken so [bytes]; weights: those of `weights_bytes` by module group; host_bytes: weights
    of layers on the host, and their cache of one request, or what a node keeps prefixes in [bytes].
    """

    weights_bytes: Num
    kv_cache_bytes: Num
    activations_bytes: Num
    overhead_bytes: Num
    kv_tokens: Num
    resident: Num
    longest: Num
    longest_request: Num
    requests: Num
    needed_bytes: Num
    budget_bytes: Num
    weights: WeightParts
    host_bytes: Num = 0.0

    @property
    def peak_bytes(self) -> Num:
        """What the device holds with the whole cache set aside."""
        return self.weights_bytes + self.kv_cache_bytes + self.activations_bytes + self.overhead_bytes

    def parts(self) -> dict[str, Num]:
        """Parts that sum to `peak_bytes`."""
        return {
            "weights_bytes": self.weights_bytes, "kv_cache_bytes": self.kv_cache_bytes,
            "activations_bytes": self.activations_bytes, "overhead_bytes": self.overhead_bytes,
        }  # fmt: skip


def serving_memory(plan: ServingPlan, policy: ServingPolicy) -> ServingMemory:
    """Memory of the plan under an engine's policy."""
    work = plan.workload
    held_by = weight_parts(plan, work)
    weights, activations = held_by.total, workspace_bytes(plan, policy)
    inside, outside = overhead_bytes(plan, policy)
    held = weights + activations + inside
    budget = _budget(plan, policy, weights, activations, inside, outside)
    room = maximum(0.0, budget - held)
    whole_cache = _with_draft(plan, policy, work.input_tokens)
    cache = whole_cache.times(plan.device_layers)
    whole = work.input_tokens + work.output_tokens
    longest_request = real(work.max_model_len) if work.max_model_len is not None else whole
    length = whole if policy.reserve == "whole" else work.input_tokens + work.output_tokens / 2.0
    each = cache.bytes(block_tokens(length, real(policy.block_tokens)))
    caches = each > 0
    resident = where(
        caches,
        minimum(resident_sequences(room, maximum(each, 1e-9)), real(policy.max_sequences)),
        real(policy.max_sequences),
    )
    host_held = host_weight_bytes(plan)
    away = whole_cache.times(1.0 - plan.device_layers)
    if plan.host is not None and plan.cluster.host_memory is not None:
        beside = away.bytes(block_tokens(length, real(policy.block_tokens)))
        places = maximum(0.0, plan.cluster.host_memory - host_held) / maximum(beside, 1e-9)
        resident = minimum(resident, places)
    windows = sum((size for size, _ in cache.windows), 0.0)
    window = max((w for _, w in cache.windows), default=0.0)
    longest = growing_length(room, cache.growing, windows, window, cache.state)
    request = cache.admitted(longest_request, policy)
    # at the plan's lengths: a window or a state makes long sequences cheaper a token than short ones
    token = each / length if policy.printed == "lengths" else request / longest_request
    if policy.printed == "blocks" and cache.windows:
        token = cache.whole
    return ServingMemory(
        weights_bytes=weights, kv_cache_bytes=where(caches, room, 0.0), activations_bytes=activations,
        overhead_bytes=inside + outside, kv_tokens=where(caches, room / maximum(token, 1e-9), 0.0) * plan.layout.dp,
        resident=resident, longest=longest, longest_request=longest_request,
        requests=where(caches, room / maximum(request, 1e-9), 0.0) * plan.layout.dp,
        needed_bytes=held + request, budget_bytes=budget, weights=held_by,
        host_bytes=host_held + away.admitted(longest_request, policy) if plan.host is not None else _offloaded(plan),
    )  # fmt: skip


def _offloaded(plan: ServingPlan) -> Num:
    """Host memory of a node that prefixes of its devices may take [bytes]."""
    size, layout = plan.workload.kv_offloading_size, plan.layout
    if size is None:
        return 0.0
    return size / (layout.tp * layout.pp * layout.cp * 1.0) * plan.devices_on_host


def _with_draft(plan: ServingPlan, policy: ServingPolicy, prompt: Num) -> CacheShape:
    """Cache of a sequence with that of what drafts: of a model, or of one layer more; heads have none."""
    element = STORED_BYTES[plan.workload.kv_precision]
    spread = real(plan.workload.dcp or 1)
    cache = cache_shape(plan.model, plan.layout, element, policy, prompt, real(plan.seen_tokens), spread)
    if plan.draft is not None:
        other = cache_shape(plan.draft, drafting_plan(plan).layout, element, policy, prompt, spread=spread)
        windows = _merged([*cache.windows, *other.windows])
        return CacheShape(cache.growing + other.growing, windows, cache.state + other.state)
    if plan.workload.speculation in ("none", MEDUSA):
        return cache
    drafting = (token_bytes(core, plan.layout, element) for core in plan.model.layers[-1].cores)
    more = sum(drafting, 0.0 * plan.layout.tp) / spread
    return replace(cache, growing=cache.growing + more)


def overhead_bytes(plan: ServingPlan, policy: ServingPolicy) -> tuple[Num, Num]:
    """What libraries and graphs take inside what the fraction gives, and beside it [bytes]."""
    fixed, layout = plan.stack.memory, plan.layout
    inside, outside = fixed.workspace, 0.0
    libraries: Num = fixed.context
    if policy.library_bytes is not None:
        outside += fixed.context
        pipeline = where(layout.pp > 1, policy.library_bytes_pipeline, policy.library_bytes)
        switch = plan.on_machine(lambda one: real(one.device.scale_up.topology == "switch"))
        tensor = policy.library_bytes_tensor + switch * policy.library_bytes_switch
        libraries = where(layout.tp > 1, tensor, pipeline)
    graphs = policy.graph_bytes
    return (
        (inside + libraries + graphs, outside) if policy.graphs_in_fraction else (inside + libraries, outside + graphs)
    )


def memory_fraction(plan: ServingPlan, policy: ServingPolicy) -> Num:
    """Share of memory that the engine takes, in its own meaning: what was given, or its default [1]."""
    if plan.workload.memory_fraction is not None:
        return plan.workload.memory_fraction
    layout, whole, rule = plan.layout, plan.device.memory.capacity, policy.kept_back
    devices = layout.tp * layout.pp * 1.0
    if rule is not None:
        graphs = where(layout.tp >= MANY, real(policy.graph_sequences_tensor), real(policy.graph_sequences))
        tokens = real(maximum(policy.max_batch_tokens, rule.fewest_tokens))
        each = (rule.each_token, rule.each_sequence, rule.each_device)
        least = where(whole > rule.large, rule.least, 0.0)
        return 1.0 - kept_back(tokens, graphs, devices, rule.fixed, each, least) / whole
    fraction: Num = policy.memory_fraction
    for one in policy.fraction_on:
        fraction = where(devices >= one.devices, one.memory_fraction, fraction)
    return fraction


def _budget(plan: ServingPlan, policy: ServingPolicy, weights: Num, activations: Num, inside: Num, outside: Num) -> Num:
    """Bytes that weights, workspace, overhead inside the fraction and cache may take together; never more than are
    there."""
    fraction = memory_fraction(plan, policy)
    usable = plan.usable_bytes - outside
    held = weights + activations + inside
    taken = fraction * plan.usable_bytes
    if policy.memory_fraction_of == "free":
        taken = held + fraction * (usable - held)
    if policy.memory_fraction_of == "static":
        taken = fraction * (plan.usable_bytes - plan.stack.memory.context) + activations + inside
    return maximum(minimum(taken, usable), 0.0)


def workspace_bytes(plan: ServingPlan, policy: ServingPolicy) -> Num:
    """Activations at their peak on one device [bytes]: of the largest prefill step, or of choosing the most tokens.

    Buffers of fused experts stand beside either where the engine keeps them.
    """
    model, layout = plan.model, plan.layout
    tokens, hidden = real(policy.max_batch_tokens), real(model.hidden)
    widest: Num = 0.0
    buffers: Num = 0.0
    buffered = policy.expert_buffers and precisions(model, plan.workload).experts != "mxfp4"
    for layer in model.layers:
        inner = sum(core.saved_elements for core in layer.cores) / layout.tp
        mlp = sum(linear.outputs for linear in layer.linears if linear.role in MLP_IN) + sum(
            linear.inputs for linear in layer.linears if linear.role in MLP_OUT and not linear.routed
        )
        widest = maximum(widest, maximum(inner, mlp / layout.tp))
        for linear in layer.linears:
            if linear.role == "expert_out":
                each = expert_workspace(tokens, linear.active, expert_width(linear, layout), hidden)
                buffers = maximum(buffers, each)
    peak = prefill_peak(tokens, hidden, policy.hidden_vectors, widest)
    if model.head:
        vocab = real(model.vocab) if policy.logits_whole else model.vocab / layout.tp
        last = prefill_peak(tokens, hidden, 1.0, 0.0)  # what the layers wrote, from which the logits are made
        chosen = last + sampler_peak(real(policy.max_sequences), vocab, policy.sampler_copies)
        peak = maximum(peak, chosen)
    return peak + buffers if buffered else maximum(peak, buffers)


def cache_shape(
    model: Model, layout: Any, element: float, policy: ServingPolicy, prompt: Num = 0.0, seen: float = 0.0,
    spread: float = 1.0,
) -> CacheShape:  # fmt: skip
    """Cache of a sequence on the fullest device; element: bytes of one element; prompt: tokens read first [1];
    seen: tokens of images that cross-attention sees, whose keys and values stay as long as the sequence [1];
    spread: devices that hold copies otherwise and share the tokens of one instead [1].

    A layer with a window keeps the window, or every token where the engine's policy is `full` or `ignored`.
    Heads are divided over tp; where there are fewer heads, or one latent for all (MLA), they are copied.
    The decoder of an encoder-decoder caches the prompt for cross-attention, and for its own what it has written.
    """
    growing: Num = 0.0
    state: Num = 0.0
    windows: list[tuple[Num, float]] = []
    fullest = stage_layers(real(model.layer_count), layout.pp, 1.0) / model.layer_count
    filled = _filled(model, policy)
    for layer in model.layers:
        for core in layer.cores:
            count = fullest * layer.count * filled[_keeps(core, policy)]
            each = count * token_bytes(core, layout, element) / spread
            state = state + count * core.state_elements * core.state_bytes / split_parts(
                layout.tp * 1.0, real(core.cache_heads)
            )
            if model.architecture == "encoder-decoder":
                state = state + where(core.cross, each, -each) * prompt
                growing = growing + (0.0 if core.cross else each)
            elif core.cross:
                state = state + each * seen
            elif core.cache_window is not None and policy.window_cache == "window":
                windows.append((each, real(core.cache_window)))
            else:
                growing = growing + each
    return CacheShape(growing, _merged(windows), state)


def _keeps(core: Core, policy: ServingPolicy) -> tuple[bool, int | None]:
    """What tells kinds of layers apart in the cache: a state or tokens, and of how long a window."""
    window = core.cache_window if policy.window_cache == "window" else None
    return everywhere(core.cache_elements == 0), window


def _filled(model: Model, policy: ServingPolicy) -> dict[tuple[bool, int | None], float]:
    """By kind of layer: places that it takes in the cache over layers that it has [1]."""
    counts: dict[tuple[bool, int | None], int] = {}
    for layer in model.layers:
        for core in layer.cores:
            counts[_keeps(core, policy)] = counts.get(_keeps(core, policy), 0) + layer.count
    if policy.group_layers is None or len(counts) < 2:
        return dict.fromkeys(counts, 1.0)
    group = group_size(tuple(counts.values()), policy.group_layers)
    return {kind: filled_layers(count, group) / count for kind, count in counts.items()}


def token_bytes(core: Core, layout: Any, element: float) -> Num:
    """Cache of one token in one layer on one device [bytes]."""
    return core.cache_elements * core.cache_ratio * element / split_parts(layout.tp * 1.0, real(core.cache_heads))


def _merged(windows: list[tuple[Num, float]]) -> tuple[tuple[Num, float], ...]:
    sums: dict[float, Num] = {}
    for each, window in windows:
        sums[window] = sums.get(window, 0.0) + each
    return tuple((each, window) for window, each in sums.items())
