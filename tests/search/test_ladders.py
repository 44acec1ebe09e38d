"""Limits on percentiles: what is ruled out without being simulated misses them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llmplan.records import replace
from llmplan.search import deployments
from llmplan.search.ask import Wishes
from llmplan.search.budget import Budget
from llmplan.search.deployments import chunks
from llmplan.search.ladders import CLEARLY, Ladders
from llmplan.search.serving import FEWER, UNTRIED, first_of, search_serving
from llmplan.search.serving_space import DeploymentSpace
from llmplan.search.split import SplitSpace
from llmplan.serving import percentiles, simulation
from llmplan.serving.estimate import estimate_serving
from llmplan.serving.percentiles import alone_figures, judged
from tests.search.test_search_serving import asked


@pytest.mark.parametrize("seed", range(5))
def test_what_keeps_is_found_in_whatever_order_it_is_wanted(seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows = np.array([(tp, 1, 1, copies, 0, 0, 0, 0) for tp in (1, 2, 4, 8) for copies in range(1, 33)])
    least = draw.integers(1, 40, 4)[np.log2(rows[:, 0]).astype(int)]  # replicas with which a kind keeps its limit
    worst = least / rows[:, 3]
    keeps = worst <= 1.0
    ladders, order, found, tries = Ladders.of(rows, draw.random(len(rows)) < 0.5), draw.permutation(len(rows)), set(), 0
    while len(order):
        tried = ladders.next_of(order[:4])
        ladders.found(tried, keeps[tried], worst[tried])
        found |= set(tried[keeps[tried]].tolist())
        order = order[~np.isin(order, tried)]
        order, tries = order[ladders.may(order)], tries + len(tried)
    assert found == set(np.flatnonzero(keeps).tolist())
    nearly = np.count_nonzero(~keeps & (worst <= CLEARLY))
    assert tries <= np.count_nonzero(keeps) + nearly + 4 * 7  # halving 32 numbers of replicas, of four kinds


def test_a_limit_that_nothing_keeps_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It took over 5 s: every deployment was simulated."""
    simulate, counted = deployments.simulate, []

    def count(*args: Any, **more: Any) -> Any:
        counted.append(len(args[3].rate))
        return simulate(*args, **more)

    monkeypatch.setattr(deployments, "simulate", count)
    words = {"model": "llama-3.1-8b", "hardware": "h100", "stack": "vllm", "load": "open", "request_rate": 20.0}
    question = asked(Wishes(max_devices=8, top=1, objective="devices"), {"tp": "1,2"}, **words, max_ttft_p95=0.055)
    found = search_serving(question)
    assert not found.best
    assert found.counts.removed[FEWER] > 0
    assert sum(counted) < found.counts.fitting / 2


@pytest.mark.parametrize("words", [{}, {"arrival": "gamma", "arrival_cv": 2.0}])
@pytest.mark.parametrize("split", [False, True])
def test_answers_are_made_of_what_the_search_has_simulated(
    monkeypatch: pytest.MonkeyPatch, words: dict[str, Any], split: bool
) -> None:
    """Their figures are those of `estimate_serving` alone, to the last digit."""
    words = {
        "model": "llama-3.1-8b",
        "hardware": "h100",
        "stack": "vllm",
        "request_rate": 14.0,
        "max_ttft_p95": 0.4,
        "max_tpot_p99": 0.02,
        **words,
    }
    wishes = Wishes(max_devices=3, top=3, objective="devices", try_split=split)
    with monkeypatch.context() as patch:
        patch.delattr(percentiles, "simulate")
        found = search_serving(asked(wishes, {"prefill_tp": "1"} if split else {}, **words)).best
    assert found
    for one in found:
        assert (one.plan.prefill is not None) == split
        assert one == estimate_serving(replace(one.plan))


def test_a_pool_of_many_pairs_is_simulated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    simulated, counted = simulation._simulated, []

    def count(times: Any, arriving: Any, *args: Any, **more: Any) -> Any:
        counted.append(len(arriving.rate))
        return simulated(times, arriving, *args, **more)

    monkeypatch.setattr(simulation, "_simulated", count)
    words = {"model": "llama-3.1-8b", "hardware": "h100", "stack": "vllm", "request_rate": 4.0, "max_ttft_p95": 0.4}
    question = asked(Wishes(max_devices=4, try_split=True), {"prefill_tp": "1", "tp": "1"}, **words)
    (many,) = chunks(SplitSpace(question.bases[0], question.devices, question.most, question.choices))
    pairs = [(int(row[3]), int(row[6])) for row in many.rows]  # replicas that write and that read, of one device each
    assert many.sample.ttft.shape == (len(pairs), simulation.LANES * simulation.MEASURED)
    reads, writes = ({pair[place] for pair in pairs} for place in (1, 0))
    assert sorted(pairs) == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 1)]
    assert counted == [len(reads), len(writes)]


def test_a_search_that_may_simulate_little_says_that_it_ended_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under limits that formulas give hope of keeping, and the simulation does not."""
    words = {"model": "llama-3.1-8b", "hardware": "h100", "stack": "vllm", "request_rate": 15.0, "max_ttft_p95": 0.06}
    question = asked(Wishes(objective="devices", max_devices=8, top=1), **words)
    monkeypatch.setattr("llmplan.search.serving.OF_A_SEARCH", 1.0)
    assert search_serving(question).counts.removed[UNTRIED] > 0
    budget = Budget(1.0)
    first_of(question, budget.part(0.5))
    assert budget.short


def test_a_budget_is_shared_and_counts_what_is_simulated_together() -> None:
    budget = Budget(10_000.0)
    part = budget.part(0.25)
    assert part.take(np.full(128, 200)) == 128  # 200 steps one after the other, and 128 x 32 x 200 / 600 beside them
    assert budget.left == pytest.approx(10_000.0 - 200.0 - 128 * 32 * 200 / 600.0)
    assert not part.short
    part.left = 2_500.0
    assert part.take(np.full(50, 8_000)) == 20  # twice what the first takes alone
    assert part.take(np.full(50, 8_000)) == 0
    assert part.short
    assert budget.short


@pytest.mark.parametrize("variation", [0.3, 3.0])
def test_no_request_takes_less_than_one_that_is_alone(variation: float) -> None:
    """Which nothing is simulated for where that misses a limit already."""
    words = {"model": "llama-3.1-8b", "hardware": "h100", "stack": "sglang", "request_rate": 20.0}
    limits = {"max_ttft": 1.0, "max_tpot": 1.0, "max_request": 9.0, "max_ttft_p95": 1.0, "max_tpot_p95": 1.0}
    gamma = {"arrival": "gamma", "arrival_cv": variation}
    question = asked(Wishes(objective="devices", max_devices=4), **words, **limits, **gamma)
    (many,) = chunks(DeploymentSpace(question.bases[0], question.devices, question.most, question.choices))
    many = many.take(many.capacity > 20.0)
    work = question.bases[0].workload
    for name, least in alone_figures(many.idle, work).items():
        assert np.all(least <= judged(many.sample, many.answer, work)[name]), name
        assert variation > 1.0 or np.all(least > 0.3 * judged(many.sample, many.answer, work)[name].min()), name
