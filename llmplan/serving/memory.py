"""Memory of a replica's fullest device: weights, workspace, and the key-value cache in what is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmplan.formulas.kv_cache import (
    block_tokens,
    growing_length,
    resident_sequences,
    sequence_bytes,
)
from llmplan.formulas.numeric import maximum, minimum, real, where
from llmplan.formulas.pipeline import stage_layers
from llmplan.formulas.states import split_parts
from llmplan.machine.precision import STORED_BYTES, WIDE_BYTES
from llmplan.model.model import Core, Model
from llmplan.serving.iteration import precisions
from llmplan.serving.plan import ServingPlan, ServingWorkload
from llmplan.software.engine import ServingPolicy
from llmplan.work.states import end_parameters, local_parameters

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

_LOGIT_BYTES = 4.0
_WORK_VECTORS = 4.0  # hidden vectors of a token alive at once: residual, input, output, one more for communication


@dataclass(frozen=True, slots=True)
class CacheShape:
    """Cache of one sequence on the fullest device.

    growing: bytes a token of layers that keep every token [bytes]; windows: (bytes a token, window)
    of the others [bytes, 1]; state: bytes whatever the length [bytes].
    """

    growing: Num
    windows: tuple[tuple[Num, float], ...]
    state: Num

    def bytes(self, length: Num) -> Num:
        """Of one sequence of that many tokens [bytes]."""
        total = sequence_bytes(length, self.growing, 0.0, 0.0, self.state)
        for each, window in self.windows:
            total = total + sequence_bytes(length, 0.0, each, window, 0.0)
        return total


@dataclass(frozen=True, slots=True)
class ServingMemory:
    """Bytes on the fullest device of a replica, and what the cache holds.

    kv_cache_bytes: the room that the engine sets aside, where it does so, not what a load uses;
    kv_tokens: that all replicas' caches hold at the plan's lengths [1]; token_bytes: of the cache, one
    token of a long sequence, all devices of a replica [bytes]; resident: sequences of one replica at
    once [1]; longest: tokens of the longest single sequence [1].
    """

    weights_bytes: Num
    kv_cache_bytes: Num
    activations_bytes: Num
    overhead_bytes: Num
    kv_tokens: Num
    resident: Num
    longest: Num
    needed_bytes: Num

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
    usable = plan.usable_bytes
    weights, activations = weight_bytes(plan, work), workspace_bytes(plan, policy)
    overhead = plan.stack.memory.context + plan.stack.memory.workspace + policy.graph_bytes
    room = maximum(0.0, _room(policy, work, usable, weights, activations, overhead))
    cache = cache_shape(plan.model, plan.layout, STORED_BYTES[work.kv_precision], policy, work.input_tokens)
    whole = work.input_tokens + work.output_tokens
    length = whole if policy.reserve == "whole" else work.input_tokens + work.output_tokens / 2.0
    each = cache.bytes(block_tokens(length, real(policy.block_tokens)))
    caches = each > 0
    resident = where(
        caches,
        minimum(resident_sequences(room, maximum(each, 1e-9)), real(policy.max_sequences)),
        real(policy.max_sequences),
    )
    windows = sum((size for size, _ in cache.windows), 0.0)
    window = max((w for _, w in cache.windows), default=0.0)
    longest = growing_length(room, cache.growing, windows, window, cache.state)
    # at the plan's lengths: a window or a state makes long sequences cheaper a token than short ones
    tokens = where(caches, room / maximum(each, 1e-9) * length, 0.0) * plan.layout.dp
    return ServingMemory(
        weights_bytes=weights, kv_cache_bytes=where(caches, room, 0.0), activations_bytes=activations,
        overhead_bytes=overhead, kv_tokens=tokens, resident=resident, longest=longest,
        needed_bytes=weights + activations + overhead + cache.bytes(whole),
    )  # fmt: skip


def _room(
    policy: ServingPolicy, work: ServingWorkload, usable: float, weights: Num, activations: Num, overhead: Num
) -> Num:
    """Bytes that the engine gives to the cache; never more than are there."""
    fraction = work.memory_fraction or policy.memory_fraction
    free = usable - weights - activations - overhead
    if policy.memory_fraction_of == "free":
        return fraction * free
    if policy.memory_fraction_of == "static":
        return minimum(fraction * usable - weights, free)
    return minimum(fraction * usable - weights - activations - overhead, free)


def weight_bytes(plan: ServingPlan, work: ServingWorkload) -> Num:
    """Weights of the fullest device [bytes]; tables, head, norms and routers in 16 bits at most."""
    layout, model = plan.layout, plan.model
    narrow = STORED_BYTES[work.weight_precision]
    wide = narrow if narrow > WIDE_BYTES else WIDE_BYTES
    expert = STORED_BYTES[precisions(model, work).experts]
    fullest = stage_layers(real(model.layer_count), layout.pp, 1.0)
    total: Num = 0.0
    for layer in model.layers:
        held: Num = layer.extra_parameters * wide
        for linear in layer.linears:
            each = expert if linear.routed else wide if linear.wide else narrow
            held = held + local_parameters(linear, layout) * each
        total = total + fullest * (layer.copies / model.layer_count) * held
    first, last = end_parameters(model, layout)
    return total + wide * where(layout.pp == 1, first + last, maximum(first, last))


def workspace_bytes(plan: ServingPlan, policy: ServingPolicy) -> Num:
    """Activations of the largest prefill step and logits of the largest decode step on one device [bytes]."""
    model, layout = plan.model, plan.layout
    tokens = real(policy.max_batch_tokens)
    widest: Num = 0.0
    for layer in model.layers:
        inner = layer.activation_elements + sum(core.saved_elements for core in layer.cores)
        widest = maximum(widest, inner / layout.tp)
    logits = _LOGIT_BYTES * policy.max_sequences * model.vocab / layout.tp if model.head else 0.0
    return tokens * WIDE_BYTES * (_WORK_VECTORS * model.hidden + widest) + logits


def cache_shape(model: Model, layout: Any, element: float, policy: ServingPolicy, prompt: Num = 0.0) -> CacheShape:
    """Cache of a sequence on the fullest device; element: bytes of one element; prompt: tokens read first [1].

    A layer with a window keeps the window, or every token where the engine's policy is `full` or `ignored`.
    Heads are divided over tp; where there are fewer heads, or one latent for all (MLA), they are copied.
    The decoder of an encoder-decoder caches the prompt for cross-attention, and for its own what it has written.
    """
    growing: Num = 0.0
    state: Num = 0.0
    windows: list[tuple[Num, float]] = []
    fullest = stage_layers(real(model.layer_count), layout.pp, 1.0) / model.layer_count
    for layer in model.layers:
        count = fullest * layer.count
        for core in layer.cores:
            each = count * token_bytes(core, layout, element)
            state = state + count * core.state_elements * core.state_bytes / split_parts(
                layout.tp * 1.0, real(core.cache_heads)
            )
            if model.architecture == "encoder-decoder":
                state = state + where(core.cross, each, -each) * prompt
                growing = growing + (0.0 if core.cross else each)
            elif core.cache_window is not None and policy.window_cache == "window":
                windows.append((each, real(core.cache_window)))
            else:
                growing = growing + each
    return CacheShape(growing, _merged(windows), state)


def token_bytes(core: Core, layout: Any, element: float) -> Num:
    """Cache of one token in one layer on one device [bytes]."""
    return core.cache_elements * core.cache_ratio * element / split_parts(layout.tp * 1.0, real(core.cache_heads))


def _merged(windows: list[tuple[Num, float]]) -> tuple[tuple[Num, float], ...]:
    sums: dict[float, Num] = {}
    for each, window in windows:
        sums[window] = sums.get(window, 0.0) + each
    return tuple((each, window) for window, each in sums.items())
