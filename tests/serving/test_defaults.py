"""What a serving plan takes where nothing is said, and what it says of it."""

from __future__ import annotations

import pytest

from llmplan.answer.resolve import AnyPlan
from llmplan.errors import InputError
from llmplan.machine.precision import STORED_BYTES
from llmplan.serving.defaults import has_room
from llmplan.serving.memory import cache_shape
from llmplan.serving.plan import ServingPlan
from llmplan.serving.remarks import plan_remarks
from llmplan.setup.layout import Layout
from tests.serving.plans import plan

SEVENTY = {"model": "llama-3.1-70b", "batch": 8}
"""Weights of 131 GiB in 16 bits: two H100 hold them, and leave no room for a cache."""


@pytest.mark.parametrize(
    ("devices", "degrees"),
    [(3, (1, 3, 1)), (4, (4, 1, 1)), (5, (1, 5, 1)), (6, (2, 3, 1)), (8, (4, 1, 2)), (12, (4, 1, 3))],
)
def test_the_least_layout_with_room(devices: int, degrees: tuple[int, int, int]) -> None:
    """Tensor parallelism first, stages where it alone does not do."""
    layout = plan(**SEVENTY, devices=devices).layout
    assert (layout.tp, layout.pp, layout.dp) == degrees


def test_what_stands_in_for_words_that_were_not_said() -> None:
    work = plan(batch=None, input_tokens=None, output_tokens=None).workload
    assert (work.batch, work.input_tokens, work.output_tokens) == (32, 290, 290)  # a chat of OpenOrca


def test_a_quarter_of_memory_is_room() -> None:
    assert has_room(75.0, 100.0)
    assert not has_room(75.1, 100.0)
    assert not has_room(74.0, 98.0)


def test_where_nothing_has_room_it_says_so() -> None:
    found = plan(**SEVENTY, devices=2)
    assert found.layout == Layout(tp=2)
    assert "no layout of these devices" in " ".join(found.assumptions)
    assert "the least at which" in " ".join(plan(**SEVENTY, devices=8).assumptions)


def test_one_sequence_is_not_divided() -> None:
    with pytest.raises(InputError, match="cp: "):
        plan(devices=2, cp=2)


def codes(found: AnyPlan) -> list[str]:
    assert isinstance(found, ServingPlan)
    return [one.code for one in plan_remarks(found)]


def test_software_for_other_devices_is_warned_of() -> None:
    assert "LP013" in codes(plan(stack="tensorrt-llm", hardware="mi300x"))
    assert "LP013" in codes(plan(stack="jetstream"))
    assert "LP013" not in codes(plan(stack="tensorrt-llm"))
    assert "LP013" not in codes(plan(stack="vllm", hardware="mi300x"))


def test_a_version_that_is_not_known_is_said() -> None:
    told = " ".join(plan(stack_version="banana").assumptions)
    assert "'banana' is not in the catalogue" in told
    assert "not in the catalogue" not in " ".join(plan().assumptions)


def test_a_window_that_is_not_applied_is_said() -> None:
    old = plan(model="mistral-7b-v0.1", stack="tensorrt-llm", stack_version="0.17")
    assert "sliding windows: not applied" in " ".join(old.assumptions)
    new = plan(model="mistral-7b-v0.1", stack="tensorrt-llm", stack_version="1.0")
    assert "sliding windows" not in " ".join(new.assumptions)


@pytest.mark.parametrize(
    ("words", "each"),
    [
        # Llama 3.1 8B: keys and values of 32 layers, 8 heads of 128: 65,536 numbers a token
        ({"stack": "tensorrt-llm"}, 131_072),
        ({"stack": "tensorrt-llm", "weight_precision": "fp8"}, 65_536),
        ({"stack": "tensorrt-llm", "weight_precision": "fp8", "kv_precision": "bf16"}, 131_072),
        ({"stack": "vllm", "weight_precision": "fp8"}, 131_072),
        ({"stack": "vllm", "weight_precision": "fp8", "hardware": "b200"}, 65_536),
        ({"stack": "vllm", "weight_precision": "fp8", "hardware": "b200", "stack_version": "0.8"}, 131_072),
        ({"stack": "sglang", "weight_precision": "fp8", "hardware": "mi300x"}, 65_536),
        ({"stack": "sglang", "weight_precision": "fp8", "hardware": "h200"}, 131_072),
    ],
)
def test_a_cache_of_8_bits_where_an_engine_takes_one(words: dict[str, str], each: int) -> None:
    """As engines start: TensorRT-LLM with 8-bit weights, vLLM on Blackwell, SGLang there and on CDNA."""
    found = plan(**words)
    cache = cache_shape(
        found.model, found.layout, STORED_BYTES[found.workload.kv_precision], found.engine.policy, 4096.0
    )
    assert float(cache.bytes(4096.0)) / 4096 == pytest.approx(each)


@pytest.mark.parametrize(
    ("words", "fused", "pieces", "early"),
    [
        ({"stack": "sglang"}, False, True, False),
        ({"stack": "sglang", "model": "qwen3-30b-a3b"}, True, True, False),
        ({"stack": "sglang", "model": "qwen3-30b-a3b", "stack_version": "0.5.5"}, False, False, False),
        ({"stack": "sglang", "model": "qwen3-30b-a3b", "hardware": "mi300x"}, False, False, False),
        ({"stack": "vllm"}, True, False, False),
        ({"stack": "vllm", "hardware": "a100-sxm-80gb"}, False, False, False),
        ({"stack": "tensorrt-llm"}, True, False, True),
        ({"stack": "tensorrt-llm", "hardware": "a100-sxm-80gb"}, True, False, False),
        ({"stack": "sglang", "enforce_eager": True}, False, False, False),
    ],
)
def test_what_engines_have_for_some_models_on_some_devices(
    words: dict[str, object], fused: bool, pieces: bool, early: bool
) -> None:
    policy = plan(**words).engine.policy  # type: ignore[union-attr]
    assert (policy.fused_norms, policy.captured_prompts, policy.early_start) == (fused, pieces, early)
    assert fused == ("lamport" in policy.all_reduce)  # whose kernel holds the norm


def test_prompts_that_wait_go_with_what_is_not_simulated() -> None:
    assert plan(batch_wait_iterations=20).workload.batch_wait_iterations == 20
    with pytest.raises(InputError, match="batch_wait_iterations does not go with max_ttft_p95"):
        plan(batch=None, load="open", request_rate=1.0, batch_wait_iterations=20, max_ttft_p95="1 s")
