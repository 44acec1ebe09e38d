"""Deployments on arrays are those of `estimate`, and the winner is the best of all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmplan.catalog.catalog import open_catalog
from llmplan.errors import InputError
from llmplan.machine.hardware import Device
from llmplan.records import replace
from llmplan.search.ask import Ask, Wishes
from llmplan.search.deployments import chunks
from llmplan.search.serving import best_of_many, search_serving
from llmplan.search.serving_goal import ServingSearch, serving_value
from llmplan.search.serving_request import serving_question
from llmplan.search.serving_space import DeploymentSpace
from llmplan.serving.estimate import ServingEstimate, estimate_serving
from llmplan.serving.plan import ServingPlan
from llmplan.setup.request import request

CLOSE = 1e-12
LOADS: list[dict[str, Any]] = [
    {"request_rate": 2.0}, {"request_rate": 30.0, "max_ttft": 0.5}, {"load": "closed"}, {"load": "static"},
    {"load": "saturated"}, {"load": "closed", "max_tpot": 0.03},
]  # fmt: skip


ENGINES = [
    ("vllm", None), ("sglang", None), ("tensorrt-llm", None), ("generic", None), ("vllm", "0.2"),
    ("vllm", "MLPerf v4.1"),
    ("tensorrt-llm", "0.5.0"), ("tensorrt-llm", "0.8.0"), ("tensorrt-llm", "MLPerf v4.1"),
]  # fmt: skip


def asked(wishes: Wishes, given: dict[str, Any] | None = None, **words: Any) -> ServingSearch:
    plain = {"workload": "serve", "input_tokens": 1200, "output_tokens": 200, **words}
    return serving_question(Ask(request(plain), given or {}, wishes), open_catalog())[0]


def everything(question: ServingSearch) -> list[ServingEstimate]:
    """Every legal deployment, each through `estimate_serving` alone."""
    found = []
    for base in question.bases:
        for many in chunks(DeploymentSpace(base, question.devices, question.most, question.choices)):
            for index in range(len(many.rows)):
                plan, layout = many.make(index)
                found.append(estimate_serving(plan.with_layout(layout)))
    return found


@settings(max_examples=40)
@given(
    model=st.sampled_from(["llama-3.1-8b", "llama-3.1-70b", "mixtral-8x7b-v0.1", "deepseek-v3-671b", "gemma-3-27b"]),
    hardware=st.sampled_from(["h100", "a100-sxm-40gb", "h200-sxm-141gb"]),
    devices=st.sampled_from(["8", "12", "4,16"]),
    load=st.sampled_from(LOADS),
    engine=st.sampled_from(ENGINES),
)
def test_array_path_equals_scalar_path(
    model: str, hardware: str, devices: str, load: dict[str, Any], engine: tuple[str, str | None]
) -> None:
    words = {"model": model, "hardware": hardware, "stack": engine[0], "stack_version": engine[1], **load}
    question = asked(Wishes(), {"devices": devices}, **words)
    (base,) = question.bases
    for many in chunks(DeploymentSpace(base, question.devices, None, question.choices)):
        for index in range(0, len(many.rows), 7):
            plan, layout = many.make(index)
            alone = estimate_serving(plan.with_layout(layout))
            assert bool(many.fits[index]) == alone.fits
            assert many.devices[index] == alone.plan.devices
            assert many.capacity[index] == pytest.approx(alone.capacity, rel=CLOSE)
            assert many.answer.ttft[index] == pytest.approx(alone.ttft.value, rel=CLOSE)
            assert many.answer.request[index] == pytest.approx(alone.request.value, rel=CLOSE)
            if alone.output_tokens_per_second is not None and "request_rate" not in load:
                written = many.output_tokens_per_second[index]
                assert written == pytest.approx(alone.output_tokens_per_second.value, rel=CLOSE)
            if alone.tpot is not None:
                assert many.answer.tpot[index] == pytest.approx(alone.tpot.value, rel=CLOSE)


@pytest.mark.parametrize("objective", ["cost", "devices", "latency", "throughput", "memory-headroom"])
@pytest.mark.parametrize("load", [{"request_rate": 8.0, "max_tpot": 0.06}, {"load": "closed", "max_ttft": 1.0}])
def test_winner_equals_brute_force(objective: str, load: dict[str, Any]) -> None:
    question = asked(Wishes(objective=objective, max_devices=12), model="llama-3.1-70b", hardware="h100", **load)
    found = search_serving(question)
    kept = [one for one in everything(question) if one.answers and (one.queued <= 0 or "load" not in load)]
    sure = [one for one in kept if one.verdict == "fits"]
    values = [next(iter(serving_value(question, objective, one).values())) for one in sure or kept]
    sign = -1 if objective in ("throughput", "memory-headroom") else 1
    best = min(values, key=lambda value: sign * value)
    value = next(iter(serving_value(question, objective, found.best[0]).values()))
    if question.opens_batch:  # between the powers of two there may be better ones: see below
        assert found.counts.kept >= len(kept) > 0
        assert sign * value <= sign * best
    else:
        assert found.counts.kept == len(kept) > 0
        assert value == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize(("load", "stack"), [("closed", "vllm"), ("static", "tensorrt-llm")])
@pytest.mark.parametrize("targets", [{"max_tpot": 0.03}, {"max_ttft": 0.15}, {"max_ttft": 2.0, "max_tpot": 0.05}])
@pytest.mark.parametrize("objective", ["throughput", "cost"])
def test_the_batch_under_a_limit_is_the_best_of_all_numbers(
    load: str, stack: str, targets: dict[str, float], objective: str
) -> None:
    """Every number of requests in flight from 1 to 1,024 on every layout of up to four devices."""
    words = {"model": "mixtral-8x7b-v0.1", "hardware": "h100", "stack": stack, "load": load, **targets}
    wishes = Wishes(objective=objective, max_devices=4)
    found = search_serving(asked(wishes, **words)).best[0]
    every = asked(wishes, {"batch": ",".join(map(str, range(1, 1025)))}, **words)
    best = next(one for one in search_serving(every).best if one.queued <= 0)
    assert found.plan.as_options() == best.plan.as_options()
    assert found.plan.workload.batch not in (1 << bit for bit in range(15))
    assert serving_value(every, objective, found) == serving_value(every, objective, best)


def test_more_devices_are_never_worse() -> None:
    words: dict[str, Any] = {"model": "llama-3.1-70b", "hardware": "a100-sxm-80gb", "request_rate": 5.0}
    costs = []
    for most in (8, 16, 32):
        found = search_serving(asked(Wishes(objective="latency", max_devices=most), **words)).best
        costs.append(found[0].request.value if found else float("inf"))
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < float("inf")


@pytest.mark.parametrize("words", [
    {"model": "qwen3-235b-a22b"}, {"load": "closed", "max_tpot": 0.02}, {"request_rate": 2.0},
], ids=str)  # fmt: skip
def test_searches_side_by_side_find_what_each_finds_alone(words: dict[str, Any]) -> None:
    """Where it fits, fits nowhere and cannot be searched for, on devices and stacks of several kinds at once."""
    wishes = Wishes(objective="throughput", top=1)
    questions = [
        asked(wishes, **{"model": "llama-3.1-8b", "hardware": hardware, "stack": stack, "devices": 8} | words)
        for hardware, stack in (
            ("h100", "vllm"),
            ("l4", "vllm"),
            ("mi300x", "vllm"),
            ("h100", "sglang"),
            ("b200", None),
        )
    ]
    found = [search_serving(question) for question in questions]
    first = [(one.best or one.misses)[0].plan for one in found]
    cut = replace(questions[1], bases=(replace(questions[1].bases[0], device=_unmeasured(questions[1].bases[0])),))
    (*ones, error) = best_of_many([*questions, cut])
    assert [replace(one, machine=None) for one in ones if not isinstance(one, InputError) and one] == first
    assert isinstance(error, InputError)


def _unmeasured(plan: ServingPlan) -> Device:
    return replace(plan.device, efficiency=replace(plan.device.efficiency, attention={}))


def test_what_drafts_hang_on_the_layout_goes_through_arrays() -> None:
    """An engine that drafts fewer tokens under data-parallel attention, at a rate and under a percentile."""
    words = {"model": "deepseek-v3-671b", "hardware": "h200", "stack": "tensorrt-llm", "speculation": "mtp"}
    question = asked(Wishes(objective="devices", max_devices=16), **words, request_rate=5.0, max_ttft_p95=2.0)
    best = search_serving(question).best[0]
    assert best == estimate_serving(best.plan)
    assert best.answers
    (base,) = question.bases
    for many in chunks(DeploymentSpace(base, question.devices, question.most, question.choices)):
        some = many.take(np.flatnonzero(many.capacity > 5.0)[::12])
        ones = [estimate_serving(plan.with_layout(layout)) for plan, layout in map(some.make, range(len(some.rows)))]
        assert len(set(map(float, some.answer.tpot))) > 3
        assert some.answer.tpot == pytest.approx([one.tpot.value for one in ones if one.tpot is not None], rel=CLOSE)
