"""What a framework cannot express of a plan: options that it lacks, or that would be read back differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmplan.answer.resolve import AnyPlan
from llmplan.launch import pairs
from llmplan.launch.facts import words_of
from llmplan.launch.target import Setting, Target
from llmplan.launch.tuning_relations import ALL
from llmplan.records import names
from llmplan.serving.plan import ServingPlan
from llmplan.setup.layout import Layout
from llmplan.training.plan import TrainingPlan

ENGINE = (
    "tp", "pp", "cp", "ep", "dp", "memory_fraction", "max_model_len", "max_num_seqs", "max_num_batched_tokens",
    "block_size", "enforce_eager", "speculation", "draft_tokens", "draft_model", "prefill_devices",
    "gpu_layers", "kv_offloading_size", "dcp", "batch_wait_iterations", "redundant_experts",
)  # fmt: skip
"""Options of a deployment that are of its engine; the others are of its requests. Precisions are asked for apart."""
NAMED = {
    "component": "model",
    "model_id": "model",
    "stage_file": "zero and what is in host memory",
    "stages_cut": "layers over stages",
}
"""Facts that are no options of a plan, as a person knows them."""
NONE = ("none", "false", "1", "0")
"""Values with which an option asks for nothing."""


def faults_of(
    plan: AnyPlan, target: Target, facts: Mapping[str, Any], items: list[pairs.Item], settings: tuple[Setting, ...]
) -> list[str]:
    """Faults for options that the framework lacks, and for those that would be read back differently."""
    options = plan.as_options()
    if options.get("workload", "pretrain") not in target.workloads:
        return [f"is for {' and '.join(target.workloads)}, and the workload is {options.get('workload')}"]
    wrong = dict.fromkeys(pairs.unsayable(settings, facts))
    whole = all(name in options for name in wrong)  # else options are missing because what they follow from is
    back = words_of(target, None, items, {"model_experts": facts["model_experts"]}).words
    for name in _decided(plan):
        value = options.get(name)
        if _idle(name, options):
            continue
        if value is None or name in target.elsewhere or f"{name}_asked" in facts or name in wrong:
            continue
        got = back.get(name)
        silent = any(setting.word == name and pairs.plain(value) in setting.silent for setting in settings)
        if name == "lora_targets" and _same_modules(got, facts):
            continue
        missing = (
            whole and got is None and not silent and pairs.plain(value) not in NONE and name not in _derivable(target)
        )
        if missing or (got is not None and not pairs.same(settings, name, got, value)):
            wrong[name] = None
    return [_fault(target, name, facts.get(name), back.get(name)) for name in wrong]


def _same_modules(got: Any, facts: Mapping[str, Any]) -> bool:
    """Whether names select the same matrices as the plan."""
    asked: list[str] = facts["module_names"]
    every: list[str] = facts["all_names"]
    meant = (sorted(asked), sorted(every if asked == [ALL] else asked))
    return isinstance(got, list) and sorted(map(str, got)) in meant


def _idle(name: str, options: Mapping[str, Any]) -> bool:
    """Whether an option has no effect in this plan."""
    if name == "sequence_parallel":
        return bool(options.get("tp") == 1)
    if name == "zero":
        return bool(options.get("devices") == 1)
    if name == "draft_tokens":
        return bool(options.get("speculation", "none") == "none")
    return name == "offload_optimizer" and bool(options.get("offload_parameters"))


def _decided(plan: AnyPlan) -> tuple[str, ...]:
    """Options that affect how it runs."""
    if isinstance(plan, ServingPlan):
        return ENGINE
    assert isinstance(plan, TrainingPlan)
    own = tuple(name for name in names(plan.workload) if name != "tokens")
    return (*names(Layout), *own)


def _derivable(target: Target) -> frozenset[str]:
    """Options that follow from the number of devices, which the launcher or another option gives."""
    return frozenset(
        {"dp", "global_batch"} if {"accumulation", "micro_batch", "device_batch"} & {*target.relations} else {"dp"}
    )


def _fault(target: Target, name: str, value: Any, got: Any) -> str:
    word = name.removesuffix("_asked")
    shown = pairs.plain(value)
    why = target.cannot.get(word) or (f"it is {pairs.plain(got)}" if got is not None else "it has no option for it")
    return f"{NAMED.get(word, word)} {shown}: {why}"
