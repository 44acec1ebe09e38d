"""Plans drawn at random: every word of the vocabulary, every model, device and stack of the catalogue."""

from __future__ import annotations

import math
from functools import cache
from random import Random
from typing import Any

import yaml

from llmplan.files import builtin
from llmplan.report.schemas import json_schema
from llmplan.setup.options import FINE_TUNING, SERVING, TRAINING, VOCABULARY

RANGES = {
    "input_tokens": (1, 30_000), "output_tokens": (1, 5_000), "request_rate": (0.01, 300), "arrival_cv": (0.1, 5),
    "tokens": (1e8, 1e14), "epochs": (0.1, 10), "dataset_tokens": (1e8, 1e14), "audio_seconds": (1, 200),
    "price": (0.1, 20), "device_power": (50, 2000), "pue": (1, 2), "memory_fraction": (0.3, 1), "prefix_hit": (0, 0.99),
    "acceptance": (0.1, 0.99), "generation_fraction": (0.1, 0.9), "device_memory": (8e9, 3e11),
    "memory_reserve": (1e8, 2e10),
}  # fmt: skip
"""Ordinary values of what is no whole number; targets are times."""
TARGET = (0.001, 20)
WHOLE = {"seq_len": 2**15, "target_len": 2**13, "max_model_len": 2**17, "global_batch": 4096, "batch": 2048,
         "images": 8, "max_num_batched_tokens": 2**15, "max_num_seqs": 1024, "lora_rank": 256, "lora_adapters": 128,
         "steps": 10**6, "gpu_layers": 90, "turns": 12, "draft_tokens": 8, "zero": 3}  # fmt: skip
DEGREE = 8
TEXTS = {
    "lora_targets": ["q,kv", "q_proj,v_proj", "all-linear", "out,up,down,gate", "attention", "x"],
    "stack_version": ["0.6.3", "26", "2024-05", "x", "9" * 30, "1." * 40, "0.11.0", "2025-06"],
    "grid": ["usa", "fra", "57 gCO2e/kWh", "0 gCO2e/kWh"],
    "mtbf": ["50000 h", "llama-3", "1 ns", "1e300 h"], "api_price": ["0.5,1.5", "0,1", "1e300,1", "1"],
    "limits": ["max_days=60, min_mfu=0.35", "max_memory=80 GiB", "max_ttft=1 s, max_tpot=50 ms", "max_cost=1"],
    "image_size": ["1280x720", "448", "1x1", "100000x100000"], "draft_model": ["llama-3.2-1b", "qwen3-0.6b"],
}  # fmt: skip
SERVED: list[dict[str, Any]] = [  # what goes together, beside a plain deployment
    {"model": "llama-3.1-70b", "speculation": "eagle", "draft_tokens": 3}, {"length_spread": "constant"},
    {"model": "llama-3.1-8b", "speculation": "draft-model", "draft_model": "llama-3.2-1b",
     "acceptance": 0.7},
    {"model": "deepseek-v3-671b", "speculation": "mtp", "hardware": "h200-sxm-141gb", "devices": 16},
    {"model": "qwen3.5-27b", "images": 2, "image_size": "1280x720"}, {"model": "llama-3.2-11b-vision", "images": 1},
    {"model": "whisper-large-v3", "audio_seconds": 30, "hardware": "h100"}, {"turns": 5}, {"prefix_hit": 0.7},
    {"model": "llama-3.1-8b", "lora_adapters": 16, "lora_rank": 16},
    {"load": "open", "request_rate": 1, "max_ttft_p95": 2, "max_tpot_p99": 0.2},
    {"devices": 8, "prefill_devices": 4, "prefill_tp": 2}, {"devices": 8, "prefill_devices": 2, "decode_devices": 6},
    {"model": "llama-3.1-70b", "hardware": "rtx-4090", "devices": 1, "stack": "llama.cpp", "gpu_layers": 30,
     "weight_precision": "int4"}, {"load": "open", "request_rate": 3, "arrival": "gamma", "arrival_cv": 2},
    {"model": "TheBloke/Llama-2-7B-Chat-GGUF", "weight_precision": "int4", "stack": "llama.cpp"},
    {"stack": "vllm", "max_num_seqs": 64, "block_size": 16, "max_num_batched_tokens": 4096},
]  # fmt: skip
TRAINED: list[dict[str, Any]] = [
    {"workload": "lora", "lora_rank": 16, "quantized_base": "nf4"}, {"workload": "lora", "dora": True},
    {"workload": "finetune", "method": "dpo"}, {"workload": "finetune", "method": "grpo", "generation": "colocated"},
    {"workload": "finetune", "packing": False}, {"zero": 3, "offload_parameters": True}, {"zero": 3, "dp_replicate": 2},
    {"offload_optimizer": True}, {"recompute": "full", "recompute_layers": 2}, {"offload_activations": True},
    {"model": "mixtral-8x7b", "ep": 2}, {"model": "qwen3-30b-a3b", "ep": 8, "dp": 8}, {"model": "t5-large"},
]  # fmt: skip
RUN = ("price", "grid", "pue", "device_power", "devices_per_node")
ADAPTERS = {"lora_rank", "lora_targets", "dora", "quantized_base"}
DEGREES_OF_TRAINING = {"vp", "cp", "zero", "sequence_parallel", "micro_batch", "recompute", "recompute_layers",
                       "offload_optimizer", "offload_activations", "offload_parameters", "dp_replicate",
                       "memory_reserve"}  # fmt: skip


@cache
def ids(kind: str) -> list[str]:
    """What the catalogue has of a kind."""
    return sorted(path.stem for path in builtin(kind).glob("*.yaml") if path.stem != "aliases")


@cache
def stacks(part: str) -> list[str]:
    """Stacks that train (`training`), or serve (`policy`)."""
    return [one for one in ids("stacks") if yaml.safe_load((builtin("stacks") / f"{one}.yaml").read_text()).get(part)]


@cache
def fields() -> dict[str, dict[str, Any]]:
    """The schema of every word: with its panel, and the parts of its type together."""
    found = {}
    for name, told in json_schema("plan")["properties"].items():
        kinds = [*told["anyOf"], *told["anyOf"][0].get("anyOf", [])]
        found[name] = {"panel": VOCABULARY[name]["panel"]} | {
            key: part for kind in reversed(kinds) for key, part in kind.items()
        }
        found[name]["types"] = {kind.get("type") for kind in kinds}
    return found


def whole(random: Random, top: float) -> int:
    """A number up to `top`, small ones as often as large ones, often a power of two."""
    drawn = math.exp(random.uniform(0, math.log(top + 1)))
    return max(1, min(int(top), int(2 ** int(math.log2(drawn)) if random.random() < 0.7 else drawn)))


def word(random: Random, name: str, wild: bool) -> Any:
    """A value that a word may have; wild: up to what its type allows."""
    told = fields()[name]
    if name in TEXTS:
        return random.choice(TEXTS[name])
    if "enum" in told:
        return random.choice(told["enum"])
    if "boolean" in told["types"]:
        return random.random() < 0.5
    if "integer" in told["types"]:
        return whole(random, told["maximum"] if wild else WHOLE.get(name, DEGREE))
    if pool := {"hardware": ids("devices"), "stack": ids("stacks"), "cluster": ids("clusters")}.get(name):
        return random.choice(pool)
    low, high = RANGES.get(name, TARGET)
    if wild:
        low, high = (told.get(f"{end}imum", told.get(f"exclusive{end.capitalize()}imum")) for end in ("min", "max"))
        low, high = (low or 0.0) + 1e-9, (high or 1e18) * (1 - 1e-9)
    return math.exp(random.uniform(math.log(max(low, 1e-9)), math.log(high)))


def words_for(plan: dict[str, Any]) -> list[str]:
    """Words that mean something beside the workload of a plan."""
    serve, workload = plan["workload"] == "serve", plan["workload"]
    panels = {"Layout", SERVING if serve else TRAINING} | ({FINE_TUNING} if workload in ("finetune", "lora") else set())
    idle = (
        {"download", "workload"}
        | (DEGREES_OF_TRAINING if serve else set())
        | (set() if workload == "lora" else ADAPTERS)
    )
    return [name for name, told in fields().items() if told["panel"] in panels and name not in idle]


def ordinary(random: Random) -> dict[str, Any]:
    """A plan that mostly can be planned: degrees that divide the devices, a stack for the workload, and the like."""
    serve = random.random() < 0.5
    tp, pp, cp, dp = (2 ** random.randint(0, top) for top in (3, random.choice([0, 0, 3]), random.choice([0, 0, 1]), 4))
    plan: dict[str, Any] = {"model": random.choice(ids("models")), "hardware": random.choice(ids("devices")),
                            "devices": tp * pp * (1 if serve else cp) * dp}  # fmt: skip
    plan["workload"] = "serve" if serve else random.choice(["pretrain", "pretrain", "finetune", "lora"])
    if random.random() < 0.5:
        plan["hardware"] = random.choice(["h100", "a100", "h200", "b200", "mi300x", "tpu-v5p", "rtx-4090", "l40s"])
    if random.random() < 0.4:
        plan["stack"] = random.choice(stacks("policy" if serve else "training"))
    if random.random() < 0.5:
        plan |= {"tp": tp, "pp": pp} | ({} if serve else {"cp": cp})
    if serve:
        own = ["input_tokens", "output_tokens", "weight_precision", "kv_precision", "memory_fraction", "max_model_len"]
        plan["load"] = random.choice(["static", "closed", "closed", "saturated", "open"])
        plan |= {"batch": whole(random, 2048)} if plan["load"] in ("static", "closed") else {}
        plan |= {"request_rate": word(random, "request_rate", False)} if plan["load"] == "open" else {}
    else:
        own = ["precision", "optimizer", "recompute", "zero", "flash_attention", "sequence_parallel", "tokens", "mtbf"]
        micro = 2 ** random.randint(0, 2)
        plan |= {"micro_batch": micro, "global_batch": dp * micro * 2 ** random.randint(0, 5)}
        plan |= {"seq_len": 2 ** random.randint(4, 15)}
    plan |= {name: word(random, name, False) for name in (*own, *RUN) if random.random() < 0.15}
    if random.random() < 0.3:
        theme = random.choice(SERVED if serve else TRAINED)
        plan = {**plan, **theme}
    return plan


def anything(random: Random) -> dict[str, Any]:
    """A plan of any words of its workload, as often as not out of bounds or against each other."""
    plan, wild, share = ordinary(random), random.random() < 0.3, random.choice([0.02, 0.05, 0.2])
    known = words_for(plan) if random.random() < 0.8 else list(fields())
    for name in (*known, *RUN, "stack_version", "cluster", "stack"):
        if random.random() < share:
            plan[name] = word(random, name, wild and random.random() < 0.5)
    return plan


def drawn(random: Random) -> dict[str, Any]:
    """A plan, ordinary rather than not."""
    return ordinary(random) if random.random() < 0.8 else anything(random)
