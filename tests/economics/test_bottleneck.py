"""Bottlenecks: shares sum to the step, elasticities are what the changed plan gives, nothing is guessed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmplan.answer.bottleneck import BUBBLE, CAPACITY, STRAGGLERS, Elasticity, bottleneck
from llmplan.answer.resolve import plan_from
from llmplan.answer.resources import MORE, RESOURCES
from llmplan.setup.codes import CODES
from llmplan.training.estimate import TrainingEstimate, estimate
from llmplan.training.plan import TrainingPlan
from llmplan.training.step import training_time

NUDGE = 1e-6

H100: dict[str, Any] = {"hardware": "h100-sxm-80gb", "tp": 2, "pp": 1}
PLANS: dict[str, dict[str, Any]] = {
    "one device": {"model": "gpt2", "hardware": "a100-sxm-80gb", "devices": 1, "seq_len": 1024, "global_batch": 8},
    "inside a node": {**H100, "model": "llama-3.1-8b", "devices": 8},
    "pipeline": {**H100, "model": "llama-3.1-70b", "devices": 64, "tp": 4, "pp": 8, "global_batch": 32},
    "experts": {**H100, "model": "mixtral-8x7b", "devices": 64, "global_batch": 64, "tp": 1, "ep": 8, "zero": 3},
    "context": {**H100, "model": "llama-3.1-8b", "devices": 32, "cp": 8, "seq_len": 65536},
    "no links": {"model": "llama-3.1-8b", "hardware": "l4", "devices": 8, "workload": "lora", "quantized_base": "nf4"},
    "offload": {"model": "llama-3.1-8b", "hardware": "a100-sxm-80gb", "devices": 8, "offload_optimizer": True},
    "fp8": {**H100, "model": "llama-3.1-70b", "devices": 128, "precision": "fp8", "tp": 4, "pp": 2},
    "torus": {"model": "llama-2-7b", "hardware": "tpu-v5p", "devices": 64, "stack": "maxtext"},
    "cpu": {"model": "bert-large-uncased", "hardware": "xeon-8480", "devices": 4, "seq_len": 512, "global_batch": 32},
}  # fmt: skip


@pytest.fixture(scope="module", params=PLANS)
def answer(request: pytest.FixtureRequest) -> TrainingEstimate:
    return estimate(plan_from(PLANS[request.param]))


def test_shares_sum_to_the_step(answer: TrainingEstimate) -> None:
    found = bottleneck(answer)
    assert sum(found.seconds.values()) == pytest.approx(answer.step.value, rel=1e-12)
    assert all(value > 0 for value in found.seconds.values())


def test_shares_are_derivatives(answer: TrainingEstimate) -> None:
    """A millionth more peak, spelled out here, shortens the step by its share of it."""
    found = bottleneck(answer)
    less = answer.step.value - training_time(with_peak(answer.plan, 1.0 + NUDGE)).step_seconds
    assert less / NUDGE == pytest.approx(answer.step.value * felt(found.elasticity["compute"]), rel=1e-3, abs=1e-9)


def test_a_tenth_more_brings_what_the_changed_plan_says_but_for_kinks(answer: TrainingEstimate) -> None:
    found = bottleneck(answer).elasticity["compute"]
    changed = estimate(with_peak(answer.plan, MORE)).step.value
    assert found.step_seconds == pytest.approx(changed, rel=5e-3)
    assert found.speedup == pytest.approx(answer.step.value / found.step_seconds)


def with_peak(plan: TrainingPlan, factor: float) -> TrainingPlan:
    """Matrix units that do more, and draw no more for it."""
    peak = {name: factor * rate for name, rate in plan.device.peak.items()}
    energy = plan.device.efficiency.product_energy
    efficiency = replace(plan.device.efficiency, product_energy=energy and energy / factor)
    return replace(plan, device=replace(plan.device, peak=peak, efficiency=efficiency))


def felt(one: Elasticity) -> float:
    """The share of the step that a speedup by a tenth tells of."""
    return (1.0 - 1.0 / one.speedup) / (1.0 - 1.0 / MORE)


def test_more_of_a_resource_without_a_share_changes_nothing(answer: TrainingEstimate) -> None:
    found = bottleneck(answer)
    for name in RESOURCES:
        assert found.elasticity[name].speedup >= 1
        if name not in found.seconds:
            assert found.elasticity[name].step_seconds == answer.step.value


def test_use_is_a_share_and_no_less_than_the_wait(answer: TrainingEstimate) -> None:
    found = bottleneck(answer)
    assert all(0 <= found.utilization[name] <= 1 for name in RESOURCES)
    assert found.seconds.keys() <= {*RESOURCES, BUBBLE, STRAGGLERS}
    for name in set(RESOURCES) - {"compute"}:  # in use there are its peak FLOPs, not the rate of its kernels
        assert found.utilization[name] >= found.share(name) * (1 - 1e-12)


def test_links_that_pass_the_same_bytes_on_both_work() -> None:
    """Gradients cross the scale-up links of a node on their way to the network, which they wait for."""
    found = bottleneck(estimate(plan_from(PLANS["experts"])))
    assert found.utilization["scale_up_network"] > 2 * found.share("scale_up_network")


def test_advice_has_a_code_with_a_paragraph(answer: TrainingEstimate) -> None:
    advice = bottleneck(answer).advice
    assert CODES[advice.code].title.startswith("Held back by")
    assert "{" not in advice.message


def test_a_plan_that_does_not_fit_is_held_back_by_memory() -> None:
    answer = estimate(
        plan_from({"model": "llama-3.1-70b", "hardware": "h100-sxm-80gb", "devices": 8, "tp": 1, "pp": 1, "zero": 1})
    )
    found = bottleneck(answer)
    assert not answer.fits
    assert found.resource == CAPACITY
    assert found.utilization[CAPACITY] > 1


def test_a_tenth_more_memory_may_save_recomputation() -> None:
    """Llama 3.1 8B between two memory sizes: with the larger one the plan fits without recomputing."""
    words = {"model": "llama-3.1-8b", "hardware": "h100-sxm-80gb", "devices": 8, "tp": 2, "pp": 1, "micro_batch": 2,
             "seq_len": 8192, "global_batch": 64}  # fmt: skip
    full, none = (estimate(plan_from({**words, "recompute": recompute})) for recompute in ("full", "none"))
    assert none.step.value < full.step.value
    memory = full.plan.device.memory
    short = none.peak.value + memory.reserved - 0.05 * none.peak.value  # holds the plan that recomputes, not the other
    device = replace(full.plan.device, memory=replace(memory, capacity=short))
    tight = estimate(replace(full.plan, device=device))
    assert tight.fits
    assert bottleneck(tight).elasticity[CAPACITY].speedup == pytest.approx(full.step.value / none.step.value)
    assert bottleneck(none).elasticity[CAPACITY].speedup == 1


def test_the_parts_point_where_one_expects() -> None:
    """A pipeline with as many micro-batches as stages waits for its bubble, tiny layers for the host."""
    pipeline = {
        "model": "llama-3.1-70b",
        "hardware": "h100-sxm-80gb",
        "devices": 64,
        "tp": 8,
        "pp": 8,
        "global_batch": 4,
    }
    assert bottleneck(estimate(plan_from(pipeline))).resource == BUBBLE
    small = {
        "model": "gpt2",
        "hardware": "h100-sxm-80gb",
        "devices": 8,
        "micro_batch": 1,
        "seq_len": 256,
        "stack": "generic",
    }
    assert bottleneck(estimate(plan_from(small))).resource == "host"
