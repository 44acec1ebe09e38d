"""The facts that a framework may have a name for: options of a plan, and what follows from them and its model."""

from __future__ import annotations

from typing import Any

from llmplan.answer.resolve import AnyPlan
from llmplan.catalog.catalog import Catalog
from llmplan.errors import Fault, InputError
from llmplan.launch.checkpoints import checkpoint
from llmplan.launch.relations import RELATIONS
from llmplan.launch.shape import shape_facts
from llmplan.launch.target import Target
from llmplan.launch.tuning_relations import ALL
from llmplan.model.adapters import adapters_of
from llmplan.serving.plan import ServingPlan
from llmplan.setup.checks import expert_banks
from llmplan.training.plan import TrainingPlan


def facts_of(plan: AnyPlan, target: Target, catalog: Catalog) -> tuple[dict[str, Any], list[str]]:
    """Options of the plan and what follows from them, with notes."""
    facts, notes = plan.as_options(), [*target.notes]
    facts |= {"model_layers": plan.model.layer_count, "model_id": plan.model.name}
    facts |= {"model_experts": max(expert_banks(plan.model), default=0)}
    if any(setting.word in ("checkpoint", "model") for setting in target.settings):
        name, known = checkpoint(plan, catalog)
        facts["checkpoint"] = name
        if not known:
            notes.append(f"no checkpoint of {name} is known to the catalogue: put its name or path in its place")
    if target.shape:
        known_words = frozenset(setting.word for setting in target.shape)
        try:
            facts |= shape_facts(_spec(plan, catalog), known_words)
        except InputError as error:
            raise InputError([Fault(f"{target.name}: {fault.message}") for fault in error.faults]) from None
    if isinstance(plan, ServingPlan):
        facts |= _asked(plan)
    elif plan.lora:
        facts |= _modules(plan)
    for name in ("nodes", *target.relations):
        facts |= RELATIONS[name].further(facts)
    return facts, notes


def _spec(plan: AnyPlan, catalog: Catalog) -> Any:
    """The spec of the model, which the plan names or contains."""
    from llmplan.catalog.load_model import find_model
    from llmplan.documents import Document
    from llmplan.model.spec import model_spec

    model = plan.as_options()["model"]
    return model_spec(Document(model, "model")) if isinstance(model, dict) else find_model(model, catalog).spec


def _modules(plan: TrainingPlan) -> dict[str, Any]:
    """Names of the matrices that have adapters, and of all that may, as the model's own modules are called."""

    def names(targets: tuple[str, ...]) -> list[str]:
        found = (one for layer in plan.model.layers for one in adapters_of(plan.model, layer, targets))
        return list(dict.fromkeys(one.name.rpartition(".")[2] for one in found))

    targets = plan.workload.lora_targets
    every = names((ALL,))
    return {"module_names": [ALL] if targets == (ALL,) else names(targets), "all_names": every}


def _asked(plan: ServingPlan) -> dict[str, Any]:
    """Precisions that differ from the defaults of the engine."""
    from llmplan.serving.defaults import kv_precision

    work, device = plan.workload, plan.device
    found: dict[str, Any] = {}
    if not plan.as_released:
        found["weight_precision_asked"] = work.weight_precision
    if work.kv_precision != kv_precision(plan.model, work.activation_precision, plan.engine.policy, device):
        found["kv_precision_asked"] = work.kv_precision
    return found
