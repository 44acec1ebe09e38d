"""Names of frameworks that stand for several options of a plan, or the other way round.

`facts` are the options of a plan and beside them what follows from several of them, under the names of `DERIVED`. Each
relation goes both ways: from a plan's options to further facts, and from the facts that a file states to options. On
the way back an option may be missing; then the relation gives nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmplan.launch import serving_relations as serving
from llmplan.launch import training_relations as training
from llmplan.launch import tuning_relations as tuning
from llmplan.launch.quantities import Facts
from llmplan.records import dataclass


@dataclass(frozen=True, slots=True)
class Relation:
    """Further facts that follow from a plan's options, and options that follow from facts."""

    further: Callable[[Facts], dict[str, Any]]
    words: Callable[[Facts], dict[str, Any]]


def _nothing(_: Facts) -> dict[str, Any]:
    return {}


def _renamed(word: str, fact: str) -> Relation:
    """A fact that is an option under another name; `write` knows what it is."""
    return Relation(_nothing, lambda facts: {word: facts[fact]} if fact in facts else {})


RELATIONS = {
    "nodes": Relation(training.nodes, training.devices),
    "processes": Relation(training.processes, training.devices_of_processes),
    "accumulation": Relation(training.accumulation, training.global_batch),
    "micro_batch": Relation(training.accumulation, training.micro_batch),
    "device_batch": Relation(training.device_batch, training.of_device_batch),
    "experts_on": Relation(serving.experts_on, serving.experts_everywhere),
    "copied_experts": Relation(serving.copied_experts, serving.of_copied_experts),
    "attention_groups": Relation(serving.attention_groups, serving.of_attention_groups),
    "attention_alone": Relation(serving.attention_alone, serving.of_attention_alone),
    "virtual_stages": Relation(training.virtual_stages, training.of_virtual_stages),
    "virtual_layers": Relation(_nothing, training.of_virtual_layers),
    "stages_cut": Relation(training.stages_cut, _nothing),
    "recomputed": Relation(training.recomputed, training.of_recomputed),
    "shards": Relation(training.shards, training.of_shards),
    "host_cache_gib": Relation(serving.host_cache_gib, serving.of_host_cache_gib),
    "host_cache_rank": Relation(serving.host_cache_rank, serving.of_host_cache_rank),
    "slots": Relation(serving.slots, serving.of_slots),
    "weight_precision": _renamed("weight_precision", "weight_precision_asked"),
    "kv_precision": _renamed("kv_precision", "kv_precision_asked"),
    "in_host": Relation(training.in_host, training.of_in_host),
    "expert_tensor": Relation(training.expert_tensor, _nothing),
    "pipeline_batch": Relation(training.stage_batch, training.of_stage_batch),
    "looped": Relation(training.looped, training.of_looped),
    "adapters": Relation(tuning.adapters, tuning.of_adapters),
    "stage_file": Relation(tuning.stage_file, tuning.of_stage_file),
    "component": Relation(tuning.component, tuning.of_component),
    "recipe": Relation(tuning.recipe, tuning.of_recipe),
    "swift_command": Relation(tuning.subcommand, tuning.of_swift_command),
    "nemo_command": Relation(tuning.subcommand, tuning.of_nemo_command),
    "model_id": _renamed("model", "model_id"),
    "checkpoint": _renamed("model", "checkpoint"),
}
"""By the name that a target's entry has for it."""
DERIVED = frozenset({
    "nodes", "node_devices", "tasks", "processes", "accumulation", "device_batch", "expert_parallel", "engine_tp",
    "balances_experts", "expert_slots", "model_experts",
    "host_cache_gib", "host_cache_rank", "host_cache_gb", "host_cache_on", "attention_cp", "prefill_shared",
    "cp_strategy", "moe_dp", "engine_dp", "attention_dp",
    "dp_attention", "virtual_layers", "virtual_stages", "replicated", "sharded",
    "resharded", "shared_context",
    "weight_precision_asked", "kv_precision_asked", "checkpoint", "model_id", "in_host", "expert_tp", "local_batch",
    "stage_batch", "schedule", "stage_layers", "target_modules", "target_names", "all_linear", "own_modules",
    "attention_modules", "mlp_modules", "stage_file", "component", "recipe", "gathered_again", "swift_command", "tuner",
    "nemo_command", "recompute_way", "recompute_number",
    "stages_cut", "last_layers",
})  # fmt: skip
"""Names of facts that are no options of a plan."""
