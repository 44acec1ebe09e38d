"""Two pools in a search: both layouts and their ratio, as `estimate` has them."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan.catalog.catalog import open_catalog
from llmplan.search.deployments import chunks
from llmplan.search.request import Ask, Wishes
from llmplan.search.serving import search_serving
from llmplan.search.serving_goal import ServingSearch, serving_value
from llmplan.search.serving_request import serving_question
from llmplan.search.split import SplitSpace
from llmplan.serving.estimate import estimate_serving
from llmplan.setup.request import request

WORDS: dict[str, Any] = {"model": "llama-3.1-8b", "hardware": "h100", "stack": "vllm", "workload": "serve",
                         "input_tokens": 2000, "output_tokens": 300}  # fmt: skip
LOADS: list[dict[str, Any]] = [{"request_rate": 12.0, "max_tpot": 0.012}, {"load": "closed", "max_tpot": 0.012}]


def asked(wishes: Wishes, given: dict[str, Any] | None = None, **words: Any) -> ServingSearch:
    return serving_question(Ask(request({**WORDS, **words}), given or {}, wishes), open_catalog())[0]


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("model", ["llama-3.1-8b", "mixtral-8x7b-v0.1"])
def test_arrays_of_two_pools_are_those_of_estimate(model: str, load: dict[str, Any]) -> None:
    question = asked(Wishes(max_devices=6), model=model, **load)
    (base,) = question.bases
    for many in chunks(SplitSpace(base, question.devices, question.most, question.choices)):
        for index in range(0, len(many.rows), 41):
            plan, layout = many.make(index)
            alone = estimate_serving(plan.with_layout(layout))
            assert bool(many.fits[index]) == alone.fits
            assert many.devices[index] == alone.plan.devices
            assert many.capacity[index] == pytest.approx(alone.capacity, rel=1e-12)
            assert many.answer.ttft[index] == pytest.approx(alone.ttft.value, rel=1e-12)
            assert alone.tpot is not None
            assert many.answer.tpot[index] == pytest.approx(alone.tpot.value, rel=1e-12)


@pytest.mark.parametrize("objective", ["cost", "throughput"])
def test_the_ratio_and_both_layouts_are_the_best_of_all(objective: str) -> None:
    words = {"request_rate": 12.0, "max_tpot": 0.012, "max_ttft": 0.5}
    question = asked(Wishes(max_devices=6, objective=objective, top=3, try_split=True), {"prefill_tp": "1,2"}, **words)
    found = search_serving(question)
    (base,) = question.bases
    every = []
    for many in chunks(SplitSpace(base, question.devices, question.most, question.choices)):
        plans = [many.make(index) for index in range(len(many.rows))]
        every += [estimate_serving(plan.with_layout(layout)) for plan, layout in plans]
    kept = [one for one in every if one.answers and one.verdict == "fits"]
    sign = -1.0 if objective == "throughput" else 1.0
    values = [sign * next(iter(serving_value(question, objective, one).values())) for one in kept]
    best = sign * next(iter(serving_value(question, objective, found.best[0]).values()))
    assert best == min(values)
    assert found.best[0].plan.prefill is not None
    assert found.best[0].plan.prefill.tp in (1, 2)


def test_split_pools_win_where_tokens_must_come_evenly() -> None:
    """No prompt comes between tokens: what one pool misses on all devices, two keep."""
    words: dict[str, Any] = {"request_rate": 8.0, "input_tokens": 8000}
    pinned = {"devices": "6", "tp": 1, "pp": 1}
    (one,) = search_serving(asked(Wishes(objective="latency", top=1), pinned, **words)).best
    assert one.tpot is not None
    words["max_tpot"] = 0.95 * one.tpot.value
    assert not search_serving(asked(Wishes(top=1), pinned, **words)).best
    (two,) = search_serving(asked(Wishes(top=1, try_split=True), pinned, **words)).best
    assert two.plan.prefill is not None


def test_shares_of_requests_at_two_pools_are_kept_and_those_of_estimate() -> None:
    question = asked(Wishes(max_devices=4, top=1, try_split=True), {"prefill_tp": "1"}, request_rate=14.0,
                     max_ttft_p95=0.4, max_tpot_p99=0.011)  # fmt: skip
    (base,) = question.bases
    (many,) = chunks(SplitSpace(base, question.devices, question.most, question.choices))
    shares = many.sample.percentiles()
    every = []
    for index in range(0, len(many.rows), 3):
        plan, layout = many.make(index)
        alone = estimate_serving(plan.with_layout(layout))
        if alone.stable:
            assert alone.percentiles == pytest.approx({name: value[index] for name, value in shares.items()}, rel=1e-9)
            every.append(alone)
    found = search_serving(question).best[0]
    assert found.answers
    assert found.plan.prefill is not None
    assert found.plan.devices == min(one.plan.devices for one in every if one.answers)
