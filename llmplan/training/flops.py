"""FLOPs of a training step: what the model needs, and what is computed again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.attention import attended_tokens, attention_flops
from llmplan.formulas.numeric import real, where
from llmplan.training.flow import linear_share, sequence, source_share, step_sequences
from llmplan.training.methods import passes_without_gradients, trained_models
from llmplan.training.plan import TrainingPlan
from llmplan.training.recompute import recomputed_share

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def training_flops(plan: TrainingPlan) -> float:
    """FLOPs that a step needs, all devices [FLOP]: forward, and twice (once for LoRA) that backward, of each trained
    model, and the passes without gradients."""
    passes = trained_models(plan) * (2.0 if plan.lora else 3.0) + passes_without_gradients(plan)
    return model_flops(plan) * passes


def recomputed_flops(plan: TrainingPlan) -> Num:
    """FLOPs of one step that are computed a second time in the backward pass, all devices [FLOP]."""
    products, mixing = layer_flops(plan)
    part = products * plan.recipe.selective_share + (0.0 if plan.workload.flash_attention else mixing)
    whole = recomputed_share(plan) * (products + mixing)
    again = where(plan.layout.recompute == "selective", part, whole)
    return again * trained_models(plan)


def model_flops(plan: TrainingPlan) -> float:
    """FLOPs of one forward pass over the global batch [FLOP]: matrix products and attention.

    Causal attention counts the half that is needed. Embedding look-ups count nothing, the head does.
    """
    model, sequences = plan.model, step_sequences(plan)
    head = 2.0 * sequences * sequence(plan) * model.hidden * model.vocab if model.head else 0.0
    products, mixing = layer_flops(plan)
    return head + products + mixing


def layer_flops(plan: TrainingPlan) -> tuple[float, float]:
    """FLOPs of all layers in one forward pass over the global batch: matrix products, and what mixes tokens [FLOP]."""
    products = mixing = 0.0
    for layer in plan.model.layers:
        length = sequence(plan, layer)
        tokens = step_sequences(plan) * length * layer.count
        source = source_share(plan, layer)
        passes = ((x, x.active * linear_share(x, source)) for x in layer.linears)
        products += sum(2.0 * x.inputs * x.outputs * times for x, times in passes) * tokens
        for core in layer.cores:
            mixing += tokens * (core.token_flops + core.pair_flops * length / 2.0)
            if core.kind == "softmax":
                keys = real(plan.workload.seq_len) if core.cross else length
                context = None if core.context is None else real(core.context)
                attended = attended_tokens(keys, context, causal=core.causal, chunked=core.chunked)
                mixing += real(attention_flops(tokens, attended, core.heads, core.qk_dim, core.v_dim))
    return products, mixing
