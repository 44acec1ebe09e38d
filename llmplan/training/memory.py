"""Memory of training on one device: the fullest pipeline stage, part by part.

All functions take a plan whose layout holds numbers, or arrays that broadcast against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.formulas.activations import logits_bytes
from llmplan.formulas.numeric import maximum, minimum, real, where
from llmplan.formulas.pipeline import end_stage_layers, micro_batches_in_flight, stage_layers
from llmplan.formulas.states import sharded_bytes
from llmplan.machine.precision import ELEMENT_BYTES
from llmplan.records import dataclass, fields_of, replace
from llmplan.training.activations import Kept, kept_activations
from llmplan.training.flow import micro_tokens
from llmplan.training.methods import frozen_models, trained_models
from llmplan.training.plan import TrainingPlan
from llmplan.training.states import (
    CAST,
    PAGED,
    Held,
    adapters,
    expert_shard_devices,
    frozen_bytes,
    layer_parameters,
    optimizer_bytes,
    shard_devices,
    state_bytes,
)
from llmplan.work.states import Stage, adapter_shape, end_parameters, has_leading, largest_matrix

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

MERGED_BYTES = 10.0
"""Bytes a parameter of a matrix merged with its adapter: the matrix and the sum in fp32, the adapter's product in 16
bits; an identity in fp32 goes through the adapter for that (PEFT `tuners/lora/dora.py`, `forward`)."""
STEPS = ("adam", "adamw", "lamb")
"""Optimizers whose step is made of operations over tensors, with results between them."""
_PARAMETERS_AT_ONCE = 2.0  # units whose gathered parameters stand at once under ZeRO-3: the current and the next


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on the fullest device, by part; every field a number or an array [bytes]."""

    weights_bytes: Num
    gradients_bytes: Num
    optimizer_states_bytes: Num
    activations_bytes: Num
    logits_bytes: Num
    gathered_bytes: Num
    workspace_bytes: Num
    overhead_bytes: Num
    context_bytes: Num
    generation_bytes: Num = 0.0
    host_bytes: Num = 0.0

    @property
    def allocated_bytes(self) -> Num:
        """What the framework's allocator hands out at the peak."""
        return (
            self.weights_bytes + self.gradients_bytes + self.optimizer_states_bytes + self.activations_bytes
            + self.logits_bytes + self.gathered_bytes + self.workspace_bytes
        )  # fmt: skip

    @property
    def reserved_bytes(self) -> Num:
        """With what its blocks waste."""
        return self.allocated_bytes + self.overhead_bytes

    @property
    def peak_bytes(self) -> Num:
        """What the device must hold: reserved, the process's context, and an engine that writes answers beside it."""
        return self.reserved_bytes + self.context_bytes + self.generation_bytes

    def parts(self) -> dict[str, Num]:
        """Parts that sum to `peak_bytes`."""
        return {name: part for name, part in fields_of(self).items() if name != "host_bytes"}


def _gathered(plan: TrainingPlan, held: Held) -> Num:
    """Parameters gathered for the running unit under ZeRO-3, and its gradients before they are reduced [bytes].

    The unit is a layer, or the largest matrix where the stack gathers them one by one.
    """
    layout, defaults = plan.layout, plan.recipe
    if defaults.gathered_unit == "matrix":
        one = largest_matrix(plan.model, layout)
    else:
        one = (held.dense + held.expert) / stage_layers(real(plan.model.layer_count), layout.pp, layout.vp)
    first, last = end_parameters(plan.model, layout)
    unit = maximum(one, maximum(first, last))
    trained = (held.dense_trained + held.expert_trained) / (held.dense + held.expert)
    base, wide = plan.workload.quantized_base if plan.lora else None, ELEMENT_BYTES["bf16"]
    if base is not None:  # gathered as it is stored, and widened a matrix at a time
        widened = largest_matrix(plan.model, layout)
        bytes_each = frozen_bytes(plan) * _PARAMETERS_AT_ONCE * one + wide * maximum(widened, unit - one)
    else:
        bytes_each = wide * (_PARAMETERS_AT_ONCE * one + (unit - one) + one * trained)
    kept = minimum(held.dense + held.expert + first + last, defaults.live_parameters * 1.0) * wide
    return where(layout.zero >= 3, maximum(bytes_each, kept), 0.0)


@dataclass(frozen=True, slots=True)
class _Base:
    """What all stages are made from: parameters of the fullest one's layers, activations, gathered parameters."""

    held: Held
    kept: Kept
    gathered: Num
    unpacked: Num


def _base(plan: TrainingPlan, stage: Stage) -> _Base:
    held = layer_parameters(plan, stage)
    return _Base(held, kept_activations(plan, stage), _gathered(plan, held), _unpacked(plan, held))


def training_memory(plan: TrainingPlan) -> Memory:
    """Memory of the fullest device, for every layout of the plan.

    With pipeline parallelism the first stage (embedding, most micro-batches in flight), one in the middle and the
    last (head, logits, one in flight) are compared and the largest is returned part by part.
    """
    layout, workload, model = plan.layout, plan.workload, plan.model
    defaults, fixed = plan.recipe, plan.stack.memory
    first, last = end_parameters(plan.model, layout)
    micro_batches = workload.global_batch / (layout.dp * layout.micro_batch)
    alone = layout.pp == 1
    logits: Num = 0.0
    if model.head:
        tokens = micro_tokens(plan)
        tokens = minimum(tokens, defaults.logits_chunk * 1.0) if defaults.logits_chunk else tokens
        logits = logits_bytes(tokens, model.vocab, layout.tp, defaults.logits_bytes)
        copied = model.tied_embeddings and defaults.copies_head and layout.pp == 1
        last = last + where(copied, model.embedding_parameters / layout.tp, 0.0)
    leads = has_leading(model)
    base = _base(plan, "first" if leads else "any")
    later = _base(plan, "later") if leads else base
    layers = real(model.layer_count)
    less = end_stage_layers(layers, layout.pp, layout.vp) / stage_layers(layers, layout.pp, layout.vp)
    in_flight = micro_batches_in_flight(layout.pp, layout.vp, micro_batches)
    behind = micro_batches_in_flight(maximum(layout.pp - 1.0, 1.0), layout.vp, micro_batches)
    at_first = _stage(plan, base, less, where(alone, first + last, first), in_flight, where(alone, logits, 0.0))
    at_middle = _stage(plan, later, where(layout.pp > 2, 1.0, 0.0), 0.0, behind, 0.0)
    at_last = _stage(plan, later, less, where(alone, first + last, last), minimum(in_flight, layout.vp * 1.0), logits)
    stage = _pick(at_first.allocated_bytes >= at_last.allocated_bytes, at_first, at_last)
    stage = _pick(stage.allocated_bytes >= at_middle.allocated_bytes, stage, at_middle)
    if fixed.loads_unsharded:
        stage = replace(stage, gathered_bytes=_at_loading(plan, base.held, first + last, stage))
    stage = replace(stage, workspace_bytes=stage.workspace_bytes + fixed.workspace, context_bytes=fixed.context)
    stage = replace(stage, generation_bytes=_generation(plan))
    if defaults.plans_buffers:
        stage = _planned(plan, stage, base.kept.running)
    if workload.optimizer in PAGED:
        return _paged(plan, stage)
    return _varied(plan, replace(stage, overhead_bytes=stage.allocated_bytes * fixed.fragmentation))


def _varied(plan: TrainingPlan, stage: Memory) -> Memory:
    """The stage with what samples of many lengths leave unused in the allocator's blocks.

    What it can give back counts as far as the device has room for it: it does so before it runs out of memory.
    """
    fixed = plan.recipe
    if plan.workload.packing or fixed.varied == 0.0:
        return stage
    passing = stage.activations_bytes + stage.logits_bytes + stage.gathered_bytes
    lost = passing * fixed.varied
    stays = stage.overhead_bytes + lost * (1.0 - fixed.returned)
    room = maximum(plan.usable_bytes - stage.peak_bytes - lost * (1.0 - fixed.returned), 0.0)
    return replace(stage, overhead_bytes=stays + minimum(lost * fixed.returned, room))


def _planned(plan: TrainingPlan, stage: Memory, running: Num) -> Memory:
    """The stage as a compiler lays it out: logits stand neither beside gradients nor beside a layer that is computed
    again, and of the activations that a policy names those stay that fit.

    running: of the layer that is differentiated [bytes]. Ignored: which of the others are computed again and which
    moved to the host, and so the host's memory and the time of either.
    """
    recompute = plan.layout.recompute
    later = stage.gradients_bytes + where(recompute == "none", 0.0, running)
    stage = replace(stage, logits_bytes=maximum(stage.logits_bytes - later, 0.0))
    over = maximum(stage.peak_bytes - plan.usable_bytes, 0.0)
    spare = maximum(stage.activations_bytes - running, 0.0)
    gone = where(recompute == "selective", minimum(over, spare), 0.0)
    return replace(stage, activations_bytes=stage.activations_bytes - gone)


def _merged(plan: TrainingPlan) -> Num:
    """What DoRA takes to find the lengths of a matrix's outputs: of the largest that has an adapter [bytes]."""
    largest: Num = 0.0
    for layer in plan.model.layers:
        for adapter in adapters(plan, layer) if plan.workload.dora else ():
            inputs, outputs = adapter_shape(adapter, plan.layout)
            largest = maximum(largest, MERGED_BYTES * inputs * outputs + ELEMENT_BYTES["fp32"] * inputs * inputs)
    return largest


def _unpacked(plan: TrainingPlan, held: Held) -> Num:
    """A quantized base as far as it stands widened to 16 bits: its largest matrix, and a layer where that is kept."""
    base, recipe = plan.workload.quantized_base, plan.recipe
    if not plan.lora or base is None:
        return _merged(plan)
    once = _merged(plan) + recipe.unpacked_bytes.get(base, 0.0) * largest_matrix(plan.model, plan.layout)
    if base not in recipe.unpacked_kept:
        return once
    layers = stage_layers(real(plan.model.layer_count), plan.layout.pp, plan.layout.vp)
    return once + ELEMENT_BYTES["bf16"] * (held.dense - held.dense_trained) / layers


def _generation(plan: TrainingPlan) -> Num:
    """What an engine that writes answers on the same devices takes of each: its share, or its weights in 16 bits where
    they are more. Ignored: an engine that sleeps while the step runs."""
    work, model = plan.workload, plan.model
    if work.generation != "colocated" or work.generation_fraction is None:
        return 0.0
    weights = ELEMENT_BYTES["bf16"] * (model.parameters + model.tower_parameters) / work.generation_tp
    return maximum(work.generation_fraction * plan.device.memory.capacity, weights)


def _paged(plan: TrainingPlan, stage: Memory) -> Memory:
    """The stage with states in managed memory: they take what the rest leaves of the device, the host has the others.

    They are not the allocator's, whose blocks waste nothing on them.
    """
    states = stage.optimizer_states_bytes
    rest = replace(stage, optimizer_states_bytes=0.0)
    rest = replace(rest, overhead_bytes=rest.allocated_bytes * plan.stack.memory.fragmentation)
    kept = minimum(states, maximum(plan.usable_bytes - rest.peak_bytes, 0.0))
    moved = (states - kept) * plan.devices_on_host
    return replace(rest, optimizer_states_bytes=kept, host_bytes=stage.host_bytes + moved)


def _at_loading(plan: TrainingPlan, held: Held, ends: Num, stage: Memory) -> Num:
    """Gathered bytes, raised where loading the whole model onto a device takes more than training its shard."""
    whole = (held.dense + held.expert + ends) * ELEMENT_BYTES["bf16"]
    rest = stage.allocated_bytes - stage.gathered_bytes
    more = whole + stage.weights_bytes - rest
    return where(plan.layout.zero >= 3, maximum(stage.gathered_bytes, more), stage.gathered_bytes)


def _pick(choose: Any, a: Memory, b: Memory) -> Memory:
    return Memory(**{name: where(choose, part, getattr(b, name)) for name, part in fields_of(a).items()})


def _stage(plan: TrainingPlan, made: _Base, share: Num, ends: Num, in_flight: Num, logits: Num) -> Memory:
    """Model states and activations of a stage with `ends` parameters beside its share of the fullest one's layers."""
    held = Held(*(held * share for held in fields_of(made.held).values()))
    layout, workload = plan.layout, plan.workload
    frozen = workload.workload == "lora"
    weight, gradient, master = state_bytes(plan)
    adapters = (held.dense_trained, held.expert_trained) if frozen else (0.0, 0.0)
    trained_dense = held.dense_trained if frozen else held.dense + ends
    dp, expert_dp = shard_devices(plan), expert_shard_devices(plan)

    def divided(dense: Num, expert: Num, each: float, stage: int) -> Num:
        shards, expert_shards = where(layout.zero >= stage, dp, 1.0), where(layout.zero >= stage, expert_dp, 1.0)
        return sharded_bytes(dense, each, shards) + sharded_bytes(expert, each, expert_shards)

    cast = frozen and workload.quantized_base in CAST
    wide = plan.recipe.quantized_ends_bytes if cast else weight
    base = divided(held.dense - adapters[0], held.expert - adapters[1], frozen_bytes(plan), 3)
    copies = trained_models(plan)
    weights = (base + divided(ends, 0.0, wide, 3) + divided(*adapters, weight, 3)) * copies
    others = divided(held.dense - adapters[0] + ends, held.expert - adapters[1], ELEMENT_BYTES["bf16"], 3)
    weights = weights + others * frozen_models(plan)
    states = divided(trained_dense, held.expert_trained, optimizer_bytes(plan) + master, 1) * copies
    gradients = divided(*_kept_gradients(plan, held, trained_dense), gradient, 2) * copies
    kept = made.kept.each * share * in_flight
    stands = minimum(kept, made.kept.beside) if workload.offload_activations else kept
    activations = (stands + made.kept.once) * copies
    in_step = plan.recipe.step_bytes if workload.optimizer in STEPS and not workload.optimizer_in_backward else 0.0
    stepping = divided(trained_dense, held.expert_trained, in_step, 1) * copies
    if not plan.recipe.plans_buffers:  # else the compiler lays them out
        logits = maximum(logits - made.kept.again, 0.0)  # the loss is done before a layer is computed again
    stays = 1.0 - 1.0 * workload.offload_parameters
    stay = stays * (1.0 - 1.0 * layout.offload_optimizer)
    moved = (weights + gradients) * (1.0 - stays) + states * (1.0 - stay) + (kept - stands) * copies
    return Memory(
        weights_bytes=weights * stays,
        gradients_bytes=gradients * stays,
        optimizer_states_bytes=states * stay,
        activations_bytes=activations,
        logits_bytes=logits,
        gathered_bytes=made.gathered,
        workspace_bytes=maximum(
            maximum(stepping * stay - activations - logits - made.gathered, 0.0), made.unpacked - logits
        ),
        overhead_bytes=0.0,
        context_bytes=0.0,
        host_bytes=moved * plan.devices_on_host,
    )


def _kept_gradients(plan: TrainingPlan, held: Held, dense: Num) -> tuple[Num, Num]:
    """Parameters, dense and in experts, whose gradients stand at once [1]: all that are trained, or those of one layer
    (or of table and head) where each is updated as soon as its gradients are there."""
    if not plan.workload.optimizer_in_backward:
        return dense, held.expert_trained
    layers = stage_layers(real(plan.model.layer_count), plan.layout.pp, plan.layout.vp)
    layer = (held.dense_trained + held.expert_trained) / layers
    share = layer / maximum(held.dense_trained + held.expert_trained, 1.0)
    return maximum(held.dense_trained * share, dense - held.dense_trained), held.expert_trained * share
