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


LLAVA = {
    "model_type": "llava",
    "text_config": {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
                    "intermediate_size": 128, "vocab_size": 1000, "tie_word_embeddings": False},
    "tie_word_embeddings": True,
}  # fmt: skip


@pytest.mark.parametrize(("version", "tied"), [("4.57.6", False), ("5.24.0", True), (None, True)])
def test_which_word_about_tied_tables_wins_is_that_of_the_version_that_wrote_it(version: str, tied: bool) -> None:
    """transformers 4 ties by the text part's word, 5 by the whole model's."""
    assert read(**LLAVA, transformers_version=version).tied_embeddings is tied


def test_stablelm_norms_of_each_head_have_no_bias() -> None:
    """StableLM 2 12B: 12 143 185 920 parameters, as the Hub counts the checkpoint."""
    shape = {"num_hidden_layers": 40, "hidden_size": 5120, "num_attention_heads": 32, "num_key_value_heads": 8}
    words = {"intermediate_size": 13824, "vocab_size": 100352, "qk_layernorm": True, "use_parallel_residual": True}
    assert read(model_type="stablelm", **shape, **words).parameters == 12_143_185_920
