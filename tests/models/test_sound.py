"""Tokens of sound, by the rules of the families, against those of the families' own preprocessing.

`sound_tokens.csv`: what the functions of transformers 5.24.0 (processing_*.py, feature_extraction_*.py of each family)
return for a sound; Gemma 3n's and Whisper's are fixed numbers there, Voxtral's 375 for each 30 s. Taken on 2026-11-27.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from llmplan.catalog.load_model import load_model
from llmplan.model.huggingface import spec_of_config
from llmplan.model.huggingface_config import parse_config
from llmplan.model.lowering import lower
from llmplan.model.model import Model
from llmplan.model.sound import cut_sound
from llmplan.model.sound_spec import SoundSpec

HERE = Path(__file__).parent
with (HERE / "sound_tokens.csv").open(encoding="utf-8", newline="") as file:
    ROWS = [(row["family"], float(row["seconds"]), int(row["tokens"])) for row in csv.DictReader(file)]
TYPES: dict[str, dict[str, Any]] = {
    entry["config"]["model_type"]: entry["config"]
    for entry in map(json.loads, (HERE / "model_types.jsonl").read_text(encoding="utf-8").splitlines())
}
GEMMA = {"model_type": "gemma3n_audio", "hidden_size": 1536, "conf_num_hidden_layers": 12, "conf_reduction_factor": 4,
         "conf_num_attention_heads": 8, "conf_attention_chunk_size": 12, "conf_attention_context_left": 13,
         "conf_attention_context_right": 0, "conf_conv_kernel_size": 5, "vocab_size": 128}  # fmt: skip
FAMILIES = sorted({row[0] for row in ROWS} - {"whisper"})


def read(family: str) -> Model:
    config = TYPES.get(family)
    if family == "gemma3n":
        classes = {"architectures": ["Gemma3nForConditionalGeneration"]}
        config = {"model_type": family, "text_config": TYPES["gemma3n_text"], "audio_config": GEMMA} | classes
    return lower(spec_of_config(parse_config(json.dumps(config), "config.json"))[0])


MODELS = {family: read(family) for family in [*FAMILIES, "whisper"]}


@pytest.mark.parametrize(("family", "seconds", "tokens"), ROWS)
def test_tokens_are_those_of_the_familys_preprocessing(family: str, seconds: float, tokens: int) -> None:
    sound = MODELS[family].sound
    assert sound is not None
    assert cut_sound(sound.rule, seconds).tokens == tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_of_an_encoder_are_most_of_its_parameters_and_never_more(family: str) -> None:
    model = MODELS[family]
    sound = model.sound
    assert sound is not None
    assert sound.projector is not None
    assert 0 < sound.rule.parameters <= model.tower_parameters
    held = sum(layer.count * layer.parameters for layer in sound.layers)
    assert 0.85 * sound.rule.parameters < held <= sound.rule.parameters
    assert held + sound.projector.parameters <= sound.rule.parameters


def test_whisper_reads_with_its_own_encoder() -> None:
    """30 seconds have 3000 frames and 1500 positions (arXiv 2212.04356, section 2.2)."""
    sound = load_model("openai/whisper-large-v3").sound
    assert sound is not None
    assert sound.rule.inside
    assert sound.projector is None
    assert cut_sound(sound.rule, 4.0).tokens == 1500


def test_windows_are_filled_up() -> None:
    """Qwen2-Audio's encoder sees 30 seconds whatever is said; Voxtral's three windows of 75 seconds become tokens."""
    audio, voxtral = MODELS["qwen2_audio"].sound, MODELS["voxtral"].sound
    assert audio is not None
    assert voxtral is not None
    assert cut_sound(audio.rule, 10.0).patches == 1500
    heard = cut_sound(voxtral.rule, 75.0)
    assert (heard.sequences, heard.patches, heard.tokens) == (3, 4500, 1125)


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"hidden \(100\) must be a multiple of heads \(3\)"):
        SoundSpec(layers=1, hidden=100, heads=3)
