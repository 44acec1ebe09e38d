"""Fits, marginal, does not fit; bands; warnings that go with them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmplan import plan_from
from llmplan.answer.resolve import AnyPlan
from llmplan.software.band import NO_BAND, Band, Interval, verdict
from llmplan.software.distance import Measured, Traits
from llmplan.training.estimate import estimate

GIB = 2.0**30


@pytest.mark.parametrize(
    ("low", "value", "high", "expected"),
    [
        (60, 70, 79, "fits"),
        (60, 70, 80, "fits"),  # the limit itself fits
        (60, 70, 81, "marginal"),
        (75, 85, 95, "marginal"),
        (80, 85, 95, "marginal"),
        (81, 85, 95, "does-not-fit"),
    ],
)
def test_verdict_by_the_ends_of_the_band(low: float, value: float, high: float, expected: str) -> None:
    assert verdict(Interval(value * GIB, low * GIB, high * GIB), 80 * GIB) == expected


@pytest.fixture(scope="module")
def plan() -> AnyPlan:
    return plan_from({
        "model": "llama-3.1-8b", "hardware": "h100", "devices": 8, "tp": 1, "pp": 1, "zero": 3, "seq_len": 4096,
        "micro_batch": 1, "recompute": "none", "stack": "generic", "global_batch": 64,
    })  # fmt: skip


def on_memory(plan: AnyPlan, capacity: float, low: float = 0.9, high: float = 1.1) -> AnyPlan:
    """The plan on a device with that much usable memory, in a band."""
    memory = replace(plan.device.memory, capacity=capacity, reserved=0.0)
    bands = plan.stack.bands | {"peak_bytes": Band(low=low, high=high)}
    return replace(
        plan,
        device=replace(plan.device, memory=memory),
        stack=replace(plan.stack, bands=bands, widening={}),
    )


@pytest.mark.parametrize(
    ("room", "expected", "fits"),
    [(1.2, "fits", True), (1.05, "marginal", True), (0.95, "marginal", False), (0.8, "does-not-fit", False)],
)
def test_estimate_compares_the_peak_with_what_is_usable(plan: AnyPlan, room: float, expected: str, fits: bool) -> None:
    peak = estimate(plan).peak.value
    answer = estimate(on_memory(plan, room * peak))
    assert answer.peak.value == peak  # capacity changes no prediction
    assert (answer.verdict, answer.fits) == (expected, fits)
    assert (answer.peak.low, answer.peak.high) == (pytest.approx(0.9 * peak), pytest.approx(1.1 * peak))


def test_what_the_driver_takes_is_not_usable(plan: AnyPlan) -> None:
    answer = estimate(plan)
    memory = plan.device.memory
    assert memory.reserved > 0
    assert answer.usable_bytes == memory.capacity - memory.reserved
    assert answer.capacity_bytes == memory.capacity


@pytest.mark.parametrize(("room", "warned"), [(1.2, False), (1.05, True), (0.95, True), (0.8, False)])
def test_a_limit_inside_the_band_is_a_warning(plan: AnyPlan, room: float, warned: bool) -> None:
    answer = estimate(on_memory(plan, room * estimate(plan).peak.value))
    assert ("LP010" in {warning.code for warning in answer.warnings}) is warned


@pytest.mark.parametrize(("room", "fits"), [(1.01, True), (0.99, False)])
def test_a_host_that_cannot_hold_what_is_offloaded(plan: AnyPlan, room: float, fits: bool) -> None:
    moved = plan.with_layout(replace(plan.layout, offload_optimizer=True))
    needed = estimate(moved).memory.host_bytes
    assert needed > 0
    host = replace(moved, cluster=replace(plan.cluster, host_memory=room * float(needed)))
    answer = estimate(host)
    assert answer.peak.high <= answer.usable_bytes  # the device has room in any case
    assert (answer.fits, answer.verdict) == (fits, "fits" if fits else "does-not-fit")
    assert ("LP012" not in {warning.code for warning in answer.warnings}) is fits


def test_what_a_stack_was_not_measured_on_has_a_wider_band(plan: AnyPlan) -> None:
    bands = {"step_seconds": Band(low=0.9, high=1.1)}
    measured = Measured(devices=(plan.device.id,), bits=("16",), layers=("dense",))
    widening = {"training": {"new_device": 2.0, "new_precision": 1.5}}
    stack = replace(plan.stack, bands=bands, measured=measured, widening=widening)
    known = replace(plan, stack=stack)
    away = replace(plan, stack=replace(stack, measured=replace(measured, devices=("x",))))
    assert (known.interval("step_seconds", 10.0).low, known.interval("step_seconds", 10.0).high) == (9.0, 11.0)
    assert away.interval("step_seconds", 10.0).high == pytest.approx(10.0 * 1.1**2)
    narrow = replace(measured, devices=("x",), bits=("8",))
    farther = replace(plan, stack=replace(stack, measured=narrow))
    assert farther.interval("step_seconds", 10.0).low == pytest.approx(10.0 * 0.9**3)
    assert known.interval("peak_bytes", 1.0).high == NO_BAND.high


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, set()),
        ({"version": "9.9"}, {"unknown_version"}),
        ({"bits": "8"}, {"new_precision"}),
        ({"layers": frozenset({"dense", "experts"})}, {"new_layers"}),
        ({"bits": "8", "device": "other"}, {"new_precision", "new_device"}),
        ({"open_load": True}, {"open_load"}),
    ],
)
def test_distances(plan: AnyPlan, changes: dict[str, object], found: set[str]) -> None:
    seen = Measured(devices=(plan.device.id,), versions=("1.0",), bits=("16",), layers=("dense",))
    stack = replace(plan.stack, measured=seen)
    traits = Traits(plan.device.id, "1.0", "16", frozenset({"dense"}))._replace(**changes)
    assert set(stack.distances(traits)) == found
    assert replace(stack, measured=Measured()).distances(traits)[0] == "unknown_stack"


def test_throughput_has_the_ends_of_the_step_the_other_way_round(plan: AnyPlan) -> None:
    answer = estimate(plan)
    tokens = 64 * 4096
    assert answer.tokens_per_second.low == pytest.approx(tokens / answer.step.high, rel=1e-12)
    assert answer.tokens_per_second.high == pytest.approx(tokens / answer.step.low, rel=1e-12)


def test_mfu_is_model_flops_over_peak(plan: AnyPlan) -> None:
    # Chowdhery et al. 2022 (arXiv 2204.02311), appendix B; H100: 989.4 TFLOP/s dense bf16
    answer = estimate(plan)
    assert answer.mfu == pytest.approx(answer.model_flops / (answer.step.value * 8 * 989.4e12), rel=1e-12)
    assert answer.hfu == answer.mfu  # nothing is computed again
    again = estimate(plan.with_layout(replace(plan.layout, recompute="full")))
    # one forward pass more: 4 thirds of the work where forward is a third of it, a little less as attention's
    # backward pass is 2.5 times its forward
    assert 1.28 < again.hfu / again.mfu < 4 / 3


def test_a_reserve_is_taken_off_what_is_usable(plan: AnyPlan) -> None:
    """The peak is what it was; 1 GiB less than what is over is none too much, 1 GiB more is."""
    words = plan.as_options()
    free = estimate(plan)
    over = free.usable_bytes - free.peak.value
    assert over > GIB
    for reserve, fits in ((over - GIB, True), (over + GIB, False)):
        found = estimate(plan_from({**words, "memory_reserve": reserve}))
        assert found.usable_bytes == pytest.approx(free.usable_bytes - reserve)
        assert (found.peak.value, found.fits) == (pytest.approx(free.peak.value), fits)
