"""Memory of training on one device: the fullest pipeline stage, part by part.

All functions take a plan whose layout holds numbers, or arrays that broadcast against each other.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from llmplan.formulas.activations import layer_activation_bytes, logits_bytes, score_bytes
from llmplan.formulas.attention import attended_tokens
from llmplan.formulas.numeric import maximum, minimum, where
from llmplan.formulas.pipeline import end_stage_layers, micro_batches_in_flight, stage_layers
from llmplan.formulas.states import expert_parts, lora_parameters, sharded_bytes, split_parts
from llmplan.plan.model import Layer, Linear
from llmplan.plan.plan import Plan
from llmplan.planner.rates import ELEMENT_BYTES
from llmplan.planner.training.tokens import micro_tokens, saved_elements, sequence, source_share

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

# Bytes of a parameter's optimizer states beside the master weight: Kingma & Ba 2014 (two moments), 8-bit Adam
# (Dettmers et al. 2021, arXiv 2110.02861: two moments of 1 byte), Lion and momentum (one), Muon (one for
# matrices; its embeddings under Adam are ignored), Adafactor (row and column sums: nothing to speak of).
OPTIMIZER_BYTES = {
    "adam": 8.0, "adamw": 8.0, "lamb": 8.0, "adam-8bit": 2.0, "momentum": 4.0, "lion": 4.0, "muon": 4.0,
    "sgd": 0.0, "adafactor": 0.0,
}  # fmt: skip
_PARAMETERS_AT_ONCE = 2.0  # layers whose gathered parameters stand at once under ZeRO-3: the current and the next


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
        """What the device must hold: reserved and the process's context."""
        return self.reserved_bytes + self.context_bytes

    def parts(self) -> dict[str, Num]:
        """Parts that sum to `peak_bytes`."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "host_bytes"}


@dataclass(frozen=True, slots=True)
class Held:
    """Parameters that one device holds: dense, in experts, and of those, trained ones [1]."""

    dense: Num
    expert: Num
    dense_trained: Num
    expert_trained: Num


def local_parameters(linear: Linear, layout: Any) -> Num:
    """Parameters of one matrix (or bank) on one device, after tensor and expert parallelism [1]."""
    if linear.routed:
        return linear.parameters / minimum(expert_parts(layout.tp, layout.ep), linear.experts * layout.tp)
    if linear.split == "none":
        return float(linear.parameters)
    bias = linear.outputs * linear.bias if linear.split == "row" else 0.0
    return (linear.parameters - bias) / split_parts(layout.tp, float(linear.split_limit)) + bias


def adapter_parameters(layer: Layer, plan: Plan) -> float:
    """Parameters of LoRA adapters in one layer, copied over tensor parallelism [1]."""
    rank = plan.workload.lora_rank
    if plan.workload.workload != "lora" or rank is None:
        return 0.0
    targets = lora_targets(plan)
    chosen = [linear for linear in layer.linears if linear.name in targets]
    return sum(linear.experts * float(lora_parameters(linear.inputs, linear.outputs, rank)) for linear in chosen)


def lora_targets(plan: Plan) -> tuple[str, ...]:
    """Names of the matrices that have adapters."""
    defaults = plan.stack.training
    return plan.workload.lora_targets or (defaults.lora_targets if defaults else ())


def layers_on_stage(plan: Plan, layer: Layer) -> Num:
    """Layers of this group on the fullest stage, the groups spread evenly [1]."""
    layout, total = plan.layout, plan.model.layer_count
    fullest = stage_layers(float(total), layout.pp, layout.vp)
    return fullest * (layer.copies / total)


def layer_parameters(plan: Plan) -> Held:
    """Parameters of the layers of the fullest stage on one device [1]."""
    frozen = plan.workload.workload == "lora"
    dense: Num = 0.0
    expert: Num = 0.0
    trained: Num = 0.0
    for layer in plan.model.layers:
        count = layers_on_stage(plan, layer)
        banks = sum((local_parameters(x, plan.layout) for x in layer.linears if x.routed), 0.0)
        rest = sum(
            (local_parameters(x, plan.layout) for x in layer.linears if not x.routed), float(layer.extra_parameters)
        )
        adapters = adapter_parameters(layer, plan)
        dense, expert, trained = dense + count * (rest + adapters), expert + count * banks, trained + count * adapters
    return Held(dense, expert, trained, 0.0) if frozen else Held(dense, expert, dense, expert)


def end_parameters(plan: Plan) -> tuple[Num, Num]:
    """Parameters before the first layer and after the last on one device [1], each on its own stage.

    Under pipeline parallelism a tied table stands on both ends.
    """
    model, layout = plan.model, plan.layout
    first = model.embedding_parameters / layout.tp + model.position_parameters
    tied_copy = where(layout.pp > 1, model.embedding_parameters / layout.tp, 0.0) if model.tied_embeddings else 0.0
    last = model.head_parameters / layout.tp + model.final_parameters + tied_copy
    return first, last


def activation_bytes_per_layer(plan: Plan, layer: Layer, *, scores: bool = True) -> Num:
    """Activations that one layer keeps for one micro-batch [bytes]; scores: keep those of unfused attention."""
    layout, workload = plan.layout, plan.workload
    defaults = plan.stack.training
    assert defaults is not None
    # A frozen matrix needs its input for an adapter's gradient only; quantized ones keep it all the same
    # (bitsandbytes' MatMul4Bit saves both operands).
    frozen = workload.workload == "lora" and workload.quantized_base is None
    targets = lora_targets(plan)
    tokens = micro_tokens(plan, layer)
    copied: Num = float(layer.norms * layer.hidden) * defaults.norm_saves
    divided: Num = layer.activation_elements * defaults.activation_saves
    routed_tokens = tokens / minimum(layout.tp, layout.ep)
    routed: Num = 0.0
    narrow = min(ELEMENT_BYTES[workload.precision] / 2.0, 1.0) if defaults.narrow_inputs else 1.0
    for linear in layer.linears:
        if not linear.saves_input or (frozen and linear.name not in targets and not linear.routed):
            continue
        if linear.routed:
            routed = routed + narrow * linear.active * linear.inputs / where(
                linear.split == "row", expert_parts(layout.tp, layout.ep) / layout.ep, 1.0
            )
        elif linear.split == "row":
            divided = divided + linear.inputs * narrow
        else:
            copied = copied + linear.inputs * narrow
    kept_scores: Num = 0.0
    for core in layer.cores:
        divided = divided + saved_elements(core, source_share(plan, layer))
        if core.scores and core.kind == "softmax" and not workload.flash_attention and scores:
            keys = float(workload.seq_len) if core.cross else sequence(plan, layer)
            attended = attended_tokens(keys, core.context, causal=False)
            kept_scores = kept_scores + score_bytes(
                tokens, attended, core.heads, layout.tp, 5.0 if defaults.dropout else 2.0
            )
    masks = float(layer.residuals * layer.hidden) if defaults.dropout else 0.0
    element = ELEMENT_BYTES["fp32"] if workload.precision in ("fp32", "tf32") else ELEMENT_BYTES["bf16"]
    sequence_parallel = 1.0 * layout.sequence_parallel
    dense = layer_activation_bytes(tokens, copied, divided, masks, kept_scores, layout.tp, sequence_parallel, element)
    return dense + routed_tokens * routed * element


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a stage holds beside its states: activations of the fullest for each micro-batch in flight, others once,
    and gathered parameters [bytes]."""

    each: Num
    once: Num
    gathered: Num


def _kept(plan: Plan, held: Held) -> _Kept:
    """Activations by the recomputation chosen: what is kept, and what the layer computed again takes meanwhile."""
    layout, workload, model = plan.layout, plan.workload, plan.model
    defaults = plan.stack.training
    assert defaults is not None
    element = ELEMENT_BYTES["fp32"] if workload.precision in ("fp32", "tf32") else ELEMENT_BYTES["bf16"]
    copies = 1.0 + 1.0 * layout.sequence_parallel * (layout.tp - 1.0)
    whole: Num = 0.0
    selective: Num = 0.0
    border: Num = 0.0
    largest: Num = 0.0
    dropped: Num = 0.0
    for layer in model.layers:
        count = layers_on_stage(plan, layer) * (layer.count / layer.copies)
        full = activation_bytes_per_layer(plan, layer)
        kept = activation_bytes_per_layer(plan, layer, scores=False) * (1.0 - defaults.selective_share)
        whole, selective = whole + count * full, selective + count * kept
        border = border + count * micro_tokens(plan, layer) * layer.hidden * element / copies
        largest, dropped = maximum(largest, full), maximum(dropped, full - kept)
    embeddings = micro_tokens(plan, model.layers[0]) * model.hidden * element / copies
    is_full, is_selective = layout.recompute == "full", layout.recompute == "selective"
    again = defaults.recompute_copies * where(is_full, largest, where(is_selective, dropped, 0.0))
    each = where(is_full, border, where(is_selective, selective, whole))
    return _Kept(each, again + embeddings, _gathered(plan, held))


def _gathered(plan: Plan, held: Held) -> Num:
    """Parameters gathered for the running layer under ZeRO-3, and its gradients before they are reduced [bytes]."""
    layout = plan.layout
    layers = stage_layers(float(plan.model.layer_count), layout.pp, layout.vp)
    one = (held.dense + held.expert) / layers
    first, last = end_parameters(plan)
    unit = maximum(one, maximum(first, last))
    trained = (held.dense_trained + held.expert_trained) / (held.dense + held.expert)
    bytes_each = ELEMENT_BYTES["bf16"] * (_PARAMETERS_AT_ONCE * one + (unit - one) + one * trained)
    return where(layout.zero >= 3, bytes_each, 0.0)


def training_memory(plan: Plan) -> Memory:
    """Memory of the fullest device, for every layout of the plan.

    With pipeline parallelism the first stage (embedding, most micro-batches in flight), one in the middle and the
    last (head, logits, one in flight) are compared and the largest is returned part by part.
    """
    layout, workload, model = plan.layout, plan.workload, plan.model
    defaults, fixed = plan.stack.training, plan.stack.memory
    assert defaults is not None
    held = layer_parameters(plan)
    first, last = end_parameters(plan)
    micro_batches = workload.global_batch / (layout.dp * layout.micro_batch)
    alone = layout.pp == 1
    logits: Num = 0.0
    if model.head:
        tokens = micro_tokens(plan)
        tokens = minimum(tokens, defaults.logits_chunk * 1.0) if defaults.logits_chunk else tokens
        logits = logits_bytes(tokens, model.vocab, layout.tp, defaults.logits_bytes)
    kept = _kept(plan, held)
    layers = float(model.layer_count)
    less = end_stage_layers(layers, layout.pp, layout.vp) / stage_layers(layers, layout.pp, layout.vp)
    in_flight = micro_batches_in_flight(layout.pp, layout.vp, micro_batches)
    behind = micro_batches_in_flight(maximum(layout.pp - 1.0, 1.0), layout.vp, micro_batches)
    at_first = _stage(plan, held, kept, less, where(alone, first + last, first), in_flight, where(alone, logits, 0.0))
    at_middle = _stage(plan, held, kept, where(layout.pp > 2, 1.0, 0.0), 0.0, behind, 0.0)
    at_last = _stage(
        plan, held, kept, less, where(alone, first + last, last), minimum(in_flight, layout.vp * 1.0), logits
    )
    stage = _pick(at_first.allocated_bytes >= at_last.allocated_bytes, at_first, at_last)
    stage = _pick(stage.allocated_bytes >= at_middle.allocated_bytes, stage, at_middle)
    if fixed.loads_unsharded:
        stage = replace(stage, gathered_bytes=_at_loading(plan, held, first + last, stage))
    stage = replace(stage, workspace_bytes=fixed.workspace, context_bytes=fixed.context)
    return replace(stage, overhead_bytes=stage.allocated_bytes * fixed.fragmentation)


def _at_loading(plan: Plan, held: Held, ends: Num, stage: Memory) -> Num:
    """Gathered bytes, raised where loading the whole model onto a device takes more than training its shard."""
    whole = (held.dense + held.expert + ends) * ELEMENT_BYTES["bf16"]
    rest = stage.allocated_bytes - stage.gathered_bytes
    more = whole + stage.weights_bytes - rest
    return where(plan.layout.zero >= 3, maximum(stage.gathered_bytes, more), stage.gathered_bytes)


def _pick(choose: Any, a: Memory, b: Memory) -> Memory:
    names = [field.name for field in fields(Memory)]
    return Memory(**{name: where(choose, getattr(a, name), getattr(b, name)) for name in names})


def _stage(plan: Plan, held: Held, kept: _Kept, share: Num, ends: Num, in_flight: Num, logits: Num) -> Memory:
    """Model states and activations of a stage with `ends` parameters beside its share of the fullest one's layers."""
    held = Held(*(getattr(held, field.name) * share for field in fields(Held)))
    layout, workload = plan.layout, plan.workload
    defaults = plan.stack.training
    assert defaults is not None
    frozen = workload.workload == "lora"
    weight, gradient, master = state_bytes(plan)
    base = ELEMENT_BYTES[workload.quantized_base] if frozen and workload.quantized_base else weight
    adapters = held.dense_trained if frozen else 0.0
    trained_dense = adapters if frozen else held.dense + ends
    dp = layout.dp * layout.cp * 1.0
    expert_dp = maximum(1.0, dp * layout.tp / expert_parts(layout.tp, layout.ep))

    def divided(dense: Num, expert: Num, each: float, stage: int) -> Num:
        shards, expert_shards = where(layout.zero >= stage, dp, 1.0), where(layout.zero >= stage, expert_dp, 1.0)
        return sharded_bytes(dense, each, shards) + sharded_bytes(expert, each, expert_shards)

    weights = divided(held.dense - adapters, held.expert, base, 3) + divided(ends + adapters, 0.0, weight, 3)
    states = divided(trained_dense, held.expert_trained, OPTIMIZER_BYTES[workload.optimizer] + master, 1)
    offloaded = 1.0 * layout.offload_optimizer
    return Memory(
        weights_bytes=weights,
        gradients_bytes=divided(trained_dense, held.expert_trained, gradient, 2),
        optimizer_states_bytes=states * (1.0 - offloaded),
        activations_bytes=kept.each * share * in_flight + kept.once,
        logits_bytes=logits,
        gathered_bytes=kept.gathered,
        workspace_bytes=0.0,
        overhead_bytes=0.0,
        context_bytes=0.0,
        host_bytes=states * offloaded * plan.cluster.devices_per_node,
    )


def state_bytes(plan: Plan) -> tuple[float, float, float]:
    """Bytes of a parameter as held, of its gradient, and of its master copy, by precision and stack."""
    defaults = plan.stack.training
    assert defaults is not None
    if plan.workload.precision in ("fp32", "tf32"):
        return 4.0, 4.0, 0.0
    gradient, master = defaults.gradient_bytes, defaults.master_bytes
    if plan.workload.precision != "fp16":
        gradient = gradient if defaults.gradient_bytes_bf16 is None else defaults.gradient_bytes_bf16
        master = master if defaults.master_bytes_bf16 is None else defaults.master_bytes_bf16
    return defaults.parameter_bytes, gradient, master
