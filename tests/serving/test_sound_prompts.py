"""Sound in prompts: part of the input, an encoder before the first token, and Whisper's own encoder."""

from __future__ import annotations

from typing import Any

import pytest
from serving.plans import answer, plan

from llmplan import estimate
from llmplan.answer.resolve import AnyPlan
from llmplan.errors import InputError
from llmplan.serving.plan import ServingPlan
from llmplan.serving.remarks import plan_remarks

WHISPER = {"model": "whisper-large-v3", "hardware": "h100-sxm-80gb", "load": "static", "batch": 1,
           "input_tokens": None}  # fmt: skip
CROSSED = {"model": "llama-3.2-11b-vision", "hardware": "h100-sxm-80gb", "load": "static", "batch": 1}


def served(**changes: Any) -> ServingPlan:
    found: AnyPlan = plan(**changes)
    assert isinstance(found, ServingPlan)
    return found


def test_sound_is_the_source_of_whisper() -> None:
    heard = served(**WHISPER, audio_seconds="30 s", output_tokens=100)
    assert heard.workload.input_tokens == 1500
    assert "input_tokens 0: the encoder reads the sound alone" in heard.assumptions
    assert not [
        warning for warning in plan_remarks(heard) if warning.code == "LP003"
    ]  # 1500 positions, 448 tokens of text
    long = served(**WHISPER, audio_seconds="30 s", output_tokens=500)
    assert [warning.code for warning in plan_remarks(long) if warning.code == "LP003"]


def test_a_plan_with_sound_given_back_is_the_same_plan() -> None:
    first = served(**WHISPER, audio_seconds=12.0, output_tokens=64)
    words = {name: value for name, value in first.as_options().items() if value is not None}
    assert "input_tokens" not in words
    assert served(**words | {"input_tokens": None}).workload == first.workload


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (WHISPER | {"audio_seconds": 31.0}, "whisper-large-v3 hears 30 s at once, not 31; longer sound is several"),
        (WHISPER | {"audio_seconds": 3.0, "input_tokens": 9}, "whisper-large-v3 reads sound alone"),
        (WHISPER | {"model": "llama-3.1-8b", "audio_seconds": 3.0}, "has no encoder of sound that is known"),
        (WHISPER | {"model": "gemma-3-4b", "audio_seconds": 3.0}, r"how gemma-3-4b \(gemma3\) cuts sound into tokens"),
    ],
)
def test_what_cannot_be_is_refused(words: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        served(**words)


def test_the_answer_has_what_sound_adds() -> None:
    found = estimate(served(**WHISPER, audio_seconds=12.0, output_tokens=64)).result.sound  # type: ignore[union-attr]
    assert found is not None
    assert (found.seconds, found.tokens, found.positions, found.windows) == (12.0, 1500, 1500, 1)
    assert found.encoder_seconds is None  # its own encoder reads the sound: a part of prefill


def test_cross_attention_to_an_image_takes_cache_and_time_where_there_is_one() -> None:
    """8 layers of 2 x 8 x 128 elements for 4 tiles of 1601 tokens, in 16 bits."""
    text, image = answer(**CROSSED, input_tokens=100), answer(**CROSSED, input_tokens=99, images=1)
    assert image.plan.workload.input_tokens == text.plan.workload.input_tokens  # one token stands for the image
    more = float(image.memory.needed_bytes) - float(text.memory.needed_bytes)
    assert more == pytest.approx(8 * 2 * 8 * 128 * 4 * 1601 * 2)
    assert image.encoder > 0.0
    assert float(image.decode.attention_seconds) > float(text.decode.attention_seconds)


def test_text_alone_passes_over_layers_of_cross_attention() -> None:
    """32 of 40 layers decode a token of text: four fifths of an 8B model with 40 layers would."""
    text, image = answer(**CROSSED, input_tokens=100), answer(**CROSSED, input_tokens=99, images=1)
    per_layer = float(text.decode.matmul_seconds) / 32
    assert float(image.decode.matmul_seconds) == pytest.approx(40 * per_layer, rel=0.08)
