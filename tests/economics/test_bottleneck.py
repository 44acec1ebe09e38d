"""Bottlenecks: shares sum to the step, elasticities are what the changed plan gives, nothing is guessed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmplan.answer.bottleneck import BUBBLE, CAPACITY, STRAGGLERS, bottleneck, busy, shares
from llmplan.answer.knobs import KNOBS, MORE
from llmplan.answer.resolve import plan_from
from llmplan.setup.codes import CODES
from llmplan.training.estimate import TrainingEstimate, estimate
from llmplan.training.step import training_time

H100: dict[str, Any] = {"hardware": "h100-sxm-80gb", "tp": 2, "pp": 1}
PLANS: dict[str, dict[str, Any]] = {
    "one device": {"model": "gpt2", "hardware": "a100-sxm-80gb", "devices": 1, "seq_len": 1024, "global_batch": 8},
    "inside a node": {**H100, "model": "llama-3.1-8b", "devices": 8},
    "pipeline": {**H100, "model": "llama-3.1-70b", "devices": 64, "tp": 4, "pp": 8, "global_batch": 32},
    "experts": {**H100, "model": "mixtral-8x7b", "devices": 64, "tp": 1, "ep": 8, "zero": 3},
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


def test_the_knobs_hold_every_rate_and_every_fixed_time(answer: TrainingEstimate) -> None:
    """With all of them ten times as fast the step is ten times as short: that is why shares sum to it."""
    plan = answer.plan
    for knob in KNOBS.values():
        plan = knob(plan, 10.0)
    assert float(training_time(plan).step_seconds) == pytest.approx(answer.step.value / 10, rel=1e-9)


def test_elasticities_are_estimates_of_changed_plans(answer: TrainingEstimate) -> None:
    """10 % more peak, spelled out here, is what the elasticity of compute says."""
    device = answer.plan.device
    peak = {name: 1.1 * rate for name, rate in device.peak.items()}
    faster = replace(answer.plan, device=device.model_copy(update={"peak": peak}))
    found = bottleneck(answer).elasticity["compute"]
    assert found.step_seconds == estimate(faster).step.value
    assert found.speedup == answer.step.value / found.step_seconds


def test_more_of_a_resource_without_a_share_changes_nothing(answer: TrainingEstimate) -> None:
    found = bottleneck(answer)
    for name in KNOBS:
        one = found.elasticity[name]
        assert one.speedup >= 1 - 1e-12
        if name not in found.seconds:
            assert one.step_seconds == pytest.approx(answer.step.value, rel=1e-5)


def test_no_resource_gives_more_than_its_share(answer: TrainingEstimate) -> None:
    """10 % more of a resource saves at most a tenth of its own time and of the waiting that scales with it."""
    found, step = bottleneck(answer), answer.step.value
    waiting = 1 / (1 - found.share(BUBBLE) - found.share(STRAGGLERS))
    for name in KNOBS:
        saved = step - found.elasticity[name].step_seconds
        # The derivative is a bound but where a kink lies between: work that was hidden may surface, never vanish.
        assert saved <= (1 - 1 / MORE) * found.seconds.get(name, 0.0) * waiting * MORE + 1e-6 * step


def test_use_is_a_share_and_no_less_than_the_wait(answer: TrainingEstimate) -> None:
    found = busy(answer.plan, answer.step.value)
    waits = shares(answer.plan, answer.time)
    assert all(0 <= share <= 1 for share in found.values())
    assert set(found) == set(KNOBS)
    assert waits.keys() <= {*KNOBS, BUBBLE, STRAGGLERS}


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
    assert found.used[CAPACITY] > 1


def test_a_tenth_more_memory_may_save_recomputation() -> None:
    """Llama 3.1 8B between two memory sizes: with the larger one the plan fits without recomputing."""
    words = {"model": "llama-3.1-8b", "hardware": "h100-sxm-80gb", "devices": 8, "tp": 2, "pp": 1, "micro_batch": 2,
             "seq_len": 8192, "global_batch": 64}  # fmt: skip
    full, none = (estimate(plan_from({**words, "recompute": recompute})) for recompute in ("full", "none"))
    assert none.step.value < full.step.value
    memory = full.plan.device.memory
    short = none.peak.value + memory.reserved - 0.05 * none.peak.value  # holds the plan that recomputes, not the other
    device = full.plan.device.model_copy(update={"memory": memory.model_copy(update={"capacity": short})})
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
