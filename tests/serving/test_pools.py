"""Speculative decoding, and prefill on devices of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest

from llmplan.answer.resolve import plan_from
from llmplan.catalog.catalog import open_catalog
from llmplan.errors import InputError
from llmplan.formulas.speculation import accepted_tokens
from llmplan.launch.target import target
from llmplan.launch.write import launch
from llmplan.serving.estimate import ServingEstimate, estimate_serving
from llmplan.serving.iteration import replica
from llmplan.serving.loads import decode_step, outside_seconds
from llmplan.serving.plan import ServingPlan
from llmplan.serving.pools import pools_of, read_alone, read_seconds, transfer_seconds


def planned(**words: object) -> ServingPlan:
    said = {
        "model": "llama-3.1-70b", "hardware": "h100", "devices": 8, "tp": 4, "workload": "serve", "stack": "vllm",
        "load": "closed", "batch": 32, "input_tokens": 2000, "output_tokens": 200, **words,
    }  # fmt: skip
    plan = plan_from(said)
    assert isinstance(plan, ServingPlan)
    return plan


def answer(**words: object) -> ServingEstimate:
    return estimate_serving(planned(**words))


def test_accepted_tokens_by_hand() -> None:
    """Two drafts of which three in four are right: 1 + 0.75 + 0.75^2."""
    assert accepted_tokens(2.0, 0.75) == pytest.approx(1 + 0.75 + 0.5625)


def test_a_draft_that_is_never_right_costs_and_brings_nothing() -> None:
    plain, useless = answer(), answer(speculation="mtp", draft_tokens=3, acceptance=1e-6)
    assert plain.tpot is not None
    assert useless.tpot is not None
    assert useless.tpot.value > plain.tpot.value


def test_drafts_help_where_memory_is_what_holds_back() -> None:
    plain, drafted = answer(batch=2), answer(batch=2, speculation="mtp", draft_tokens=2, acceptance=0.8)
    assert plain.tpot is not None
    assert drafted.tpot is not None
    steps = accepted_tokens(2.0, 0.8)
    assert 1.0 < plain.tpot.value / drafted.tpot.value < steps


def test_better_drafts_are_never_slower() -> None:
    times = [answer(speculation="mtp", acceptance=share).tpot for share in (0.3, 0.6, 0.9)]
    values = [one.value for one in times if one is not None]
    assert values == sorted(values, reverse=True)


def test_the_cache_of_a_prompt_goes_over_the_fabric() -> None:
    """Llama 3.1 70B, 2,000 tokens: 80 layers x 2 x 8 heads x 128 x 2 bytes, a quarter on each of four devices."""
    plan = planned(devices=8, prefill_devices=4, prefill_tp=4, tp=4)
    pools = pools_of(plan, replica(plan))
    assert pools is not None
    each = 80 * 2 * 8 * 128 * 2 * 2000 / 4
    bandwidth = pools.prefill.links.scale_out
    assert transfer_seconds(pools, plan.workload, plan.engine.policy) == pytest.approx(each / bandwidth, rel=0.02)


def test_decoding_apart_is_not_held_up_by_prefill() -> None:
    """The same number of sequences a decoding replica: tokens come faster where no prompt is read between them."""
    together = answer(devices=4, tp=4, batch=32)
    apart = answer(devices=8, prefill_devices=4, prefill_tp=4, tp=4, batch=32)
    assert together.tpot is not None
    assert apart.tpot is not None
    assert apart.tpot.value < together.tpot.value
    assert apart.replica_devices == 4
    assert apart.plan.devices == 8


def test_the_slower_pool_sets_the_rate() -> None:
    plan = planned(devices=20, prefill_devices=4, prefill_tp=4, tp=4, batch=4000, output_tokens=50)
    pools = pools_of(plan, replica(plan))
    assert pools is not None
    found = estimate_serving(plan)
    reads = 1.0 / read_seconds(pools, plan.workload, plan.engine.policy)
    assert found.requests_per_second.value == pytest.approx(reads, rel=1e-3)
    more = estimate_serving(planned(devices=24, prefill_devices=8, prefill_tp=4, tp=4, batch=4000, output_tokens=50))
    assert more.requests_per_second.value == pytest.approx(2 * reads, rel=0.01)


def test_requests_are_where_the_time_is_spent() -> None:
    """Little's law in a closed loop: requests in flight = rate x time of a request."""
    found = answer(devices=8, prefill_devices=4, prefill_tp=4, tp=4, batch=64)
    assert found.requests_per_second.value * found.request.value == pytest.approx(64, rel=0.02)


@pytest.mark.parametrize("batch", [4, 4000])
def test_requests_write_wait_or_are_read(batch: int) -> None:
    """Little's law part by part: 4,000 requests are more than one pool reads in time, and most of them wait for it."""
    plan = planned(devices=20, prefill_devices=4, prefill_tp=4, tp=4, batch=batch, output_tokens=50)
    pools, found = pools_of(plan, replica(plan)), estimate_serving(plan)
    assert pools is not None
    read = read_alone(pools, plan.workload, plan.engine.policy) + outside_seconds(
        pools.prefill, plan.workload, plan.engine.policy
    )
    moving = transfer_seconds(pools, plan.workload, plan.engine.policy)
    between = found.requests_per_second.value * (read + moving)
    assert found.sequences + found.queued + between == pytest.approx(batch, rel=0.01)
    assert (found.queued > batch / 2) == (batch == 4000)
    assert not found.short_of_places


def test_prompts_that_come_at_a_rate_wait_for_one_another() -> None:
    """A step takes one: of a server with a fixed time that is busy half of it (M/D/1), 0.5^2 / 2 / 0.5 wait."""
    words: dict[str, object] = {"devices": 8, "prefill_devices": 4, "prefill_tp": 4, "tp": 4, "load": "open",
                                "batch": None, "max_num_batched_tokens": 2000}  # fmt: skip
    plan = planned(**words, request_rate=1.0)
    pools = pools_of(plan, replica(plan))
    assert pools is not None
    each = read_seconds(pools, plan.workload, plan.engine.policy)
    assert answer(**words, request_rate=0.5 / each).queued == pytest.approx(0.25)


@pytest.mark.parametrize(("batch", "output_tokens"), [(100, 20), (100, 2000)])
def test_a_batch_at_once_is_done_with_the_slower_pool(batch: int, output_tokens: int) -> None:
    """One reads all prompts, one writes all answers: the longer of the two, and of the other one request."""
    plan = planned(load="static", devices=8, prefill_devices=4, prefill_tp=4, tp=4, batch=batch,
                   output_tokens=output_tokens)  # fmt: skip
    pools, found = pools_of(plan, replica(plan)), estimate_serving(plan)
    assert pools is not None
    assert found.resident >= batch
    one = read_seconds(pools, plan.workload, plan.engine.policy)
    first, steps = read_alone(pools, plan.workload, plan.engine.policy), output_tokens - 1.0
    alone, full = (steps * decode_step(pools.decode, plan.workload, n).total for n in (1.0, float(batch)))
    before = transfer_seconds(pools, plan.workload, plan.engine.policy) + outside_seconds(
        pools.prefill, plan.workload, plan.engine.policy
    )
    assert (batch * one > full) == (output_tokens == 20)
    assert found.request.value == pytest.approx(before + max(batch * one + alone, first + full))
    # prompts come out one after another, from the first to the last
    assert found.ttft.value == pytest.approx(before + (first + batch * one) / 2.0)
    assert found.p95_ttft.value == pytest.approx(before + first + 0.95 * (batch * one - first))
    # each waits for those that are read before it, for half of them in the mean
    wait = (batch * one - first) / 2.0
    assert found.queued == pytest.approx(min(batch * wait / found.request.value, batch - found.sequences))
    assert (found.queued > 0.0) == (output_tokens == 20)


def test_faster_writing_brings_no_first_token_of_a_batch_later() -> None:
    words = {"load": "static", "devices": 8, "prefill_devices": 2, "prefill_tp": 1, "tp": 1, "model": "qwen3-14b"}
    slow = planned(**words, batch=2000, hardware="h200")
    memory = replace(slow.device.memory, bandwidth=1.5 * slow.device.memory.bandwidth)
    fast = replace(slow, device=replace(slow.device, memory=memory))
    assert estimate_serving(fast).ttft.value <= estimate_serving(slow).ttft.value


def test_fewer_requests_than_devices_that_write_leave_some_idle() -> None:
    found = answer(model="llama-3.1-8b", devices=8, prefill_devices=2, tp=1, prefill_tp=1, batch=2)
    assert found.requests_per_second.value * found.request.value == pytest.approx(2, rel=1e-9)
    assert found.request.low <= found.request.value <= found.request.high


@pytest.mark.parametrize("words", [{"output_tokens": 1}, {"model": "distilroberta-base", "output_tokens": None}])
def test_devices_that_only_write_are_for_answers(words: dict[str, object]) -> None:
    with pytest.raises(InputError, match="the others write nothing"):
        planned(**{"devices": 8, "prefill_devices": 4, "tp": 1, "prefill_tp": 1, **words})


def test_a_plan_of_two_pools_comes_back_from_its_words() -> None:
    plan = planned(devices=12, prefill_devices=4, prefill_tp=4, tp=4, speculation="mtp")
    again = plan_from(plan.as_options())
    assert isinstance(again, ServingPlan)
    assert (again.prefill, again.layout, again.workload) == (plan.prefill, plan.layout, plan.workload)


@pytest.mark.parametrize(
    "words",
    [
        {"devices": 8, "prefill_devices": 8},
        {"devices": 8, "prefill_devices": 2, "decode_devices": 4},
        {"devices": 8, "decode_devices": 4},
        {"devices": 8, "prefill_devices": 4, "prefill_tp": 3},
    ],
)
def test_pools_that_do_not_add_up(words: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"prefill|decode"):
        planned(**words)


class TestContextParallel:
    """Devices that share the tokens of a prompt: first tokens of long prompts, and nothing else."""

    LONG: ClassVar[dict[str, object]] = {"stack": "sglang", "batch": 1, "input_tokens": 60_000}

    def test_first_tokens_come_sooner_and_the_rest_as_before(self) -> None:
        alone, shared = answer(**self.LONG, devices=4, tp=4), answer(**self.LONG, devices=8, tp=4, cp=2)
        assert 0.5 < shared.ttft.value / alone.ttft.value < 0.6
        assert shared.tpot.value == pytest.approx(alone.tpot.value)
        assert shared.kv_tokens == alone.kv_tokens
        assert (shared.replicas, shared.replica_devices) == (1, 8)

    def test_in_a_pool_of_their_own(self) -> None:
        words = {**self.LONG, "tp": 4, "prefill_tp": 4, "batch": 2}
        one = answer(**words, devices=8, prefill_devices=4)
        two = answer(**words, devices=12, prefill_devices=8, prefill_cp=2)
        assert two.plan.prefill is not None
        assert (two.plan.prefill.cp, two.plan.prefill.dp) == (2, 1)
        assert two.ttft.value < 0.7 * one.ttft.value

    def test_sglang_is_started_with_them_and_read_back(self) -> None:
        plan = planned(**self.LONG, model="llama-3.3-70b", devices=8, tp=4, cp=2)
        assert plan_from(plan.as_options()).as_options() == plan.as_options()
        script = launch(plan, target("sglang"), open_catalog()).script
        assert "--tp-size 8" in script
        assert "--attn-cp-size 2" in script
        assert "--enable-prefill-cp" in script

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ({"stack": "vllm"}, "vLLM does not share a prompt between devices; sglang does"),
            ({"pp": 2, "devices": 16}, "cp goes without pp"),
            ({"model": "qwen3-next-80b-a3b", "tp": 2, "devices": 4}, "has recurrent layers"),
        ],
    )
    def test_where_they_cannot(self, words: dict[str, object], said: str) -> None:
        with pytest.raises(InputError, match=said):
            planned(**{**self.LONG, "devices": 8, "tp": 4, "cp": 2, **words})


class TestSharedCache:
    """DeepSeek-R1 on eight devices: one latent for all heads, of which each has a copy, or an eighth."""

    R1: ClassVar[dict[str, object]] = {"model": "deepseek-r1", "hardware": "h200", "devices": 8, "tp": 8,
                                       "input_tokens": 20_000, "output_tokens": 1000}  # fmt: skip

    def test_the_cache_holds_eight_times_as_much(self) -> None:
        copies, shared = answer(**self.R1), answer(**self.R1, dcp=8)
        assert copies.kv_tokens is not None
        assert shared.kv_tokens is not None
        assert shared.kv_tokens.value == pytest.approx(8 * copies.kv_tokens.value)
        assert shared.needed.value < copies.needed.value

    @pytest.mark.parametrize(
        ("stack", "line"), [("vllm", "--decode-context-parallel-size 4"), ("sglang", "--dcp-size 4")]
    )
    def test_engines_are_started_with_it(self, stack: str, line: str) -> None:
        plan = planned(**self.R1, stack=stack, dcp=4)
        assert plan_from(plan.as_options()).as_options() == plan.as_options()
        assert line in launch(plan, target(stack), open_catalog()).script

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ({"dcp": 3}, "dcp 3 does not divide the 8 copies of a cache at tp 8 with 1 heads"),
            ({"model": "llama-3.1-70b"}, "dcp 2 does not divide the 1 copies of a cache at tp 8 with 8 heads"),
            ({"stack": "tensorrt-llm"}, "TensorRT-LLM does not spread a cache; vllm and sglang do"),
            ({"model": "gemma-3-27b"}, "planned where every layer caches every token"),
            ({"devices": 16, "prefill_devices": 8}, "dcp goes without cp and without devices that only read prompts"),
        ],
    )
    def test_where_it_cannot(self, words: dict[str, object], said: str) -> None:
        with pytest.raises(InputError, match=said):
            planned(**{**self.R1, "dcp": 2, **words})
