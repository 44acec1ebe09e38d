"""What frameworks call the ways to fine-tune: adapters and where they go, stages, recipes, subcommands."""

from __future__ import annotations

from typing import Any

from llmplan.digits import whole_number
from llmplan.launch.quantities import Facts, whole

ALL = "all-linear"
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")


def adapters(facts: Facts) -> dict[str, Any]:
    """Matrices with adapters as PEFT, LLaMA-Factory, Axolotl and torchtune name them; `write` puts their names in."""
    names, every = list(facts.get("module_names") or ()), list(facts.get("all_names") or ())
    if not names:
        return {}
    whole_model = names == [ALL]
    listed = every if whole_model else names
    return {
        "target_modules": names, "target_names": ["all"] if whole_model else names,
        "all_linear": whole_model, "own_modules": None if whole_model else names,
        "attention_modules": [name.replace("o_proj", "output_proj") for name in listed if name in ATTENTION],
        "mlp_modules": set(MLP) <= set(listed),
    }  # fmt: skip


def of_adapters(facts: Facts) -> dict[str, Any]:
    """lora_targets, in any of their notations."""
    if str(facts.get("all_linear", "")).lower() == "true":
        return {"lora_targets": [ALL]}
    for fact in ("target_modules", "own_modules", "target_names"):
        if (value := facts.get(fact)) is not None:
            names = value if isinstance(value, list) else [part.strip() for part in str(value).split(",")]
            return {"lora_targets": [ALL] if names in (["all"], [ALL]) else names}
    if (attention := facts.get("attention_modules")) is not None:
        listed = attention if isinstance(attention, list) else [attention]
        named = [str(name).replace("output_proj", "o_proj") for name in listed]
        return {"lora_targets": [*named, *(MLP if str(facts.get("mlp_modules")).lower() == "true" else ())]}
    return {}


def stage_file(facts: Facts) -> dict[str, Any]:
    """The name of a ready-made DeepSpeed configuration: ZeRO stage and offload."""
    zero = whole(facts, "zero", 0) or 0
    if facts.get("offload_parameters"):
        return {"stage_file": "zero3_offload"}
    host = "_offload" if facts.get("offload_optimizer") and zero < 3 else ""
    return {"stage_file": f"zero{zero}{host or ('_states' if facts.get('offload_optimizer') else '')}"}


STAGES = 3


def of_stage_file(facts: Facts) -> dict[str, Any]:
    """zero and what is in host memory, as the name says."""
    stage, _, host = str(facts.get("stage_file", "zero0")).partition("_")
    zero = whole_number(stage.removeprefix("zero"), STAGES)
    if zero is None:
        return {}
    return {"zero": zero, "offload_parameters": bool(host) and zero == 3, "offload_optimizer": bool(host) and zero < 3}


LORA = "lora-"


def component(facts: Facts) -> dict[str, Any]:
    """The builder of a model, one for adapters and one without (torchtune)."""
    return {"component": (LORA if facts.get("workload") == "lora" else "") + str(facts.get("model_id"))}


def of_component(facts: Facts) -> dict[str, Any]:
    """Model and workload, as the builder says."""
    name = facts.get("component")
    if not isinstance(name, str):
        return {}
    return {"model": name.removeprefix(LORA), "workload": "lora" if name.startswith(LORA) else "finetune"}


def recipe(facts: Facts) -> dict[str, Any]:
    """The recipe (torchtune), and whether parameters are gathered again for the backward pass."""
    kind = "lora_finetune" if facts.get("workload") == "lora" else "full_finetune"
    place = "single_device" if (whole(facts, "devices") or 1) == 1 else "distributed"
    # 0 and 1 are read back as 3, and so refused
    return {"recipe": f"{kind}_{place}", "gathered_again": whole(facts, "zero", 0) != 2}


def of_recipe(facts: Facts) -> dict[str, Any]:
    """zero: parameters are sharded wherever there are several devices."""
    return {"zero": 2 if str(facts.get("gathered_again", True)).lower() == "false" else 3}


def subcommand(facts: Facts) -> dict[str, Any]:
    """The subcommand of ms-swift and of NeMo, and how the first tunes."""
    kind = facts.get("workload")
    return {"swift_command": "pt" if kind == "pretrain" else "sft", "tuner": "lora" if kind == "lora" else "full",
            "nemo_command": kind}  # fmt: skip


def of_swift_command(facts: Facts) -> dict[str, Any]:
    """The workload, as the subcommand and the tuner say."""
    tuner = facts.get("tuner", "lora")
    if tuner not in ("lora", "full"):
        return {}
    return {"workload": "lora" if tuner == "lora" else "pretrain" if facts.get("swift_command") == "pt" else "finetune"}


def of_nemo_command(facts: Facts) -> dict[str, Any]:
    """The workload, as the subcommand says."""
    return {"workload": facts["nemo_command"]} if facts.get("nemo_command") in ("pretrain", "finetune") else {}
