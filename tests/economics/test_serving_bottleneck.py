"""Bottlenecks of deployments: shares sum to the steps, elasticities are what the changed plan gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmplan.answer.bottleneck import CAPACITY
from llmplan.answer.resolve import plan_from
from llmplan.answer.resources import RESOURCES
from llmplan.answer.serving_bottleneck import serving_bottleneck
from llmplan.serving.estimate import ServingEstimate, estimate_serving
from llmplan.setup.codes import CODES

SERVE: dict[str, Any] = {"workload": "serve", "hardware": "h100-sxm-80gb", "devices": 8, "stack": "vllm"}
PLANS: dict[str, dict[str, Any]] = {
    "chat": {**SERVE, "model": "llama-3.1-70b", "batch": 64},
    "experts over nodes": {**SERVE, "model": "deepseek-v3-671b", "devices": 16, "tp": 8, "pp": 2, "batch": 256},
    "open": {**SERVE, "model": "llama-3.1-8b", "hardware": "l4", "devices": 2, "load": "open", "request_rate": 1},
    "saturated": {**SERVE, "model": "mixtral-8x7b", "hardware": "a100-sxm-80gb", "devices": 4, "load": "saturated"},
    "cache read again": {
        **SERVE,
        "model": "llama-3.1-8b",
        "hardware": "a100-sxm-80gb",
        "devices": 1,
        "stack": "tensorrt-llm",
        "stack_version": "0.5.0",
        "load": "static",
        "batch": 64,
        "input_tokens": 4096,
        "output_tokens": 512,
    },
    "two pools": {**SERVE, "model": "llama-3.1-70b", "tp": 4, "prefill_devices": 4, "prefill_tp": 4, "batch": 64},
    "prefill alone": {**SERVE, "model": "llama-3.1-8b", "batch": 8, "input_tokens": 8000, "output_tokens": 1},
}


@pytest.fixture(scope="module", params=PLANS)
def answer(request: pytest.FixtureRequest) -> ServingEstimate:
    return estimate_serving(plan_from(PLANS[request.param]))


def test_shares_sum_to_the_steps(answer: ServingEstimate) -> None:
    found = serving_bottleneck(answer)
    assert sum(found.decode_seconds.values()) == pytest.approx(float(answer.decode.total))
    assert sum(found.prefill_seconds.values()) == pytest.approx(float(answer.prefill.total))
    assert set(found.decode_seconds) | set(found.prefill_seconds) <= set(RESOURCES)


def test_elasticities_are_near_estimates_of_changed_plans(answer: ServingEstimate) -> None:
    device = answer.plan.device
    memory = replace(device.memory, bandwidth=1.1 * device.memory.bandwidth)
    on_chip = 1.1 * (device.efficiency.repeated_read_bandwidth or 0.0)
    routed = {
        name: replace(one, routed_bandwidth=one.routed_bandwidth and 1.1 * one.routed_bandwidth)
        for name, one in device.efficiency.grouped_matmul.items()
    }
    changes = {"repeated_read_bandwidth": on_chip or None, "grouped_matmul": routed}
    efficiency = replace(device.efficiency, **changes)
    faster = replace(device, memory=memory, efficiency=efficiency)
    changed = estimate_serving(replace(answer.plan, device=faster))
    found = serving_bottleneck(answer).elasticity["memory_bandwidth"]
    assert found.requests == pytest.approx(
        changed.requests_per_second.value / answer.requests_per_second.value, rel=5e-3
    )
    assert found.ttft == pytest.approx(changed.ttft.value / answer.ttft.value, rel=2e-2)
    assert found.capacity == pytest.approx(changed.capacity / answer.capacity, rel=5e-3)


def test_a_resource_without_a_share_brings_nothing(answer: ServingEstimate) -> None:
    found = serving_bottleneck(answer)
    way = {"scale_out_network"} if answer.plan.prefill is not None else set()  # of the cache, beside the steps
    for name in set(RESOURCES) - set(found.decode_seconds) - set(found.prefill_seconds) - way:
        one = found.elasticity[name]
        assert one.capacity == pytest.approx(1, rel=1e-4)
        assert one.ttft == pytest.approx(1, rel=1e-4)


def test_more_memory_serves_no_less(answer: ServingEstimate) -> None:
    assert serving_bottleneck(answer).elasticity[CAPACITY].capacity >= 1 - 1e-9


def test_slower_tokens_for_more_requests_at_once_are_a_trade() -> None:
    words = {"model": "llama-3.1-70b", "hardware": "h100", "devices": 4, "tp": 4, "workload": "serve", "stack": "vllm",
             "load": "saturated", "input_tokens": 2048, "output_tokens": 512}  # fmt: skip
    found = serving_bottleneck(estimate_serving(plan_from(words))).elasticity[CAPACITY]
    assert found.tpot is None
    assert found.traded_tpot is not None
    assert found.traded_tpot > 1
    assert found.requests > 1


def test_later_first_tokens_for_more_requests_are_a_trade() -> None:
    """15 places for 16 requests a replica: who waits for one is read alone."""
    words = {"model": "qwen3-32b", "hardware": "rtx-2060", "devices": 128, "tp": 8, "pp": 8, "workload": "serve",
             "input_tokens": 21500, "output_tokens": 290, "batch": 32, "memory_fraction": 0.72}  # fmt: skip
    found = serving_bottleneck(estimate_serving(plan_from(words))).elasticity[CAPACITY]
    assert found.ttft is None
    assert found.traded_ttft is not None
    assert found.tpot is not None
    assert found.traded_ttft > 1 > found.tpot
    assert found.requests > 1


def test_advice_has_a_code_with_a_paragraph(answer: ServingEstimate) -> None:
    advice = serving_bottleneck(answer).advice
    assert CODES[advice.code].title.startswith("Held back by")
    assert "{" not in advice.message


def test_devices_that_read_too_slowly_are_told() -> None:
    words = {**SERVE, "model": "llama-3.1-70b", "devices": 12, "tp": 4, "prefill_devices": 4, "prefill_tp": 4,
             "batch": 512, "input_tokens": 8000, "output_tokens": 100}  # fmt: skip
    advice = serving_bottleneck(estimate_serving(plan_from(words))).advice
    assert "the 4 devices that read prompts set the rate: more of them (prefill_devices)" in advice.message
    more = serving_bottleneck(estimate_serving(plan_from(words | {"batch": 2}))).advice
    assert "prefill_devices" not in more.message
