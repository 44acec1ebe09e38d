"""How much of a stage is computed again in the backward pass: every layer, or the first few of each chunk.

All functions take a plan whose layout holds numbers, or arrays that broadcast against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import minimum, real, where
from llmplan.formulas.pipeline import stage_layers
from llmplan.training.plan import TrainingPlan

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


SHARDS = 2
"""Stage of ZeRO from which gradients are sharded (FSDP's SHARD_GRAD_OP)."""


def chunk_layers(plan: TrainingPlan) -> Num:
    """Layers of the fullest virtual stage, of which `recompute_layers` counts [1]."""
    layout = plan.layout
    return stage_layers(real(plan.model.layer_count), layout.pp, layout.vp) / layout.vp


def recomputed_share(plan: TrainingPlan) -> Num:
    """Share of a stage's layers that drop their activations and run again whole [1].

    min(1, recompute_layers / layers of a virtual stage) under `full`, 0 otherwise: `--recompute-method block` of
    Megatron-LM, whose `--recompute-num-layers` counts in each virtual stage. Ignored: that a stage with fewer layers
    than the fullest drops a larger share.
    """
    layers = plan.layout.recompute_layers
    share = 1.0 if layers is None else minimum(1.0, layers / chunk_layers(plan))
    share = where(plan.layout.recompute == "full", share, 0.0)
    return where(plan.layout.zero >= SHARDS, 1.0, share) if plan.recipe.sharded_recompute else share
