"""Families beyond the stored configs: the shape of a public checkpoint reads to the size it is known by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmplan.files import read_documents
from llmplan.model.huggingface import spec_of_config
from llmplan.model.huggingface_config import parse_config
from llmplan.model.lowering import lower
from llmplan.model.model import Model

TEXT = {"architectures": ["SomeForConditionalGeneration"]}


def read(**config: object) -> Model:
    spec, warnings = spec_of_config(parse_config(json.dumps(TEXT | config), "config.json"))
    return lower(spec, warnings)


CHECKPOINTS = read_documents(Path(__file__).with_name("checkpoints.yaml"))[0].data


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_config_reads_to_the_known_size(name: str) -> None:
    entry = CHECKPOINTS[name]
    assert read(**entry["config"]).parameters / 1e9 == pytest.approx(entry["billions"], rel=0.01)
