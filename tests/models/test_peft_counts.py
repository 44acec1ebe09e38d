"""Trainable parameters of LoRA against what PEFT counts, to the last one.

`peft_counts.csv`: what peft 0.21.2 counted (`get_nb_trainable_parameters`) on transformers 5.24.0, torch 2.13.0, on the
meta device, 2026-11-27, of the default configuration of a model type (`model_types.jsonl`) or of a checkpoint's config
(`hf_configs/`). `default` is PEFT's own choice of targets. Left out are types whose class is not the model that is read
here: decoders with attention to an encoder that is not there, heads of BERT's kind (their transform is linear too),
towers of images.
"""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from llmplan.model.adapters import adapters_of, has_target, target_names
from llmplan.model.huggingface import spec_of_config
from llmplan.model.huggingface_config import parse_config
from llmplan.model.lowering import lower
from llmplan.model.model import Model
from llmplan.work.states import adapter_parameters

HERE = Path(__file__).parent
with (HERE / "peft_counts.csv").open(encoding="utf-8", newline="") as file:
    COUNTED = list(csv.DictReader(file))
TYPES = {
    (entry := json.loads(line))["name"]: entry["config"]
    for line in (HERE / "model_types.jsonl").read_text(encoding="utf-8").splitlines()
}
COUNTED_AGAIN = ("llama", "phi3", "falcon", "gpt2", "gpt_neox", "bloom", "phi", "glm4", "mpt", "codegen", "gemma2",
                 "mixtral", "qwen2_moe", "minicpm3", "qwen3_5_text", "kimi_linear")  # fmt: skip


def config_of(name: str) -> dict[str, Any]:
    if name in TYPES:
        known: dict[str, Any] = TYPES[name]
        return known
    found: dict[str, Any] = json.loads((HERE / "hf_configs" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def read(name: str) -> Model:
    return lower(*spec_of_config(parse_config(json.dumps(config_of(name), indent=1), f"{name}.json")))


def ours(name: str, targets: str, rank: int) -> float:
    model, words = read(name), tuple(targets.split())
    return sum(
        layer.copies * adapter_parameters(adapter, rank)
        for layer in model.layers
        for adapter in adapters_of(model, layer, words)
    )


@pytest.mark.parametrize("row", COUNTED, ids=lambda row: f"{row['model']}-{row['targets']}-{row['rank']}")
def test_trainable_parameters_are_those_of_peft(row: dict[str, str]) -> None:
    assert ours(row["model"], row["targets"], int(row["rank"])) == int(row["trainable"])


def test_many_families_are_compared() -> None:
    assert len({row["model"] for row in COUNTED}) > len(COUNTED_AGAIN) * 4


@pytest.mark.parametrize("kind", COUNTED_AGAIN)
def test_peft_still_counts_the_same(kind: str) -> None:
    """Runs where torch, transformers and peft are installed (no requirement of this project)."""
    torch, peft = pytest.importorskip("torch"), pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    for row in COUNTED:
        if row["model"] != f"causal--{kind}":
            continue
        words = {key: value for key, value in config_of(row["model"]).items() if key != "model_type"}
        config = transformers.AutoConfig.for_model(kind, **words)
        asked = {"default": None, "all-linear": "all-linear"}.get(row["targets"], row["targets"].split())
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")
            model = transformers.AutoModelForCausalLM.from_config(config)
            adapted = peft.get_peft_model(model, peft.LoraConfig(r=int(row["rank"]), target_modules=asked))
        assert adapted.get_nb_trainable_parameters()[0] == int(row["trainable"])


FUSED = {
    "causal--falcon": "query_key_value", "causal--gpt_neox": "query_key_value", "causal--gpt2": "c_attn",
    "causal--phi3": "qkv_proj", "causal--mpt": "Wqkv",
}  # fmt: skip


@pytest.mark.parametrize(("name", "module"), FUSED.items())
def test_our_words_mean_the_matrix_that_holds_them(name: str, module: str) -> None:
    """q, k and v are one adapter where the family has one matrix, and Megatron's names hold for every family."""
    assert ours(name, "q", 8) == ours(name, "q k v", 8) == ours(name, module, 8) == ours(name, "linear_qkv", 8)


def test_keys_and_values_are_two_adapters() -> None:
    # Llama 3.1 8B: 32 layers, h 4096, 8 kv heads of 128: k and v have rank x (4096 + 1024) each, in Megatron's one
    # matrix with q rank x (4096 + 4096 + 2 x 1024)
    name = "meta-llama--Meta-Llama-3.1-8B_config"
    assert ours(name, "kv", 16) == ours(name, "k_proj v_proj", 16) == 32 * 16 * 2 * (4096 + 1024)
    assert ours(name, "linear_qkv", 16) == 32 * 16 * (4096 + 4096 + 2 * 1024)
    assert ours(name, "attention mlp", 16) == ours(name, "all-linear", 16) == ours(name, "all-linear q kv", 16)


def test_names_that_a_model_has() -> None:
    model = read("causal--gpt2")
    assert target_names(model)[:4] == ["c_attn", "c_proj", "c_fc", "all-linear"]
    assert has_target(model, "mlp.c_proj")
    assert not has_target(model, "q_proj")
