"""Random plans: what a client of a closed loop counts adds up, and nothing is faster than memory and matrix units."""

from __future__ import annotations

import random
from typing import Any

import pytest

from llmplan.answer.resolve import plan_from
from llmplan.errors import InputError
from llmplan.machine.kernels import peak_flops
from llmplan.machine.precision import STORED_BYTES
from llmplan.serving.estimate import ServingEstimate, estimate_serving
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
    # the bands too
    rate = found.requests_per_second
    assert rate.low * found.request.high == pytest.approx(words["batch"], rel=1e-6)
    assert rate.high * found.request.low == pytest.approx(words["batch"], rel=1e-6)
    within_nature(found)


@pytest.mark.parametrize("seed", range(PLANS))
@pytest.mark.parametrize("load", ["static", "saturated", "open"])
def test_no_band_passes_nature(seed: int, load: str) -> None:
    words = drawn(seed) | {"load": load}
    if load == "open":
        words["request_rate"] = words["batch"] / 64.0
    if load != "static":
        del words["batch"]
    try:
        plan = plan_from(words)
    except InputError:
        pytest.skip("not a plan")
    within_nature(estimate_serving(plan))


def within_nature(found: ServingEstimate) -> None:
    """No value and no end of a band is less than one reading of the weights, or more than the peak of the devices."""
    plan, work = found.plan, found.plan.workload
    model, device = plan.model, plan.device
    tables = model.embedding_parameters + model.head_parameters
    experts = sum(
        layer.count * linear.parameters for layer in model.layers for linear in layer.linears if linear.routed
    )
    taken = model.active_parameters - tables  # by one token, tables aside
    assert found.tpot is not None
    if not experts:
        embedding = model.embedding_parameters / plan.layout.tp * 2.0  # of which a step reads single rows
        read = (float(weight_bytes(plan, work)) - embedding) / device.memory.bandwidth
        for seconds in (found.tpot.low, found.tpot.value):
            assert seconds >= read * (1 - 1e-3)  # norms are a little of it
    held = min(STORED_BYTES[work.weight_precision], STORED_BYTES[model.expert_precision or work.weight_precision])
    least = taken * held / plan.layout.tp / device.memory.bandwidth
    peak = peak_flops(device, work.activation_precision)
    read_prompt = 2 * taken * work.input_tokens / (peak * (plan.prefill or plan.layout).devices)
    assert min(found.tpot.low, found.tpot.value) >= 0.99 * least
    assert min(found.ttft.low, found.ttft.value) >= 0.99 * read_prompt
    assert min(found.request.low, found.request.value) >= 0.99 * (read_prompt + (work.output_tokens - 1) * least)
    each = 2 * taken * (work.input_tokens + work.output_tokens - 1)
    if found.plan.workload.load != "open":  # there what arrives is what is written
        assert max(found.requests_per_second.high, found.requests_per_second.value) * each <= plan.devices * peak * 1.01
