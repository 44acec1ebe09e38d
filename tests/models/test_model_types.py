"""The default configuration of each model type of transformers: read exactly, or refused by name.

`model_types.jsonl` has one a line, as transformers 5.24.0 writes it (keys that are null or housekeeping left out), with
what torch 2.13.0 counted of the model on the meta device on 2026-11-27:
parameters  of what `counts` says: all of the class; an encoder without its head; of a multimodal model the language
            model with its head (biases that balance experts are buffers, of which some counts know and some do not)
towers      all the others of a multimodal model, where they are known
cache       elements that a forward pass of three tokens left in the key-value cache, for each token, where the class
            has a plain one
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmplan.errors import InputError
from llmplan.model.huggingface import spec_of_config
from llmplan.model.huggingface_config import parse_config
from llmplan.model.lowering import lower
from llmplan.model.model import Model

LINES = Path(__file__).with_name("model_types.jsonl").read_text(encoding="utf-8").splitlines()
TYPES: dict[str, dict[str, Any]] = {(entry := json.loads(line))["name"]: entry for line in LINES}
EXACT, APPROXIMATE = 1e-4, 0.02
READ = 277  # of 354; the others are refused


def read(name: str) -> Model | None:
    """The model, or None where it is refused."""
    text = json.dumps(TYPES[name]["config"], indent=1)
    try:
        spec, warnings = spec_of_config(parse_config(text, f"{name}.json"))
    except InputError:
        return None
    return lower(spec, warnings)


MODELS = {name: read(name) for name in TYPES}


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model is not None])
def test_parameters_are_those_of_the_class(name: str) -> None:
    model, entry = MODELS[name], TYPES[name]
    assert model is not None
    counted = model.parameters
    if entry["counts"].startswith("all parameters") and model.tower_parameters:
        counted += model.tower_parameters
    allowed = APPROXIMATE if model.approximate else EXACT
    assert counted == pytest.approx(entry["parameters"], rel=allowed)


def test_most_types_are_read() -> None:
    assert sum(model is not None for model in MODELS.values()) >= READ


@pytest.mark.parametrize("name", [name for name, entry in TYPES.items() if "towers" in entry])
def test_towers_are_counted_exactly_or_not_at_all(name: str) -> None:
    model = MODELS[name]
    if model is not None and model.tower_parameters:
        assert model.tower_parameters == TYPES[name]["towers"]


@pytest.mark.parametrize("name", [name for name, entry in TYPES.items() if "cache" in entry])
def test_cache_of_a_token_is_that_of_the_class(name: str) -> None:
    model = MODELS[name]
    if model is not None:
        cached = sum(layer.count * core.cache_elements for layer in model.layers for core in layer.cores)
        assert cached == TYPES[name]["cache"]


def by_likeness(name: str) -> Model | None:
    """The model of a type that is known, with a name that nobody knows; None where it is refused so."""
    config = json.loads(json.dumps(TYPES[name]["config"]))
    config |= {"model_type": "newcomer", "architectures": ["NewcomerForCausalLM"]}
    if isinstance(config.get("text_config"), dict):
        config["text_config"]["model_type"] = "newcomer_text"
    try:
        spec, warnings = spec_of_config(parse_config(json.dumps(config), "config.json"))
    except InputError:
        return None
    return lower(spec, warnings)


def cached(model: Model) -> float:
    return sum(layer.count * core.cache_elements * core.cache_ratio for layer in model.layers for core in layer.cores)


def test_what_is_read_by_likeness_is_near_or_refused() -> None:
    """The reason for `approximate` in `hardware_catalog/distances.yaml`: counts hold, and so does the cache."""
    known = {name: model for name, model in MODELS.items() if model is not None and model.architecture == "decoder"}
    pairs = {name: (model, like) for name, model in known.items() if (like := by_likeness(name)) is not None}
    assert len(pairs) >= 90
    for name, (model, like) in pairs.items():
        assert like.approximate
        assert like.parameters == pytest.approx(model.parameters, rel=APPROXIMATE), name
        assert cached(like) == cached(model), name
