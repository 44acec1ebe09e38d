"""How many tokens a layer sees: encoder and decoder of one model may have sequences of different lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import real
from llmplan.model.layer import Core, Layer, Linear
from llmplan.training.methods import sequences
from llmplan.training.plan import TrainingPlan
from llmplan.work.flow import Flow

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def sequence(plan: TrainingPlan, layer: Layer | None = None) -> float:
    """Tokens of a sequence in a layer, or (None) at the head [1]: target_len in a decoder that has an encoder."""
    workload = plan.workload
    decodes = plan.model.architecture == "encoder-decoder" and (layer is None or layer.side == "decoder")
    return real(workload.target_len or workload.seq_len) if decodes else real(workload.seq_len)


def micro_tokens(plan: TrainingPlan, layer: Layer | None = None) -> Num:
    """Tokens of one micro-batch on one device, in a layer or at the head, before sequence parallelism [1]."""
    return plan.layout.micro_batch * sequences(plan) * sequence(plan, layer) / plan.layout.cp


def layer_flow(plan: TrainingPlan, layer: Layer) -> Flow:
    """What one micro-batch brings to a layer on one device."""
    source = real(plan.workload.seq_len)
    return Flow(
        tokens=micro_tokens(plan, layer), length=sequence(plan, layer), source=source,
        source_tokens=plan.layout.micro_batch * sequences(plan) * source / plan.layout.cp,
    )  # fmt: skip


def source_share(plan: TrainingPlan, layer: Layer) -> float:
    """Tokens of the encoder's sequence for each one of the layer's own [1]: 1 where both are as long."""
    return real(plan.workload.seq_len) / sequence(plan, layer)


def linear_share(linear: Linear, source: float) -> float:
    """Tokens that pass a matrix for each one of its layer [1]: keys of cross attention are made of the source's."""
    return source if linear.role == "cross_kv" else 1.0


def saved_elements(core: Core, source: float) -> float:
    """Elements that a core keeps for each token of its layer [1]; cross attention's keys are the source's."""
    more = (source - 1.0) * core.kv_heads * (core.qk_dim + core.v_dim) if core.cross else 0.0
    return core.saved_elements + more


def step_tokens(plan: TrainingPlan) -> float:
    """Tokens that one step trains on, all devices: global_batch x sequences of an example x seq_len [1]; a target adds
    none."""
    return step_sequences(plan) * plan.workload.seq_len


def step_sequences(plan: TrainingPlan) -> float:
    """Sequences of one step, all devices [1]: two for each example of pairs."""
    return real(plan.workload.global_batch) * sequences(plan)
