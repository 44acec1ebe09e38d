"""Activations that one device keeps for the backward pass.

All functions take a plan whose layout holds numbers, or arrays that broadcast against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmplan.formulas.activations import layer_activation_bytes, score_bytes
from llmplan.formulas.attention import attended_tokens
from llmplan.formulas.numeric import maximum, minimum, real, where
from llmplan.formulas.states import expert_parts
from llmplan.machine.precision import ELEMENT_BYTES
from llmplan.model.adapters import ALL_LINEAR, Adapter, adapters_of
from llmplan.model.layer import Layer
from llmplan.records import dataclass
from llmplan.software.recipe import TrainingRecipe
from llmplan.training.flow import micro_tokens, saved_elements, sequence, source_share
from llmplan.training.plan import TrainingPlan
from llmplan.training.recompute import recomputed_share
from llmplan.training.states import adapters
from llmplan.work.states import Stage, layers_on_stage

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

_LAYERS_AT_ONCE = 2.0  # whose activations stand while they move: the one at work, and one on its way


def inputs_read(layer: Layer, found: Sequence[Adapter]) -> set[str]:
    """Matrices whose kept input some adapter reads: its own, or the one listed before it with the same input."""
    needing = {adapter.linear.name for adapter in found}
    read, keeper = set(), ""
    for linear in layer.linears:
        keeper = linear.name if linear.saves_input else keeper
        if linear.name in needing:
            read.add(keeper)
    return read


MAGNITUDE_OUTPUTS = 2.0
"""Outputs kept under DoRA for the gradient of the magnitudes [1]: of the base and of the adapter (PEFT
`tuners/lora/dora.py`, `forward`)."""


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Elements of 16 bits that a token keeps of the inputs of matrices, by how tensor parallelism divides them [1]."""

    copied: float = 0.0
    divided: float = 0.0


def _own_inputs(plan: TrainingPlan, layer: Layer) -> _Inputs:
    """What adapters, and matrices of a quantized base, keep of their inputs each for itself."""
    recipe, base = plan.recipe, plan.workload.quantized_base
    kept = [(one.linear, recipe.adapter_input_bytes * one.times) for one in adapters(plan, layer)]
    if plan.lora and base is not None:
        each, every = recipe.quantized_input_bytes.get(base, 0.0), adapters_of(plan.model, layer, (ALL_LINEAR,))
        kept += [(one.linear, each) for one in every if not one.linear.routed]
    wide = ELEMENT_BYTES["bf16"]
    copied = sum(linear.inputs * each / wide for linear, each in kept if linear.split != "row")
    divided = sum(linear.inputs * each / wide for linear, each in kept if linear.split == "row")
    if not plan.workload.dora:
        return _Inputs(copied, divided)
    for one in adapters(plan, layer):
        outputs = MAGNITUDE_OUTPUTS * one.outputs
        copied, divided = (copied, divided + outputs) if one.linear.split == "column" else (copied + outputs, divided)
    return _Inputs(copied, divided)


def _score(recipe: TrainingRecipe) -> float:
    """Bytes kept of a score of unfused attention [bytes]; Korthikanti et al. 2022, section 4.1."""
    if recipe.dropout:
        return 5.0  # the softmax's 2, the mask's 1, the dropout's 2
    return 2.0 if recipe.score_bytes is None else recipe.score_bytes


def activation_bytes_per_layer(plan: TrainingPlan, layer: Layer, *, scores: bool = True, fused: bool = False) -> Num:
    """Activations that one layer keeps for one micro-batch [bytes]; scores: keep those of unfused attention; fused: as
    fused kernels do, whatever the stack's own keep."""
    layout, workload = plan.layout, plan.workload
    defaults = plan.recipe
    norm_saves, activation_saves = (1.0, 1.0) if fused else (defaults.norm_saves, defaults.activation_saves)
    # A frozen matrix needs its input for an adapter's gradient only; quantized ones keep it all the same
    # (bitsandbytes' MatMul4Bit saves both operands) or a copy of their own, but those of 8-bit floats do not
    # (Transformer Engine's linear saves the input where the weight trains).
    base = workload.quantized_base
    frozen = workload.workload == "lora" and (base in (None, "fp8") or base in defaults.quantized_input_bytes)
    read = inputs_read(layer, adapters(plan, layer)) if defaults.adapter_input_bytes == 0.0 else set()
    own = _own_inputs(plan, layer)
    tokens = micro_tokens(plan, layer)
    copied: Num = real(layer.norms * layer.hidden) * norm_saves + own.copied
    divided: Num = layer.activation_elements * activation_saves + own.divided
    routed_tokens = tokens / minimum(layout.tp, layout.ep)
    routed: Num = 0.0
    gathered: Num = 0.0
    narrow = min(ELEMENT_BYTES[workload.precision] / 2.0, 1.0) if defaults.narrow_inputs else 1.0
    for linear in layer.linears:
        if not linear.saves_input or (frozen and linear.name not in read and not linear.routed):
            continue
        if linear.routed:
            routed = routed + narrow * linear.active * linear.inputs / where(
                linear.split == "row", expert_parts(layout.tp, layout.ep) / layout.ep, 1.0
            )
        elif linear.split == "row":
            divided = divided + linear.inputs * narrow
        elif defaults.whole_inputs and linear.split == "column":
            gathered = gathered + linear.inputs * narrow
        else:
            copied = copied + linear.inputs * narrow
    kept_scores: Num = 0.0
    for core in layer.cores:
        divided = divided + saved_elements(core, source_share(plan, layer))
        if core.scores and core.kind == "softmax" and not workload.flash_attention and scores:
            keys = real(workload.seq_len) if core.cross else sequence(plan, layer)
            attended = attended_tokens(keys, core.context, causal=False)
            kept_scores = kept_scores + score_bytes(tokens, attended, core.heads, layout.tp, _score(defaults))
    masks = real(layer.residuals * layer.hidden) if defaults.dropout else 0.0
    element = ELEMENT_BYTES["fp32"] if workload.precision in ("fp32", "tf32") else ELEMENT_BYTES["bf16"]
    sequence_parallel = 1.0 * layout.sequence_parallel
    dense = layer_activation_bytes(tokens, copied, divided, masks, kept_scores, layout.tp, sequence_parallel, element)
    return dense + (routed_tokens * routed + tokens * gathered) * element


@dataclass(frozen=True, slots=True)
class Kept:
    """Activations of the fullest stage: for each micro-batch in flight, and once [bytes].

    running: of the layer that is differentiated, whole: what stands where all else is computed again or moved away;
    beside: where kept ones move to the host, those of a layer that go or come and of one that is at work;
    again: of `once`, what is computed again.
    """

    each: Num
    once: Num
    running: Num
    beside: Num
    again: Num


def kept_activations(plan: TrainingPlan, stage: Stage = "any") -> Kept:
    """Activations by the recomputation chosen: what is kept, and what the layer computed again takes meanwhile."""
    layout, workload, model = plan.layout, plan.workload, plan.model
    defaults = plan.recipe
    element = ELEMENT_BYTES["fp32"] if workload.precision in ("fp32", "tf32") else ELEMENT_BYTES["bf16"]
    copies = 1.0 + 1.0 * layout.sequence_parallel * (layout.tp - 1.0)
    whole: Num = 0.0
    selective: Num = 0.0
    border: Num = 0.0
    largest: Num = 0.0
    dropped: Num = 0.0
    narrow: Num = 0.0
    for layer in model.layers:
        count = layers_on_stage(model, layer, layout, stage) * (layer.count / layer.copies)
        full = activation_bytes_per_layer(plan, layer)
        kept = activation_bytes_per_layer(plan, layer, scores=False) * (1.0 - defaults.selective_share)
        whole, selective = whole + count * full, selective + count * kept
        inputs = micro_tokens(plan, layer) * layer.hidden * element / copies
        border, narrow = border + count * inputs, maximum(narrow, inputs)
        # what a compiler computes again it does not hand from one pass to the other, and fuses
        alone = activation_bytes_per_layer(plan, layer, fused=True) if defaults.plans_buffers else full
        largest, dropped = maximum(largest, alone), maximum(dropped, full - kept)
    embeddings = micro_tokens(plan, model.layers[0]) * model.hidden * element / copies
    share, is_selective = recomputed_share(plan), layout.recompute == "selective"
    again = defaults.recompute_copies * where(share > 0.0, largest, where(is_selective, dropped, 0.0))
    each = where(is_selective, selective, share * border + (1.0 - share) * whole)
    beside = _LAYERS_AT_ONCE * where(is_selective, largest - dropped, where(share < 1.0, largest, narrow))
    return Kept(each, again + embeddings, defaults.recompute_copies * largest, beside, again)
