"""Loads: conservation of requests, limits, and what the record of targets says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from llmplan.formulas.numeric import crossing, real
from llmplan.formulas.queueing import place_wait, step_found
from llmplan.serving.estimate import ServingEstimate, estimate_serving
from llmplan.serving.iteration import iteration, replica
from llmplan.serving.loads import BUSIEST, capacity
from llmplan.setup.codes import CODES
from tests.serving.plans import answer, plan


def test_a_closed_loop_keeps_littles_law() -> None:
    found = answer(batch=64)
    assert found.requests_per_second.value * found.request.value == pytest.approx(64, rel=0.02)


def test_answers_of_one_token_are_in_flight_no_longer_than_their_first() -> None:
    """Nothing comes after it that prompts which came meanwhile could make later."""
    found = answer(model="llama-2-7b", stack_version="0.2", load="open", batch=None, request_rate=16,
                   input_tokens=2000, output_tokens=1)  # fmt: skip
    assert found.sequences <= found.requests_per_second.value * found.request.value


def test_output_is_requests_times_their_tokens() -> None:
    found = answer()
    assert found.output_tokens_per_second is not None
    assert found.output_tokens_per_second.value == pytest.approx(256 * found.requests_per_second.value)


def test_more_requests_in_flight_give_more_tokens_later() -> None:
    found = [answer(batch=batch) for batch in (1, 8, 64, 256)]
    rates = [one.requests_per_second.value for one in found]
    times = [one.tpot.value for one in found if one.tpot]
    assert rates == sorted(rates)
    assert times == sorted(times)


def test_saturated_is_a_loop_of_all_that_fits() -> None:
    full = answer(load="saturated", batch=None, stack_version="0.12")
    loop = answer(batch=10 * int(full.resident), stack_version="0.12")  # the rest waits for a place
    assert full.requests_per_second.value == pytest.approx(loop.requests_per_second.value)
    assert full.load == 1.0


def test_a_burst_waits_longer_than_a_steady_stream() -> None:
    found = answer(batch=64)
    assert found.burst_ttft.value > 3 * found.ttft.value


def test_a_static_batch_is_prefill_and_steps() -> None:
    found = answer(load="static", batch=8, stack="gpt-fast")
    assert found.tpot is not None
    assert found.request.value == pytest.approx(found.ttft.value + 255 * found.tpot.value)
    assert found.output_tokens_per_second is not None
    assert found.output_tokens_per_second.value == pytest.approx(8 * 256 / found.request.value)


def test_a_static_batch_that_does_not_fit_runs_in_waves() -> None:
    sized = answer(load="static", batch=1, stack="fastertransformer", input_tokens=4096)
    fits, more = int(sized.resident), int(sized.resident) + 1
    one = answer(load="static", batch=fits, stack="fastertransformer", input_tokens=4096)
    two = answer(load="static", batch=more, stack="fastertransformer", input_tokens=4096)
    twice = answer(load="static", batch=2 * fits, stack="fastertransformer", input_tokens=4096)
    assert two.queued == 1
    assert two.request.value == pytest.approx(one.request.value + sized.request.value)
    assert twice.request.value == pytest.approx(2 * one.request.value)
    assert one.ttft.value < two.ttft.value < twice.ttft.value
    assert twice.ttft.value == pytest.approx(one.ttft.value + one.request.value / 2)


def test_more_bandwidth_is_no_slower_with_short_answers() -> None:
    """Prefill has more steps than there are tokens to write: what it shares with decoding is bounded."""
    slow = answer(model="gpt-oss-120b", load="saturated", batch=None, input_tokens=1000, output_tokens=2)
    fast = with_memory(slow, bandwidth=1.1)
    assert fast.requests_per_second.value >= slow.requests_per_second.value


def test_a_step_that_a_request_finds_is_that_of_a_queue_simulated_step_by_step() -> None:
    """Each step reads the prompts that came during the one before it; what is found is E[S^2] / E[S]."""
    chance = np.random.default_rng(1)
    for rate, decode, fixed, each, mixed in (
        (10.0, 0.04, 0.03, 0.01, True), (10.0, 0.04, 0.03, 0.01, False), (30.0, 0.02, 0.05, 0.001, True),
    ):  # fmt: skip
        steps, read = [0.1], []
        for _ in range(20_000):
            read.append(chance.poisson(rate * steps[-1]))
            prompts = fixed * (read[-1] > 0) + each * read[-1]
            steps.append(prompts + (decode if mixed or not read[-1] else 0.0))
        lengths, some = np.array(steps), np.array(read)
        together = float(some[some > 0].mean())
        found = step_found(rate, decode, fixed, each, together, mixed=mixed)
        assert found == pytest.approx((lengths**2).sum() / lengths.sum(), rel=0.02)


def test_what_waits_for_its_prompt_to_be_read_does_not_wait_between_tokens() -> None:
    """Eight H100 read 14,000 tokens for 12 that they write: with places for all that is in flight or for two thirds,
    the steps that read are the limit, and a token takes no longer than one of them."""
    words: dict[str, Any] = {"model": "mixtral-8x7b", "devices": 8, "tp": 1, "pp": 2, "dp": 4, "stack": "generic",
                             "input_tokens": 13835, "output_tokens": 12, "kv_precision": "nvfp4"}  # fmt: skip
    found = plan(**words, batch=675)
    memory = found.device.memory
    wider = replace(found.device, memory=replace(memory, capacity=1.25 * memory.capacity))
    some, all_of = estimate_serving(found), estimate_serving(replace(found, device=wider))
    assert some.queued > 0 == all_of.queued
    assert all_of.requests_per_second.value == pytest.approx(some.requests_per_second.value, rel=2e-3)
    assert all_of.ttft.value == pytest.approx(some.ttft.value, rel=2e-3)
    assert some.tpot is not None
    step = iteration(replica(found), 5.0, 13841.0, real(found.engine.policy.max_batch_tokens), 13835.0).total
    assert some.tpot.value == pytest.approx(step, rel=0.02)


@pytest.mark.parametrize("slope", [0.0, 0.5])
@pytest.mark.parametrize("load", [0.8, 0.9])
def test_a_wait_for_a_place_is_that_of_a_chain_of_births_and_deaths(load: float, slope: float) -> None:
    """Of 16 places, each held for 10 + slope n seconds with n in flight; half of it, as answers are of one length."""
    places, held = 16, [10.0 + slope * n for n in range(17)]
    most = places / held[-1]
    rate, shares = load * most, [1.0]
    for n in range(1, places + 1):
        shares.append(shares[-1] * rate * held[n] / n)
    behind = shares[-1] * load / (1.0 - load)
    flight = (sum(n * share for n, share in enumerate(shares)) + places * behind) / (sum(shares) + behind)
    wait = behind / (1.0 - load) / (sum(shares) + behind) / rate
    assert place_wait(rate, most, flight, float(places)) == pytest.approx(wait / 2.0, rel=0.15)


def test_more_bandwidth_brings_first_tokens_no_later_with_many_experts() -> None:
    """Fewer requests are in flight then, so that fewer prompts share a step, and what it pays once."""
    words = {"model": "qwen3-235b-a22b-2507", "hardware": "mi300x", "devices": 4, "stack": "generic", "tp": None}
    slow = answer(**open_load(7.0, input_tokens=290, output_tokens=48, **words))
    fast = with_memory(slow, bandwidth=1.5)
    assert fast.sequences < slow.sequences
    assert fast.ttft.value < slow.ttft.value


def test_places_beyond_those_that_prompts_leave_to_write_bring_nothing() -> None:
    """Every step reads 8,192 tokens of prompts of 16,384: a request in two steps, so that an answer of 101 tokens sees
    50 others come, and no more than 50 write at a time, however many places there are."""
    words = {"load": "saturated", "batch": None, "input_tokens": 16_384, "output_tokens": 101}
    at, policy = replica(plan(**words)), replace(plan(**words).engine.policy, max_batch_tokens=8192)
    few, many = (capacity(at, plan(**words).workload, policy, places) for places in (60.0, 600.0))
    assert few <= many <= 1.003 * few
    both = iteration(at, 50.0, 16_384 + 50.5, 8192.0, 16_384.0).total
    assert many == pytest.approx(1.0 / (2.0 * both), rel=1e-3)


def with_memory(found: ServingEstimate, **times: float) -> ServingEstimate:
    """The same on a device with so many times of what its memory has."""
    memory = found.plan.device.memory
    more = replace(memory, **{name: getattr(memory, name) * by for name, by in times.items()})
    return estimate_serving(replace(found.plan, device=replace(found.plan.device, memory=more)))


def test_what_only_reads_answers_later_under_more_load() -> None:
    rates = (1.0, 50.0, 100.0, 150.0, 200.0)
    found = [answer(**open_load(rate, model="bert-large-uncased", output_tokens=1)) for rate in rates]
    times = [one.ttft.value for one in found]
    assert all(one.stable for one in found)
    assert times == sorted(times)


def test_the_first_token_is_never_after_the_last() -> None:
    found = answer(batch=7, input_tokens=1, output_tokens=2)
    assert found.ttft.value <= found.request.value


def open_load(rate: float, **changes: object) -> dict[str, object]:
    return {"load": "open", "batch": None, "request_rate": rate, **changes}


def test_a_quiet_server_answers_like_an_idle_one() -> None:
    quiet, alone = answer(**open_load(0.01)), answer(batch=1)
    assert quiet.stable
    assert quiet.load < 0.01
    assert quiet.tpot is not None
    assert alone.tpot is not None
    assert quiet.tpot.value == pytest.approx(alone.tpot.value, rel=0.02)


def test_a_rate_that_is_nearly_nothing_is_answered() -> None:
    """It divided by a rate that was rounded to zero, and tried fifty times for fewer requests than are looked at."""
    assert answer(**open_load(1e-9, devices=8, tp=1, dp=8)).request.value > 0.0
    tried: list[float] = []
    assert crossing(lambda x: (tried.append(x), x)[1], 0.5, 1.0, 100.0, 48) == 1.0  # type: ignore[func-returns-value]
    assert len(tried) == 2


def test_flight_is_rate_times_time() -> None:
    found = answer(**open_load(8.0))
    assert found.tpot is not None
    assert found.sequences == pytest.approx(8.0 * (255 * found.tpot.value), rel=0.1)
    assert found.requests_per_second.value == pytest.approx(8.0)


def test_more_load_answers_later() -> None:
    found = [answer(**open_load(rate)) for rate in (1.0, 5.0, 10.0, 20.0)]
    assert [one.ttft.value for one in found] == sorted(one.ttft.value for one in found)
    assert all(one.p95_ttft.value >= one.ttft.value for one in found)


def test_too_high_a_rate_is_called_unstable() -> None:
    found = answer(**open_load(1000.0))
    assert not found.stable
    assert not found.answers
    assert "LP021" in [one.code for one in found.warnings]
    assert found.requests_per_second.value == pytest.approx(found.capacity)
    assert found.replicas_needed is not None
    # so many replicas take the rate, one less would be loaded beyond what is advised
    assert found.replicas_needed * found.capacity * 0.9 >= 1000.0 > (found.replicas_needed - 1) * found.capacity * 0.9


def test_no_limit_on_the_first_token_is_met_by_a_queue_without_end() -> None:
    found = answer(**open_load(1000.0, max_ttft=10.0))
    assert found.ttft.value < 10.0
    assert [name for name, _, _ in found.missed] == ["ttft"]
    assert "LP023" not in [one.code for one in found.warnings]  # LP021 says more


def test_what_arrives_bounds_what_is_written() -> None:
    quiet = answer(**open_load(3.0)).requests_per_second
    assert (quiet.low, quiet.value, quiet.high) == pytest.approx((2.97, 3.0, 3.03))
    most = answer(**open_load(3.0)).capacity
    near = answer(**open_load(0.95 * most)).requests_per_second
    assert near.low < 0.9 * near.value
    assert near.high == pytest.approx(1.01 * near.value)


def test_replicas_meet_the_targets_and_one_less_does_not() -> None:
    target = {"max_tpot": 0.012}
    found = answer(**open_load(60.0, **target))
    needed = found.replicas_needed
    assert needed is not None
    assert needed > 1
    enough = answer(**open_load(60.0, devices=needed, dp=needed, tp=1, **target))
    assert enough.answers
    less = answer(**open_load(60.0, devices=needed - 1, dp=needed - 1, tp=1, **target))
    assert not less.answers


def test_replicas_without_a_request_are_idle() -> None:
    one, many = answer(batch=1), answer(batch=1, devices=8, dp=8, tp=1)
    assert many.sequences == one.sequences == 1
    assert many.requests_per_second == one.requests_per_second
    assert many.ttft == one.ttft
    assert many.load == pytest.approx(one.load / 8)


def test_a_server_reads_a_prompt_before_the_engine_does() -> None:
    """Each token of it, those that hit a cache too."""
    for words in (open_load(1.0), {"batch": 4}, {"batch": 4, "prefix_hit": 0.5}, {"load": "saturated", "batch": None}):
        found = answer(**words)
        numbers = replace(found.plan.coefficients, prompt_token_seconds=0.0)
        at_once = estimate_serving(replace(found.plan, coefficients=numbers))
        later = found.plan.coefficients.prompt_token_seconds * 1024.0
        if words.get("load") != "saturated":  # there a request waits for its place all the while
            assert found.ttft.value == pytest.approx(at_once.ttft.value + later)
        assert later > 0


def test_times_are_told_up_to_the_busiest_share() -> None:
    most = answer(**open_load(1.0)).capacity
    near, at, beyond = (
        answer(**open_load(share * most)).ttft.value for share in (BUSIEST - 0.02, BUSIEST, BUSIEST + 0.05)
    )
    assert near < at == pytest.approx(beyond)
    for code in ("LP021", "LP022"):
        assert f"{BUSIEST:.0%}".replace("%", " %") in CODES[code].doc


def test_a_target_that_no_number_of_replicas_meets() -> None:
    found = answer(**open_load(1.0, max_tpot=1e-4))
    assert found.replicas_needed == 0
    assert [name for name, _, _ in found.missed] == ["tpot"]


def test_an_encoder_answers_when_its_batch_is_done() -> None:
    found = answer(model="bert-large-uncased", load="static", batch=32, input_tokens=512, output_tokens=None)
    assert found.tpot is None
    assert found.output_tokens_per_second is None
    assert found.kv_tokens is None
    assert found.request.value == found.ttft.value
    assert found.requests_per_second.value == pytest.approx(32 / found.request.value)


def test_attention_dp_exchanges_tokens_with_experts() -> None:
    layout = {
        "model": "deepseek-v3-671b",
        "hardware": "h200-sxm-141gb",
        "devices": 8,
        "ep": 8,
        "batch": 64,
        "weight_precision": "fp8",
    }
    found = answer(**layout, dp=8, tp=1)
    assert float(found.decode.expert_parallel_seconds) > 0
    assert float(found.decode.tensor_parallel_seconds) == 0
    beside = answer(**layout, tp=8)
    assert float(beside.decode.expert_parallel_seconds) == 0
    assert float(beside.decode.tensor_parallel_seconds) > 0
