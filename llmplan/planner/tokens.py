"""How many tokens a layer sees: encoder and decoder of one model may have sequences of different lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.plan.model import Layer
from llmplan.plan.plan import Plan

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def sequence(plan: Plan, layer: Layer | None = None) -> float:
    """Tokens of a sequence in a layer, or (None) at the head [1]: target_len in a decoder that has an encoder."""
    workload = plan.workload
    decodes = plan.model.architecture == "encoder-decoder" and (layer is None or layer.role == "decoder")
    return float(workload.target_len or workload.seq_len) if decodes else float(workload.seq_len)


def micro_tokens(plan: Plan, layer: Layer | None = None) -> Num:
    """Tokens of one micro-batch on one device, in a layer or at the head, before sequence parallelism [1]."""
    return plan.layout.micro_batch * sequence(plan, layer) / plan.layout.cp


def step_tokens(plan: Plan) -> float:
    """Tokens that one step trains on, all devices: global_batch x seq_len [1]; a target adds none."""
    return float(plan.workload.global_batch) * plan.workload.seq_len
