"""Weights by precision, what memory fractions mean, what is resident."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan import plan_from
from llmplan.answer.serving_bottleneck import serving_bottleneck
from llmplan.serving.estimate import estimate_serving
from llmplan.serving.memory import cache_shape, serving_memory
from llmplan.serving.weights import weight_bytes
from llmplan.software.engine import ServingPolicy
from tests.serving.plans import answer, plan

GIB = 2.0**30


def weights(**changes: object) -> float:
    made = plan(**changes)
    return float(weight_bytes(made, made.workload))


def test_weights_in_sixteen_bits_are_two_bytes_each() -> None:
    assert weights() == 2 * plan().model.parameters


@pytest.mark.parametrize(
    ("precision", "each"), [("fp8", 1.0), ("int8", 1.0), ("int4", 0.52), ("nvfp4", 0.5625), ("mxfp4", 0.53125)]
)
def test_matrices_shrink_and_tables_do_not(precision: str, each: float) -> None:
    model = plan().model
    matrices = sum(layer.count * sum(linear.parameters for linear in layer.linears) for layer in model.layers)
    rest = model.parameters - matrices
    # int4 and fp4 are widened on the fly where the device has no units for them
    assert weights(weight_precision=precision, activation_precision="bf16") == pytest.approx(matrices * each + rest * 2)


def test_fp32_weights_are_four_bytes_each() -> None:
    assert weights(weight_precision="fp32", activation_precision="fp32") == 4 * plan().model.parameters


def test_experts_of_a_release_keep_their_precision() -> None:
    made = plan(model="gpt-oss-120b", weight_precision="bf16", activation_precision="bf16")
    expected = 117e9 * 0.53125 * 3072 / 2880  # nearly all of it stands in experts, whose width is filled up
    assert float(weight_bytes(made, made.workload)) == pytest.approx(expected, rel=0.06)


def test_the_three_meanings_of_the_memory_fraction() -> None:
    made = plan()
    usable = made.device.memory.capacity - made.device.memory.reserved
    total, static, free = (
        serving_memory(made, ServingPolicy(memory_fraction=0.8, memory_fraction_of=kind))
        for kind in ("total", "static", "free")
    )  # fmt: skip
    assert total.peak_bytes == pytest.approx(0.8 * usable)
    before = usable - made.stack.memory.context  # what is free before weights are loaded
    assert static.weights_bytes + static.kv_cache_bytes == pytest.approx(0.8 * before)
    rest = usable - free.weights_bytes - free.activations_bytes - free.overhead_bytes
    assert free.kv_cache_bytes == pytest.approx(0.8 * rest)


def test_tokens_are_room_over_bytes_a_token() -> None:
    found = answer()
    assert found.kv_tokens is not None
    assert found.kv_tokens.value == pytest.approx(float(found.memory.kv_cache_bytes) / 131072, rel=0.02)  # whole blocks
    assert float(found.memory.longest) == pytest.approx(float(found.memory.kv_cache_bytes) / 131072, rel=1e-3)


def test_cache_in_eight_bits_holds_twice_as_much() -> None:
    narrow, wide = answer(kv_precision="fp8"), answer(kv_precision="bf16")
    assert narrow.kv_tokens is not None
    assert wide.kv_tokens is not None
    assert narrow.kv_tokens.value == pytest.approx(2 * wide.kv_tokens.value)


def test_replicas_hold_as_much_each() -> None:
    one, four = answer(), answer(devices=4, dp=4, tp=1)
    assert four.resident == 4 * one.resident
    assert one.kv_tokens is not None
    assert four.kv_tokens is not None
    assert four.kv_tokens.value == pytest.approx(4 * one.kv_tokens.value)


def test_more_load_than_fits_waits() -> None:
    found = answer(batch=5000, input_tokens=8000)
    assert found.fits
    assert found.sequences == found.resident < 5000
    assert found.queued == 5000 - found.resident
    assert [one.code for one in found.warnings] == ["LP020"]
    assert serving_bottleneck(found).resource == "memory_capacity"


def test_more_memory_is_told_by_formula_where_requests_are_simulated_or_would_be() -> None:
    """As it is it does not keep up, so nothing is simulated; with a tenth more memory it does."""
    words: dict[str, Any] = {"model": "opt-6.7b", "hardware": "rtx-4090", "load": "open", "batch": None,
                             "input_tokens": 2184, "output_tokens": 887, "weight_precision": "int4"}  # fmt: skip
    words["request_rate"] = 1.005 * answer(**words, request_rate=0.1).capacity
    found, quiet = answer(**words, arrival="gamma", arrival_cv=2.0), answer(**words)
    assert not found.stable
    assert serving_bottleneck(found).elasticity == serving_bottleneck(quiet).elasticity


def test_what_does_not_fit_is_refused() -> None:
    found = answer(model="llama-3.1-70b")
    assert not found.fits
    assert found.verdict == "does-not-fit"
    assert found.memory.kv_cache_bytes == 0


def test_an_encoder_decoder_caches_the_prompt_once_and_its_output() -> None:
    found = answer(model="t5-large", input_tokens=512, output_tokens=128)
    model = found.plan.model
    decoders = sum(layer.count for layer in model.layers if layer.side == "decoder")
    each = 2 * 16 * 64 * 2  # keys and values of 16 heads of 64 in 16 bits
    per_request = decoders * each * (512 + 128 / 2)  # cross-attention has the prompt, self-attention half the answer
    assert per_request == 24 * 4096 * 576
    cache = cache_shape(model, found.plan.layout, 2.0, ServingPolicy(), 512.0)
    assert cache.bytes(512 + 128 / 2) == per_request


def test_no_engine_takes_more_than_there_is() -> None:
    """Of what is left free of 141 GB of weights on 8.6 GB, which is less than nothing."""
    found = answer(model="llama-3.1-70b", hardware="rtx-4060-laptop", stack="lmdeploy")
    assert not found.fits
    assert found.usable_bytes <= found.plan.usable_bytes


def test_a_limit_inside_the_band_is_a_warning() -> None:
    """Qwen2.5 72B on two cards of 80 GB: whether vLLM starts hangs on what it takes beside the weights."""
    words = {"hardware": "h100", "devices": 2, "tp": 2, "workload": "serve", "stack": "vllm", "max_model_len": 8192}
    cases = (("qwen2.5-72b", 0.8), ("qwen2.5-72b", 0.92), ("qwen2.5-32b", 0.92))
    found = [estimate_serving(plan_from({**words, "model": name, "memory_fraction": share})) for name, share in cases]
    assert [one.verdict for one in found] == ["does-not-fit", "marginal", "fits"]
    assert [any(told.code == "LP010" for told in one.warnings) for one in found] == [False, True, False]
