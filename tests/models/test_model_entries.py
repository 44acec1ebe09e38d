"""Entries of the model catalogue: schema, counts to the last parameter, rounded counts, layers, aliases."""

from __future__ import annotations

from functools import cache

import pytest

from llmplan.catalog.catalog import open_catalog
from llmplan.catalog.entries import collect_aliases, entry_files, read_entry
from llmplan.catalog.load_model import load_model
from llmplan.files import builtin
from llmplan.model.lowering import lower
from llmplan.model.model import Model
from llmplan.model.spec import ModelSpec, model_spec

IDS = [path.stem for path in entry_files(builtin("models"))]
# Published sizes are often cut, or rounded to the next fine name: gpt-neox-20b has 20.6, falcon-40b 41.3,
# phi-4-14b 14.7, starcoder2-15b 16.0, opt-350m 331 M. What is out by more has a wrong shape.
ROUNDING = 0.07


@cache
def spec(name: str) -> ModelSpec:
    return model_spec(read_entry(builtin("models") / f"{name}.yaml"))


@cache
def model(name: str) -> Model:
    return lower(spec(name))


def test_there_are_entries_with_exact_counts() -> None:
    assert len(IDS) >= 139
    assert sum(spec(name).exact_parameters is not None for name in IDS) >= 56


@pytest.mark.parametrize("name", [name for name in IDS if spec(name).exact_parameters])
def test_count_is_exact(name: str) -> None:
    exact = spec(name).exact_parameters
    assert exact is not None
    assert model(name).parameters == exact.value


@pytest.mark.parametrize("name", [name for name in IDS if spec(name).published_parameters])
def test_count_rounds_to_the_published_one(name: str) -> None:
    published = spec(name).published_parameters
    assert published is not None
    assert model(name).parameters == pytest.approx(published.value, rel=ROUNDING)


@pytest.mark.parametrize("name", IDS)
def test_groups_of_layers_add_up(name: str) -> None:
    assert model(name).layer_count == spec(name).layers
    assert all(layer.count > 0 and (layer.parameters > 0 or layer.kind == "none") for layer in model(name).layers)


@pytest.mark.parametrize("name", IDS)
def test_names_of_matrices_are_unique_in_a_layer(name: str) -> None:
    for layer in model(name).layers:
        names = [linear.name for linear in layer.linears]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", IDS)
def test_entry_has_sources_and_a_date(name: str) -> None:
    assert spec(name).sources
    assert spec(name).date
    assert spec(name).name == name


def test_index_of_aliases_is_fresh() -> None:
    directory = builtin("models")
    assert open_catalog().aliases(directory) == collect_aliases(directory)
    assert not set(collect_aliases(directory)) & set(IDS)


def test_alias_and_id_give_the_same_model() -> None:
    assert load_model("deepseek-v3") == load_model("DeepSeek_V3-671B")


def test_active_parameters_of_experts() -> None:
    # arXiv 2501.08313: 45.9 B a token, without the token table and the head; arXiv 2401.04088: 12.9 B with them
    minimax = model("minimax-m1")
    ends = minimax.embedding_parameters + minimax.head_parameters
    assert (minimax.active_parameters - ends) / 1e9 == pytest.approx(45.9, rel=0.01)
    assert model("mixtral-8x7b").active_parameters / 1e9 == pytest.approx(12.9, rel=0.01)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("qwen2.5-vl-3b", 3_754_622_976), ("qwen2.5-vl-7b", 8_292_166_656), ("qwen2.5-vl-32b", 33_452_718_336),
        ("qwen2.5-vl-72b", 73_410_777_344), ("mistral-small-3.1-24b", 24_011_361_280),
        ("llama-3.2-11b-vision", 10_670_220_835),
    ],
)  # fmt: skip
def test_checkpoints_with_an_encoder_have_it_and_the_language_model(name: str, parameters: int) -> None:
    """Totals of the checkpoints, as the Hub counts them."""
    assert model(name).parameters + model(name).tower_parameters == parameters
