"""Requests simulated one by one: against the closed formulas where they hold, and by themselves where none does."""

from __future__ import annotations

from math import exp, factorial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import llmplan
from llmplan.errors import InputError
from llmplan.search.request import Wishes
from llmplan.search.serving import search_serving
from llmplan.serving.estimate import ServingEstimate
from llmplan.serving.iteration import replica
from llmplan.serving.loads import outside_seconds, prefill_step
from llmplan.serving.percentiles import least_figures
from llmplan.serving.pools import pools_of, read_alone, transfer_seconds
from llmplan.serving.simulation import MEASURED, Arriving, _Rows, simulate
from tests.search.test_search_serving import asked, everything
from tests.serving.plans import answer, plan

OPEN: dict[str, Any] = {"load": "open", "batch": None, "input_tokens": 1500, "output_tokens": 300}


def waits_within(seconds: float, rate: float, service: float) -> float:
    """Share of waits at one server with a fixed service time that are no longer (Erlang 1909, M/D/1)."""
    terms = (
        (-rate * (seconds - k * service)) ** k / factorial(k) * exp(rate * (seconds - k * service))
        for k in range(int(seconds / service) + 1)
    )
    return (1.0 - rate * service) * sum(terms)


@pytest.mark.parametrize("busy", [0.3, 0.6])
def test_one_prompt_a_step_is_a_queue_with_a_fixed_service_time(busy: float) -> None:
    found = plan(**{**OPEN, "output_tokens": 1}, request_rate=1.0, max_num_batched_tokens=1500)
    at = replica(found)
    service = float(prefill_step(at, found.workload, 1500.0).total)
    rate, one = busy / service, np.ones(1)
    sample = simulate(at, found.workload, found.engine.policy, Arriving(rate * one, 256.0 * one, one), at)
    own = service + float(outside_seconds(at, found.workload, found.engine.policy))
    wait = sample.ttft - own
    assert wait.mean() == pytest.approx(busy * service / (2.0 * (1.0 - busy)), rel=0.08)
    for share in (0.8, 0.95, 0.99):
        assert waits_within(float(np.quantile(wait, share)) + 1e-9, rate, service) == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(
    ("stack", "rate"),
    [(stack, rate) for stack in ("vllm", "tensorrt-llm") for rate in (1.0, 5.0, 9.0)]
    + [("sglang", 1.0), ("sglang", 7.0)],
)
def test_poisson_means_are_those_of_the_formulas(stack: str, rate: float) -> None:
    """With the same steps underneath, in engines that read beside writing and in those that read before it."""
    found = plan(**OPEN, request_rate=rate, stack=stack)
    here = answer(**OPEN, request_rate=rate, stack=stack)
    assert here.load < 0.8
    at, one = replica(found), np.ones(1)
    arriving = Arriving(rate * one, float(here.memory.resident) * one, here.sequences * one)
    means = simulate(at, found.workload, found.engine.policy, arriving, at).means()
    assert here.tpot is not None
    assert float(means["tpot"][0]) == pytest.approx(here.tpot.value, rel=0.03)
    assert float(means["ttft"][0]) == pytest.approx(here.ttft.value, rel=0.03)
    assert float(means["request"][0]) == pytest.approx(here.request.value, rel=0.03)


@pytest.mark.parametrize(
    "words",
    [
        # most of what a prompt costs is the reading of experts, once for all prompts of a step
        {"model": "qwen3-235b-a22b-2507", "hardware": "mi300x", "devices": 4, "tp": 4, "request_rate": 7.0},
        # nearly always alone, so that its prompt is read in a step in which the decoder has no work
        {"model": "t5-v1-1-xl", "hardware": "a100", "request_rate": 0.02},
    ],
)
def test_first_tokens_are_those_of_the_formulas(words: dict[str, Any]) -> None:
    said = OPEN | {"stack": "generic", "input_tokens": 290, "output_tokens": 48} | words
    found, here, one = plan(**said), answer(**said), np.ones(1)
    at, rate = replica(found), said["request_rate"]
    arriving = Arriving(rate * one, float(here.memory.resident) * one, here.sequences * one)
    sample = simulate(at, found.workload, found.engine.policy, arriving, at)
    assert here.ttft.value == pytest.approx(float(sample.means()["ttft"][0]), rel=0.015)


@pytest.mark.parametrize(
    ("stack", "prompt", "written", "share", "within"),
    [
        ("vllm", 2000, 8, 0.5, 0.08),  # what comes while a prompt is read is read in the steps that write its answer
        ("vllm", 8000, 50, 0.7, 0.12),  # the same, and a step has room for one prompt
        ("sglang", 128, 128, 0.7, 0.10),  # prompts come while others are read, so that few are read together
    ],
)
def test_times_are_those_of_the_formulas_under_load(
    stack: str, prompt: int, written: int, share: float, within: float
) -> None:
    """Of requests whole and of their first tokens, near the capacity too."""
    said: dict[str, Any] = {**OPEN, "stack": stack, "input_tokens": prompt, "output_tokens": written}
    rate = share * answer(**said, request_rate=0.1).capacity
    found, here, one = plan(**said, request_rate=rate), answer(**said, request_rate=rate), np.ones(1)
    arriving = Arriving(rate * one, float(here.memory.resident) * one, here.sequences * one)
    means = simulate(replica(found), found.workload, found.engine.policy, arriving, replica(found)).means()
    assert here.request.value == pytest.approx(float(means["request"][0]), rel=within)
    assert here.ttft.value == pytest.approx(float(means["ttft"][0]), rel=within)


def test_short_prompts_take_all_places_of_an_engine_that_reads_before_it_writes() -> None:
    """Far below its capacity, and more load is then answered sooner."""
    said: dict[str, Any] = {**OPEN, "stack": "sglang", "model": "mixtral-8x7b", "hardware": "mi300x", "devices": 8,
                            "tp": 8, "input_tokens": 43, "output_tokens": 139}  # fmt: skip
    most = answer(**said, request_rate=0.1).capacity
    times = []
    for share in (0.45, 0.8):
        found, here = plan(**said, request_rate=share * most), answer(**said, request_rate=share * most)
        one, places = np.ones(1), float(here.memory.resident)
        assert here.sequences == places
        arriving = Arriving(share * most * one, places * one, here.sequences * one)
        sample = simulate(replica(found), found.workload, found.engine.policy, arriving, replica(found))
        assert here.tpot is not None
        times.append(here.tpot.value)
        assert times[-1] == pytest.approx(float(sample.means()["tpot"][0]), rel=0.06)
    assert times[1] < 0.7 * times[0]


@pytest.mark.parametrize(("stack", "rate"), [("vllm", 2.0), ("vllm", 14.0), ("sglang", 8.0), ("sglang", 14.0)])
def test_two_pools_have_the_means_of_the_formulas(stack: str, rate: float) -> None:
    """One replica reads for two that write; below full load, a prompt waits for those that are read with it."""
    words: dict[str, Any] = {**OPEN, "input_tokens": 2000, "devices": 3, "prefill_devices": 1, "tp": 1,
                             "request_rate": rate, "stack": stack}  # fmt: skip
    found, here, one = plan(**words), answer(**words), np.ones(1)
    pools = pools_of(found, replica(found))
    assert pools is not None
    arriving = Arriving(rate / 2.0 * one, float(here.memory.resident) * one, here.sequences / 2.0 * one)
    sample = simulate(pools, found.workload, found.engine.policy, arriving, pools)
    means = sample.means()
    assert here.tpot is not None
    assert float(means["tpot"][0]) == pytest.approx(here.tpot.value, rel=0.04)
    assert float(means["ttft"][0]) == pytest.approx(here.ttft.value, rel=0.04)
    assert float(means["request"][0]) == pytest.approx(here.request.value, rel=0.04)


def test_a_pool_that_reads_one_prompt_a_step_is_a_queue_with_a_fixed_service_time() -> None:
    words: dict[str, Any] = {**OPEN, "max_num_batched_tokens": 1500, "devices": 2, "prefill_devices": 1, "tp": 1}
    found, one = plan(**words, request_rate=1.0), np.ones(1)
    pools = pools_of(found, replica(found))
    assert pools is not None
    service = float(read_alone(pools, found.workload, found.engine.policy))
    rate = 0.6 / service
    arriving = Arriving(rate * one, 256.0 * one, 30.0 * one)
    sample = simulate(pools, found.workload, found.engine.policy, arriving, pools)
    own = service + float(transfer_seconds(pools, found.workload, found.engine.policy))
    wait = sample.ttft - own - float(outside_seconds(pools.decode, found.workload, found.engine.policy))
    assert wait.mean() == pytest.approx(0.6 * service / (2.0 * (1.0 - 0.6)), rel=0.08)
    for share in (0.8, 0.95, 0.99):
        assert waits_within(float(np.quantile(wait, share)) + 1e-9, rate, service) == pytest.approx(share, abs=0.02)


def test_what_a_deployment_takes_does_not_hang_on_those_beside_it() -> None:
    found = plan(**OPEN, request_rate=1.0)
    at = replica(found)
    many = Arriving(np.array([1.0, 5.0, 9.0]), np.full(3, 200.0), np.array([2.0, 14.0, 40.0]))
    together = simulate(at, found.workload, found.engine.policy, many, at)
    for index in range(3):
        alone = Arriving(*(each[index : index + 1] for each in (many.rate, many.places, many.here)))
        assert (simulate(at, found.workload, found.engine.policy, alone, at).request == together.request[index]).all()


def shares(found: ServingEstimate) -> dict[str, float]:
    assert found.percentiles is not None
    return dict(found.percentiles)


def test_percentiles_stand_in_order_around_the_mean() -> None:
    found = answer(**OPEN, request_rate=5.0, arrival="poisson")
    for figure in ("ttft", "tpot", "request"):
        low, high, top = (shares(found)[f"{figure}_p{share}"] for share in (50, 95, 99))
        assert low < high < top
    assert found.ttft.value == answer(**OPEN, request_rate=5.0).ttft.value  # the mean stays the formula's
    assert found.p95_ttft.value == shares(found)["ttft_p95"]


def test_bursts_wait_longer_and_an_even_stream_hardly() -> None:
    even, poisson, bursts = (
        shares(answer(**OPEN, request_rate=5.0, arrival="gamma", arrival_cv=cv)) for cv in (0.3, 1.0, 2.0)
    )
    assert even["ttft_p95"] < poisson["ttft_p95"] < bursts["ttft_p95"]
    assert even["tpot_p99"] < poisson["tpot_p99"] < bursts["tpot_p99"]
    assert poisson == shares(answer(**OPEN, request_rate=5.0, arrival="poisson"))
    assert (
        answer(**OPEN, request_rate=5.0, arrival="gamma", arrival_cv=2.0).ttft.value
        > 1.3 * answer(**OPEN, request_rate=5.0).ttft.value
    )


def test_gaps_have_the_variation_that_was_asked_for() -> None:
    from llmplan.serving.simulation import _gaps

    for variation in (0.3, 1.0, 2.0):
        gaps = _gaps(variation, 40 * MEASURED)
        assert gaps.mean() == pytest.approx(1.0, rel=0.02)
        assert gaps.std() == pytest.approx(variation, rel=0.03)


def test_the_same_question_has_the_same_answer() -> None:
    assert shares(answer(**OPEN, request_rate=8.0, arrival="poisson")) == shares(
        answer(**OPEN, request_rate=8.0, arrival="poisson")
    )


def test_targets_on_shares_of_requests() -> None:
    free = answer(**OPEN, request_rate=5.0, arrival="poisson")
    limit = shares(free)["ttft_p95"]
    assert answer(**OPEN, request_rate=5.0, max_ttft_p95=1.01 * limit).answers
    strict = answer(**OPEN, request_rate=5.0, max_ttft_p95=0.99 * limit)
    assert strict.missed == (("ttft_p95", limit, 0.99 * limit),)
    assert "arrival poisson: each request by itself, as none was named" in strict.plan.assumptions
    assert strict.replicas_needed is not None
    assert strict.replicas_needed > 1
    more = answer(**OPEN, request_rate=5.0, max_ttft_p95=0.99 * limit, devices=strict.replicas_needed)
    assert more.answers
    assert not answer(**OPEN, request_rate=500.0, max_ttft_p95=1.0).answers


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"max_ttft_p95": 1.0}, "max_ttft_p95 goes with load open"),
        ({"arrival": "poisson"}, "arrival goes with load open"),
        ({**OPEN, "request_rate": 1.0, "arrival": "gamma"}, "arrival_cv is missing"),
        ({**OPEN, "request_rate": 1.0, "arrival": "poisson", "arrival_cv": 2.0}, "arrival_cv goes with arrival gamma"),
    ],
)
def test_words_that_do_not_go_together(words: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        answer(**words)


@pytest.mark.parametrize("objective", ["cost", "latency"])
def test_fit_keeps_targets_on_shares_and_finds_the_best(objective: str) -> None:
    words: dict[str, Any] = {"model": "llama-3.1-8b", "hardware": "h100", "stack": "vllm", "request_rate": 12.0,
                             "max_ttft_p95": 0.25, "max_tpot_p99": 0.02}  # fmt: skip
    question = asked(Wishes(objective=objective, max_devices=3, top=2), **words)
    found = search_serving(question).best
    does = [one for one in everything(question) if one.answers and one.verdict == "fits"]
    assert found
    assert all(one.answers for one in found)
    if objective == "latency":
        assert found[0].request.value == min(one.request.value for one in does)
    else:
        least = min(question.market.hourly(one.plan, one.plan.devices) or 0.0 for one in does)
        assert question.market.hourly(found[0].plan, found[0].plan.devices) == least


@pytest.mark.parametrize(("limit", "simulated"), [(0.86, True), (0.84, False)])
def test_a_mean_a_sixth_above_a_limit_is_a_miss(limit: float, simulated: bool) -> None:
    words = {"model": "llama-3.1-8b", "hardware": "h100", "stack": "vllm", "load": "open", "request_rate": 1.0}
    work = asked(Wishes(max_devices=8, top=1, objective="devices"), {}, **words, max_ttft_p95=limit).bases[0].workload
    mean: Any = SimpleNamespace(ttft=1.5, tpot=0.01, request=5.0, for_room=0.5)  # which few wait for
    assert all((value <= limit) == simulated for value in least_figures(mean, work).values())
    assert list(least_figures(mean, work)) == ["max_ttft_p95"]


@pytest.mark.parametrize("tokens", [64, 100, 2048])
def test_steps_that_read_alike_are_passed_together(monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    """As if one came after the other: a prompt of 1,000 tokens in pieces, while others write."""
    options = {"model": "llama-3.1-8b", "hardware": "h100", "devices": 1, "stack": "vllm", "workload": "serve"}
    options |= {"load": "open", "request_rate": 2.0, "input_tokens": 1000, "output_tokens": 20, "max_ttft_p95": 1}
    options |= {"max_num_batched_tokens": tokens}
    together = llmplan.estimate(options).to_dict()["result"]["latency"]
    monkeypatch.setattr(_Rows, "_alike", lambda *_: 1.0)
    apart = llmplan.estimate(options).to_dict()["result"]["latency"]
    assert together["ttft_seconds"] == pytest.approx(apart["ttft_seconds"], rel=1e-9)
    assert together["tpot_seconds"] == pytest.approx(apart["tpot_seconds"], rel=1e-9)
