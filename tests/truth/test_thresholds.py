"""Where choices tip: defaults, tolerances and sizes at which another way is taken, one case just on each side."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from llmplan.answer.resolve import plan_from
from llmplan.records import replace
from llmplan.serving.copies import copies_needed
from llmplan.serving.defaults import has_room, lengths
from llmplan.serving.memory import memory_fraction
from llmplan.serving.simulation import Sample
from llmplan.setup.options import PlanOptions
from llmplan.software.band import Interval
from llmplan.software.engine import KeptBack
from llmplan.training.choose import Again, LayoutEvaluator, Rungs, fastest_that_fits
from llmplan.training.open_layouts import OpenLayouts, accumulated, default_batch, default_experts, default_micro_batch
from llmplan.training.plan import TrainingPlan
from llmplan.training.published import nearest_published
from tests.serving.plans import answer
from tests.truth.counting import POLICY, layout, machine, model, serving, training


def test_micro_batches_of_a_pipeline_without_a_batch() -> None:
    # four for each of three stages, of two sequences, in each of five replicas
    assert default_batch(layout(dp=5, pp=3, micro_batch=2)) == 4 * 3 * 2 * 5
    assert default_batch(layout(dp=2, pp=3, vp=2), 1024) == 1026  # 171 rounds of 3 micro-batches in each of two groups
    assert default_batch(layout(dp=2, pp=3), 1024) == 1024


def test_tokens_of_a_pre_training_step_without_a_batch() -> None:
    assert accumulated(PlanOptions(), training(machine(), work={"seq_len": 4096})) == 4 * 2**20 / 4096


@pytest.mark.parametrize(("length", "size"), [(512, 8), (2048, 2), (2049, 1)])  # to 4,096 tokens
def test_a_micro_batch_is_doubled_while_products_grow_faster_with_it(length: int, size: int) -> None:
    base = training(machine(), work={"seq_len": length})
    assert default_micro_batch(PlanOptions(), base, 1, 1) == size


def test_a_sequence_that_nobody_gave_has_4096_tokens() -> None:
    found = plan_from({"model": "llama-3.1-8b", "hardware": "h100", "devices": 8, "workload": "pretrain"})
    assert isinstance(found, TrainingPlan)
    assert found.workload.seq_len == 4096


@pytest.mark.parametrize(("experts", "spread"), [(3, 1), (6, 2), (12, 4), (64, 8)])
def test_experts_are_spread_as_far_as_powers_of_two_divide_them(experts: int, spread: int) -> None:
    routed = model(experts=experts, experts_per_token=2, expert_ffn_hidden=10)
    assert default_experts(routed, 64, 8) == spread


def test_recomputation_is_tried_in_eighths_of_a_stage() -> None:
    options = PlanOptions(tp=1, pp=1, global_batch=1, micro_batch=1)
    base = training(machine(), spec={"layers": 16})
    tried = OpenLayouts(1, ("full",), free=False, default="none").plans(options, base)
    assert [layers for one in tried for _, layers in one.again] == [2, 4, 6, 8, 10, 12, 14, None]


ONE: list[Again] = [("none", None)]


@pytest.mark.parametrize(("slower", "tp"), [(1.0195, 1), (1.0205, 2)])
def test_a_simpler_layout_is_taken_where_it_is_two_per_cent_slower_at_most(slower: float, tp: int) -> None:
    plans = [Rungs(training(machine(), tp=1, dp=2), ONE), Rungs(training(machine(), tp=2), ONE)]
    seconds = {1: slower, 2: 1.0}
    by = LayoutEvaluator(lambda _: Interval(1.0, 1.0, 1.0), lambda one, _: seconds[int(one[0].plan.layout.tp)])
    assert fastest_that_fits(plans, 2, by)[0].layout.tp == tp


@pytest.mark.parametrize(("slower", "stages"), [(1.020, 1), (1.021, 2)])  # 1 / 0.98 = 1.0204
def test_stages_are_added_where_they_save_two_per_cent(slower: float, stages: int) -> None:
    plans = [Rungs(training(machine(), dp=2), ONE), Rungs(training(machine(), pp=2), ONE)]
    seconds = {1: slower, 2: 1.0}
    by = LayoutEvaluator(lambda _: Interval(1.0, 1.0, 1.0), lambda one, _: seconds[int(one[0].plan.layout.pp)])
    assert fastest_that_fits(plans, 2, by)[0].layout.pp == stages


@pytest.mark.parametrize(("more", "is_named"), [(1.0195, True), (1.0206, False)])
def test_published_layouts_of_models_as_large_to_two_per_cent(more: float, is_named: bool) -> None:
    like: Any = SimpleNamespace(parameters=8030261248 / more)
    assert bool(nearest_published(like, "a100-sxm-80gb", 64)) is is_named


def test_lengths_of_a_chat() -> None:
    assert lengths(None, None) == (290, 290)
    assert lengths(10, None) == (10, 290)


def test_weights_leave_a_quarter_to_the_cache() -> None:
    assert has_room(74.9, 100.0)
    assert not has_room(75.1, 100.0)


@pytest.mark.parametrize(("most", "copies"), [(0.2213, 6), (0.2232, 5)])  # 1 / (0.9 x 0.2213) is a little over 5
def test_a_tenth_of_the_capacity_is_left_free(most: float, copies: int) -> None:
    plan = serving(machine(), work={"load": "open", "request_rate": 1.0})
    assert copies_needed(plan, 8.0, most) == copies


def test_a_rate_is_meant_to_one_per_cent() -> None:
    found = answer(load="open", batch=None, request_rate=1.0, input_tokens=100, output_tokens=50)
    rate = found.output_tokens_per_second
    assert rate is not None
    assert (rate.value, rate.low, rate.high) == pytest.approx((50, 49.5, 50.5))


@pytest.mark.parametrize(("tp", "graphs"), [(3, 100), (4, 300)])
def test_an_engine_captures_larger_graphs_from_four_devices_on(tp: int, graphs: int) -> None:
    back = KeptBack(fixed=0, each_token=0, each_sequence=1e9, each_device=0, large=1e15, least=0)
    policy = replace(POLICY, kept_back=back, graph_sequences=100, graph_sequences_tensor=300)
    plan = serving(machine(), policy=policy, tp=tp)
    assert memory_fraction(plan, policy) == pytest.approx(1 - graphs * 1e9 / 1e12)


def test_percentiles_of_the_requests_of_a_deployment() -> None:
    times = np.arange(1.0, 102.0)[None, :]  # 1 to 101 seconds: one more for each hundredth
    found = Sample(times, times, times).percentiles()
    assert {name: float(value[0]) for name, value in found.items() if name.startswith("ttft")} == pytest.approx(
        {"ttft_p50": 51, "ttft_p95": 96, "ttft_p99": 100}
    )
