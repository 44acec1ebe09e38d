"""Closed loops of random plans: what a client counts adds up, and no step is faster than the memory."""

from __future__ import annotations

import random
from typing import Any

import pytest

from llmplan.answer.resolve import plan_from
from llmplan.errors import InputError
from llmplan.serving.estimate import estimate_serving
from llmplan.serving.plan import ServingPlan
from llmplan.serving.weights import weight_bytes

PLANS = 60


def drawn(seed: int) -> dict[str, Any]:
    """Words of a deployment that is drawn at random: corners of few tokens, few and many requests, two pools."""
    chance = random.Random(seed)
    devices = chance.choice([1, 2, 4, 8])
    words = {
        "model": chance.choice(["llama-3.1-8b", "llama-3.1-70b", "qwen3-30b-a3b", "gpt-oss-120b"]),
        "hardware": chance.choice(["h100", "h200", "b200", "mi300x", "a100", "l40s"]),
        "stack": chance.choice(["vllm", "sglang", "tensorrt-llm"]), "devices": devices, "tp": devices,
        "workload": "serve", "load": "closed", "batch": int(2 ** chance.uniform(0, 12)),
        "input_tokens": int(2 ** chance.uniform(3, 14)), "output_tokens": int(2 ** chance.uniform(1, 12)),
        "length_spread": chance.choice(["constant", "uniform", "dataset"]),
    }  # fmt: skip
    if words["hardware"] == "mi300x" and words["stack"] == "tensorrt-llm":
        words["stack"] = "vllm"
    if chance.random() < 0.2:
        words |= {"devices": 2 * devices, "prefill_devices": devices, "prefill_tp": devices}
    return words


@pytest.mark.parametrize("seed", range(PLANS))
def test_a_closed_loop_adds_up(seed: int) -> None:
    words = drawn(seed)
    try:
        plan = plan_from(words)
    except InputError:
        pytest.skip("not a plan")
    assert isinstance(plan, ServingPlan)
    found = estimate_serving(plan)
    assert found.tpot is not None
    request = found.request.value
    # Little's law: what is in flight is the rate times the time of a request
    assert found.requests_per_second.value * request == pytest.approx(words["batch"], rel=1e-6)
    assert request == pytest.approx(found.ttft.value + (words["output_tokens"] - 1) * found.tpot.value, rel=1e-6)
    assert 0 < found.ttft.value <= request * (1 + 1e-9)
    if not any(linear.routed for layer in plan.model.layers for linear in layer.linears):
        embedding = plan.model.embedding_parameters / plan.layout.tp * 2.0  # of which a step reads single rows
        read = float(weight_bytes(plan, plan.workload)) - embedding
        assert found.tpot.value >= read / plan.device.memory.bandwidth
