"""Models as the Hub and people name them: shapes, precisions in names, the Hub's cache, suggestions."""

from __future__ import annotations

import csv
import json
import sys
import types
from collections.abc import Mapping
from pathlib import Path

import pytest

from llmplan.answer.resolve import plan_from
from llmplan.catalog.catalog import open_catalog
from llmplan.catalog.hub import named_model
from llmplan.catalog.load_model import find_model, load_model
from llmplan.catalog.names import clashes
from llmplan.errors import InputError

ROWS = list(csv.DictReader((Path(__file__).parent / "models.csv").read_text(encoding="utf-8").splitlines()))
CONFIG = {
    "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 100,
    "intermediate_size": 128, "num_key_value_heads": 4, "max_position_embeddings": 512,
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_popular_name_means_its_shape(row: Mapping[str, str]) -> None:
    catalog = open_catalog()
    plain = catalog.plain("models", row["name"])
    named = named_model(row["name"], catalog)
    found = plain.stem if plain else named and named.entry
    assert found == row["model"]


def test_the_list_is_long() -> None:
    assert len(ROWS) >= 100


@pytest.mark.parametrize("name", ["llama-3.1-8b-instruct", "LLAMA 3.1 8B", "llama_3_1_8b", "Meta-Llama-3.1-8B"])
def test_spelling_does_not_matter(name: str) -> None:
    assert load_model(name) == load_model("llama-3.1-8b")


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8", "fp8"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16", "int4"),
        ("hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4", "int4"),
        ("someone/Llama-3.1-8B-GPTQ-Int8", "int8"),
        ("nvidia/Llama-3.1-8B-Instruct-NVFP4", "nvfp4"),
        ("unsloth/Llama-3.1-8B-bnb-4bit", "int4"),
        ("unsloth/gpt-oss-20b-BF16", "bf16"),
    ],
)
def test_a_quantization_in_the_name_is_planned_and_told(name: str, precision: str) -> None:
    plan = plan_from({"model": name, "hardware": "h200", "workload": "serve"})
    assert plan.model.weight_precision == precision
    assert plan.model.expert_precision is None
    assert plan.as_options()["weight_precision"] == precision
    assert any(precision in line and "the name says" in line for line in plan.assumptions)


def test_a_quantization_that_the_name_leaves_open_is_asked_for() -> None:
    words = {"model": "TheBloke/Llama-2-7B-Chat-GGUF", "hardware": "rtx-4090", "workload": "serve"}
    with pytest.raises(InputError, match=r"gguf.*say which"):
        plan_from(words)
    assert plan_from({**words, "weight_precision": "int8"}).as_options()["weight_precision"] == "int8"


def test_adapters_are_trained_on_the_weights_that_the_name_says() -> None:
    plan = plan_from({"model": "unsloth/Llama-3.2-3B-bnb-4bit", "hardware": "rtx-4090", "workload": "lora"})
    assert plan.as_options()["quantized_base"] == "int4"


@pytest.mark.parametrize("name", ["Qwen2-57B-A14B", "Llama-31-8B", "meta-llama/Llama-3.1-9B", "GPTQ", "it", "----"])
def test_another_model_is_not_taken_for_a_known_one(name: str) -> None:
    with pytest.raises(InputError, match="unknown model"):
        load_model(name)


def test_what_is_near_is_suggested() -> None:
    with pytest.raises(InputError, match=r"did you mean .*llama-3\.1-8b"):
        load_model("meta-llama/Llama-3.1-9B-Instruct")


def test_no_two_entries_are_spelled_alike() -> None:
    catalog = open_catalog()
    for kind in ("models", "devices", "clusters", "stacks"):
        assert clashes(catalog.entries(kind), catalog.name_rules(kind)) == []


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of the Hub, with two snapshots of a model that no catalogue has; `refs/main` names the older one."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    repository = tmp_path / "hub" / "models--Some-One--My-Model"
    for revision, layers in (("aaaaaa", 2), ("bbbbbb", 3)):
        folder = repository / "snapshots" / revision
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({**CONFIG, "num_hidden_layers": layers}))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("aaaaaa")
    return tmp_path


@pytest.mark.usefixtures("cache")
def test_a_model_in_the_cache_of_the_hub() -> None:
    found = find_model("some-one/my-model")
    assert found.model.layer_count == 2
    assert "cache of the Hub" in found.note


@pytest.mark.usefixtures("cache")
def test_the_catalogue_comes_before_the_cache_and_a_path_before_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_model("meta-llama/Llama-3.1-8B") == load_model("llama-3.1-8b")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "meta-llama" / "Llama-3.1-8B"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    assert load_model("meta-llama/Llama-3.1-8B").layer_count == 2


def test_nothing_is_fetched_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def fetch(repository: str, file: str) -> str:
        fetched.append((repository, file))
        (tmp_path / file).write_text(json.dumps(CONFIG))
        return str(tmp_path / file)

    hub = types.ModuleType("huggingface_hub")
    hub.hf_hub_download = fetch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    words = {"model": "some-one/else", "hardware": "h100", "workload": "serve"}
    with pytest.raises(InputError, match="--download"):
        plan_from(words)
    assert fetched == []
    assert plan_from({**words, "download": True}).model.layer_count == 2
    assert fetched == [("some-one/else", "config.json")]


def test_download_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="pip install"):
        plan_from({"model": "some-one/else", "hardware": "h100", "download": True})
