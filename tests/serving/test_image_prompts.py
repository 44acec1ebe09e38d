"""Images in prompts: part of the input in cache and prefill, and an encoder before the first token."""

from __future__ import annotations

from typing import Any

import pytest
from serving.plans import answer, plan

from llmplan import estimate
from llmplan.answer.resolve import AnyPlan
from llmplan.errors import InputError
from llmplan.serving.estimate import estimate_serving
from llmplan.serving.plan import ServingPlan

QWEN = {"model": "qwen3.5-27b", "hardware": "h200-sxm-141gb", "load": "static", "batch": 1, "output_tokens": 1}


def served(**changes: Any) -> ServingPlan:
    found: AnyPlan = plan(**(QWEN | changes))
    assert isinstance(found, ServingPlan)
    return found


def test_tokens_of_images_are_part_of_the_input() -> None:
    pictured, text = served(input_tokens=200, images=2), served(input_tokens=200 + 2 * 1024)
    assert pictured.encoded_tokens == 2 * 1024  # 32 x 32 cells of 32 pixels
    assert pictured.workload.input_tokens == text.workload.input_tokens
    one, other = estimate_serving(pictured), estimate_serving(text)
    assert float(one.memory.resident) == float(other.memory.resident)
    assert float(one.memory.needed_bytes) == float(other.memory.needed_bytes)
    assert float(one.prefill.matmul_seconds) == float(other.prefill.matmul_seconds)


def test_the_encoder_is_before_the_first_token() -> None:
    one, other = answer(**QWEN, input_tokens=200, images=2), answer(**QWEN, input_tokens=200 + 2 * 1024)
    assert one.ttft.value - other.ttft.value == pytest.approx(one.encoder)
    assert float(one.prefill.encoder_seconds) == pytest.approx(one.encoder)
    assert float(one.decode.encoder_seconds) == 0.0
    assert other.encoder == 0.0


def test_its_time_is_that_of_its_products_and_its_attention() -> None:
    """27 layers of 1152 and 4304 over 4096 patches: 3.4 TFLOP of products and 2.1 of attention, by hand."""
    found = answer(**QWEN, input_tokens=200, images=1, image_size="1024")
    products = 2 * 4096 * 27 * (4 * 1152**2 + 2 * 1152 * 4304)
    attention = 27 * 4 * 4096**2 * 1152
    assert (products + attention) / 1e12 == pytest.approx(5.45, rel=0.01)
    rate = (products + attention) / found.encoder
    assert 0.25 < rate / found.plan.device.peak["bf16"] < 0.8


def test_more_and_larger_images_take_longer() -> None:
    times = [answer(**QWEN, input_tokens=200, images=n, image_size=size).encoder
             for n, size in ((1, "512"), (1, "1024"), (2, "1024"), (2, "2048"))]  # fmt: skip
    assert times == sorted(times)
    assert times[2] == pytest.approx(2 * times[1], rel=0.15)
    assert times[3] > 4 * times[2]  # four times the patches, which attend to four times as many


def test_prompts_read_in_pieces_share_the_encoder() -> None:
    """A step that reads half of a prompt encodes half of its images."""
    whole = answer(**QWEN, input_tokens=200, images=2, max_num_batched_tokens=4096)
    pieces = answer(**QWEN, input_tokens=200, images=2, max_num_batched_tokens=1124)
    assert float(pieces.prefill.encoder_seconds) == pytest.approx(whole.encoder / 2)


def test_a_plan_with_images_given_back_is_the_same_plan() -> None:
    first = served(input_tokens=200, images=2, image_size="1280x720", load="closed", batch=4, output_tokens=64)
    words = {name: value for name, value in first.as_options().items() if value is not None}
    assert words["input_tokens"] == 200
    again = plan(**dict.fromkeys(("model",)) | words)
    assert isinstance(again, ServingPlan)
    assert again.workload == first.workload
    assert estimate_serving(again).ttft == estimate_serving(first).ttft


def test_an_image_without_a_size_has_a_stated_one() -> None:
    assert "image_size 1024x1024: none was given" in served(input_tokens=200, images=1).assumptions


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "llama-3.1-8b", "images": 1}, "images: llama-3.1-8b has no encoder of images that is known"),
        ({"image_size": "512"}, "image_size goes with images, and none are given"),
        ({"images": 1, "image_size": "wide"}, "'wide' is no size of an image"),
        ({"images": 1, "image_size": "0x3"}, "'0x3' is no size of an image"),
        ({"images": 0}, "images"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        served(**changes)


def test_the_answer_tells_tokens_and_the_encoders_time() -> None:
    result = estimate(served(input_tokens=200, images=2)).result.images  # type: ignore[union-attr]
    assert result is not None
    assert (result.images, result.tokens_per_image, result.patches_per_image) == (2, 1024, 4096)
    assert result.encoder_seconds > 0
