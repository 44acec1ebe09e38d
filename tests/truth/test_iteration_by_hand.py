"""An iteration of a serving engine part by part, and loads, counted by hand on a made-up machine."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from llmplan.machine.hardware import Device
from llmplan.serving.drafts import drafted_tokens
from llmplan.serving.iteration import Step, iteration, replica
from llmplan.serving.loads import (
    BUSIEST,
    Response,
    closed_loop,
    decode_step,
    open_arrivals,
    respond,
    static_batch,
)
from llmplan.serving.memory import serving_memory
from llmplan.serving.plan import ServingPlan, ServingWorkload
from tests.truth.counting import EXPERTS, POLICY, cluster, layout, machine, serving

H, V, L = 8, 50, 2
MATRICES = 8 * 12 + 8 * 12 + 12 * 8 + 3 * 8 * 20
TABLE = V * H
VECTORS = (8 + 12 + 8 + 20) + (24 + 8 + 40 + 8)  # inputs and results of the four products of a layer
FLOPS, BYTES, LAUNCHES = machine(flops=1.0), machine(memory=1.0), machine(launches=True)
DECODING = (8.0, 100.0, 0.0, 1.0)  # eight sequences with 100 tokens each
READING = (0.0, 0.0, 32.0, 16.0)  # two prompts of 16


def step(loaded: tuple[float, float, float, float], *arguments: Any, **words: Any) -> Step:
    return iteration(replica(serving(*arguments, **words)), *loaded)


class TestDecoding:
    def test_flops(self) -> None:
        found = step(DECODING, FLOPS)
        assert found.matmul_seconds == pytest.approx(2 * 8 * (L * MATRICES + TABLE))
        assert found.attention_seconds == pytest.approx(L * 2 * 8 * 100 * 4 * (3 + 3) / 0.67)

    def test_weights_are_read_once(self) -> None:
        found = step(DECODING, BYTES)
        assert found.matmul_seconds == pytest.approx(2 * (L * (MATRICES + 8 * VECTORS) + TABLE + 8 * (H + V)))

    def test_caches_are_read_once(self) -> None:
        # keys and values of two heads of 3; sixteen streams
        streams = (1 + (4 / 16) ** 2) ** 0.5
        assert step(DECODING, BYTES).attention_seconds == pytest.approx(L * 8 * 100 * 2 * 2 * (3 + 3) * streams)

    def test_launches(self) -> None:
        found = step(DECODING, LAUNCHES)
        assert found.matmul_seconds == pytest.approx(4 * L + 1)
        assert found.attention_seconds == pytest.approx(L * 1e9)
        assert found.elementwise_seconds == pytest.approx(4 * L)

    def test_drafts(self) -> None:
        # two drafted for each, three checked together; each draft passes a layer, a join of two vectors and the head
        work = {"speculation": "mtp", "draft_tokens": 2, "acceptance": 0.5}
        found = step(DECODING, FLOPS, work=work)
        checked = 3 * 2 * 8 * (L * MATRICES + TABLE)
        assert found.matmul_seconds == pytest.approx(checked + 2 * 2 * 8 * (MATRICES + 2 * H * H + TABLE))
        assert replica(serving(FLOPS, work=work)).written == pytest.approx(1 + 0.5 + 0.25)


@pytest.mark.parametrize(
    ("ep", "tp", "said", "drafted"), [(4, 1, None, 1), (4, 4, None, 3), (1, 1, None, 3), (4, 1, 2, 2)]
)
def test_fewer_are_drafted_where_attention_is_data_parallel(ep: int, tp: int, said: int | None, drafted: int) -> None:
    policy = replace(POLICY, draft_tokens=3, draft_tokens_spread=1)
    work = serving(FLOPS, work={"speculation": "mtp", "draft_tokens": said}).workload
    assert drafted_tokens(work, policy, layout(tp=tp, ep=ep, dp=4 // tp)) == drafted


class TestDrafts:
    """Two drafted for each of eight sequences, three checked together."""

    CHECKED = 3 * 2 * 8 * (L * MATRICES + TABLE)

    def test_heads_of_medusa_pass_side_by_side(self) -> None:
        # each a residual block and logits of its own, no layer and no cache
        work = {"speculation": "medusa", "draft_tokens": 2, "acceptance": 0.5}
        found = step(DECODING, FLOPS, work=work)
        assert found.matmul_seconds == pytest.approx(self.CHECKED + 2 * 2 * 8 * (H * H + TABLE))
        assert found.attention_seconds == pytest.approx(3 * step(DECODING, FLOPS).attention_seconds)

    def test_eagle_is_a_layer_as_of_multi_token_prediction(self) -> None:
        mtp, eagle = (step(DECODING, FLOPS, work={"speculation": kind, "draft_tokens": 2}) for kind in ("mtp", "eagle"))
        assert eagle.total == mtp.total

    def test_a_draft_model_writes_each_draft_and_reads_each_prompt(self) -> None:
        words = {"speculation": "draft-model", "draft_tokens": 2, "acceptance": 0.5}
        plan = serving(FLOPS, work=words)
        plan = replace(plan, draft=plan.model)
        alone = 2 * 8 * (L * MATRICES + TABLE)
        assert iteration(replica(plan), *DECODING).matmul_seconds == pytest.approx(self.CHECKED + 2 * alone)
        read = step(READING, FLOPS)
        assert iteration(replica(plan), *READING).total == pytest.approx(2 * read.total)

    def test_what_drafts_is_held(self) -> None:
        none, mtp, medusa = (
            serving_memory(serving(FLOPS, work={"speculation": kind, "draft_tokens": 2}), POLICY)
            for kind in ("none", "mtp", "medusa")
        )
        assert mtp.weights_bytes - none.weights_bytes == pytest.approx(2 * (MATRICES + 2 * H * H + 2 * H))
        assert medusa.weights_bytes - none.weights_bytes == pytest.approx(2 * 2 * (H * H + TABLE))
        plan = serving(FLOPS, work={"speculation": "draft-model"})
        both = serving_memory(replace(plan, draft=plan.model), POLICY)
        assert both.weights_bytes == pytest.approx(2 * none.weights_bytes)


class TestAdapters:
    """Four of rank 2 on every matrix: q 8 to 12, k and v 8 to 6, out 12 to 8, gate and up 8 to 20, down 20 to 8."""

    WORK = {"lora_adapters": 4, "lora_rank": 2}
    SIDES = (8 + 12) + 2 * (8 + 6) + (12 + 8) + 2 * (8 + 20) + (20 + 8)

    def test_two_products_beside_each_matrix(self) -> None:
        for loaded, rows in ((DECODING, 8), (READING, 32)):
            more = step(loaded, FLOPS, work=self.WORK).matmul_seconds - step(loaded, FLOPS).matmul_seconds
            assert more == pytest.approx(L * 2 * rows * 2 * self.SIDES)

    def test_each_that_is_asked_for_is_read(self) -> None:
        one = step(DECODING, BYTES, work={"lora_adapters": 1, "lora_rank": 2}).matmul_seconds
        asked = 4 * (1 - (3 / 4) ** 8)  # of four, by eight sequences
        more = step(DECODING, BYTES, work=self.WORK).matmul_seconds - one
        assert more == pytest.approx((asked - 1) * L * 2 * 2 * self.SIDES)

    def test_they_are_held_in_16_bits(self) -> None:
        held = [serving_memory(serving(FLOPS, work=work), POLICY).weights_bytes for work in (self.WORK, {})]
        assert held[0] - held[1] == pytest.approx(4 * L * 2 * 2 * self.SIDES)

    def test_tensor_parallelism_divides_one_side_of_each(self) -> None:
        sides = (8 + 6) + 2 * (8 + 3) + (6 + 8) + 2 * (8 + 10) + (10 + 8)
        held = [serving_memory(serving(FLOPS, work=work, tp=2), POLICY).weights_bytes for work in (self.WORK, {})]
        assert held[0] - held[1] == pytest.approx(4 * L * 2 * 2 * sides)


class TestPrompts:
    def test_flops(self) -> None:
        found = step(READING, FLOPS)
        assert found.matmul_seconds == pytest.approx(2 * (32 * L * MATRICES + 2 * TABLE))  # the last token of each
        assert found.attention_seconds == pytest.approx(L * 2 * 32 * 8 * 4 * (3 + 3))

    def test_bytes(self) -> None:
        found = step(READING, BYTES)
        layer = 2 * (8 + 8) + 2 * (3 * 8) + 3 * 20 + 1.5 * (12 + 12)
        assert found.elementwise_seconds == pytest.approx(2 * 32 * L * layer)
        assert found.attention_seconds == pytest.approx(2 * 32 * L * (4 + 2) * (3 + 3))

    def test_beside_decoding_weights_are_read_once(self) -> None:
        both = step((8.0, 100.0, 32.0, 16.0), BYTES)
        assert both.matmul_seconds == pytest.approx(2 * (L * (MATRICES + 40 * VECTORS) + TABLE + 10 * (H + V)))


class TestPrefixes:
    """Two prompts of 64 tokens each, of which 48 are cached: 16 each are computed, as above."""

    WORK = {"input_tokens": 64.0, "output_tokens": 8.0, "prefix_hit": 0.75}

    def test_what_is_left_is_compared_with_the_prefix_too(self) -> None:
        found = step(READING, FLOPS, work=self.WORK)
        assert found.matmul_seconds == pytest.approx(2 * (32 * L * MATRICES + 2 * TABLE))
        assert found.attention_seconds == pytest.approx(L * 2 * 32 * (48 + 8) * 4 * (3 + 3))

    def test_a_prefix_is_read_once_for_each_prompt(self) -> None:
        more = step(READING, BYTES, work=self.WORK).attention_seconds - step(READING, BYTES).attention_seconds
        assert more == pytest.approx(L * 2 * 48 * 2 * 2 * (3 + 3))

    def test_a_load_computes_what_does_not_hit(self) -> None:
        work = serving(FLOPS, work=self.WORK).workload
        assert work.computed_tokens == 16.0


class TestParallel:
    def test_sums_over_tensor_parallelism(self) -> None:
        # two a layer, of eight vectors; all but one's own, twice over
        found = step(DECODING, machine(link=1.0), tp=2)
        assert found.tensor_parallel_seconds == pytest.approx(2 * L * 2 * 1 / 2 * (2 * 8 * H))
        assert step(DECODING, FLOPS, tp=2).matmul_seconds == pytest.approx(8 * (L * MATRICES + TABLE))

    def test_norms_in_the_kernels_of_sums(self) -> None:
        # four small kernels a layer, of which two are norms: with two sums a layer neither is launched by itself
        fused = replace(POLICY, fused_norms=True)
        assert step(DECODING, LAUNCHES, tp=2).elementwise_seconds == pytest.approx(4 * L)
        assert step(DECODING, LAUNCHES, policy=fused, tp=2).elementwise_seconds == pytest.approx(2 * L)
        assert step(DECODING, LAUNCHES, policy=fused).elementwise_seconds == pytest.approx(4 * L)  # nothing to add up

    def test_exchange_of_experts(self) -> None:
        # four replicas with eight sequences each; two copies, of which three quarters leave
        found = step(DECODING, machine(link=1.0), spec=EXPERTS, dp=4, ep=4)
        assert found.expert_parallel_seconds == pytest.approx(L * 2 * 2 * 3 / 4 * (2 * 8 * H))
        assert found.tensor_parallel_seconds == 0

    def test_narrow_there(self) -> None:
        narrow = {"weight_precision": "fp8", "activation_precision": "fp8"}
        found = step(DECODING, machine(link=1.0), spec=EXPERTS, dp=4, ep=4, work=narrow)
        assert found.expert_parallel_seconds == pytest.approx(L * (1 + 2) * 2 * 3 / 4 * (8 * H))

    def test_fitted_share_of_collectives(self) -> None:
        once = step(DECODING, machine(link=1.0), tp=2).tensor_parallel_seconds
        found = step(DECODING, machine(link=1.0), tp=2, numbers={"communication_factor": 3.0})
        assert found.tensor_parallel_seconds == pytest.approx(3 * once)

    def test_devices_that_share_a_prompt(self) -> None:
        # half of the rows and of the attention each; the two last tokens go through the head of one
        found, alone = step(READING, FLOPS, cp=2), step(READING, FLOPS)
        assert found.matmul_seconds == pytest.approx(2 * (16 * L * MATRICES + 2 * TABLE))
        assert found.attention_seconds == pytest.approx(alone.attention_seconds / 2)
        # keys and values of two heads of 3, of 32 tokens in 16 bits, but for the half that each has
        gathered = step(READING, machine(link=1.0), cp=2).tensor_parallel_seconds
        assert gathered == pytest.approx(L * 1 / 2 * (2 * 32 * 2 * (3 + 3)))
        # with tp 2 each has one of the heads
        both = step(READING, machine(link=1.0), cp=2, tp=2).tensor_parallel_seconds
        sums = step((0.0, 0.0, 16.0, 16.0), machine(link=1.0), tp=2).tensor_parallel_seconds
        assert both - sums == pytest.approx(gathered / 2)

    def test_decoding_is_the_same_on_all_that_share_prompts(self) -> None:
        for device in (FLOPS, BYTES, machine(link=1.0)):
            assert step(DECODING, device, cp=2) == step(DECODING, device)

    def test_devices_that_share_a_cache(self) -> None:
        # of four that have copies of one cached head two and two share its tokens: half of them each, with the queries
        # of two heads, which is as many products
        one = {"kv_heads": 1}
        alone, shared = (step(DECODING, BYTES, spec=one, tp=4, work={"dcp": dcp}) for dcp in (None, 2))
        assert shared.attention_seconds == pytest.approx(alone.attention_seconds / 2)
        counts = [step(DECODING, FLOPS, spec=one, tp=4, work={"dcp": dcp}).attention_seconds for dcp in (None, 2)]
        assert counts[1] == pytest.approx(counts[0])
        # queries to both and outputs back: two heads of 3 and 3 for eight sequences in 16 bits, but for one's own half
        sent = [step(DECODING, machine(link=1.0), spec=one, tp=4, work={"dcp": dcp}) for dcp in (None, 2)]
        more = sent[1].tensor_parallel_seconds - sent[0].tensor_parallel_seconds
        assert more == pytest.approx(L * 1 / 2 * (2 * 8 * 2 * (3 + 3)))
        held = [
            serving_memory(serving(FLOPS, spec=one, tp=4, work={"dcp": dcp}), POLICY).kv_tokens for dcp in (None, 2)
        ]
        assert held[1] == pytest.approx(2 * held[0])
        assert step(READING, FLOPS, spec=one, tp=4, work={"dcp": 2}) == step(READING, FLOPS, spec=one, tp=4)

    def test_a_round_of_a_pipeline(self) -> None:
        # both halves of the batch pass both stages: every weight is read twice, every row once; two messages of a half
        found = step(DECODING, BYTES, pp=2)
        halves = 2 * (2 * (L / 2 * (MATRICES + 4 * VECTORS)) * 2) / 2 + 2 * (TABLE + 4 * (H + V))
        assert found.matmul_seconds == pytest.approx(halves)
        assert step(DECODING, FLOPS, pp=2).matmul_seconds == pytest.approx(8 * (L * MATRICES + TABLE))
        sent = step(DECODING, machine(link=1.0), pp=2).pipeline_transfer_seconds
        assert sent == pytest.approx(2 * (2 * 4 * H))


class TestHost:
    NUMBERS = {"operation_gap_seconds": 1 / 12, "iteration_seconds": 10.0, "sequence_seconds": 100.0}

    def test_captured_steps(self) -> None:
        found = step(DECODING, machine(), numbers={**self.NUMBERS, "operation_host_seconds": 1e6})
        assert found.host_seconds == pytest.approx(L + 10 + 8 * 100)
        assert step(DECODING, machine(), numbers=self.NUMBERS, pp=2).host_seconds == pytest.approx(L + 10 + 8 * 100)

    def test_a_slower_host(self) -> None:
        # the gaps on the device stay, and what is launched one by one takes twice as long too
        slow = replace(cluster(), host_time_ratio=2.0)
        found = step(DECODING, machine(), numbers={**self.NUMBERS, "operation_host_seconds": 1e6}, at=slow)
        assert found.host_seconds == pytest.approx(L + 2 * (10 + 8 * 100))
        found = step(READING, machine(), numbers={"operation_host_seconds": 1.0}, at=slow)
        assert found.host_seconds == pytest.approx(2 * 12 * L)

    def test_routing_is_measured_with_its_gaps(self) -> None:
        # queries, keys with values, what comes out, a router, three banks; attention and rotation, norms, additions
        found = step(DECODING, machine(), spec=EXPERTS, numbers={"operation_gap_seconds": 1.0})
        assert found.host_seconds == pytest.approx(13 * L)

    def test_experts_that_are_one_kernel_after_another_have_all_gaps(self) -> None:
        # the thirteen and twelve of routing, where the engine says so of this kind of product
        numbers = {"operation_gap_seconds": 1.0}
        for kinds, operations in ((("bf16",), 25), (("fp8_block",), 13)):
            engine = replace(POLICY, experts_apart=kinds)
            found = step(DECODING, machine(), spec=EXPERTS, policy=engine, numbers=numbers)
            assert found.host_seconds == pytest.approx(operations * L)

    def test_steps_without_graphs_are_launched_operation_by_operation(self) -> None:
        eager = replace(POLICY, captured=False)
        found = step(DECODING, machine(), policy=eager, numbers={**self.NUMBERS, "operation_host_seconds": 1e6})
        assert found.host_seconds == pytest.approx(L + 10 + 8 * 100 + 12 * L * 1e6)

    def test_a_compiled_program_launches_at_the_pace_of_c(self) -> None:
        compiled = replace(POLICY, compiled=True)
        found = step(READING, machine(), policy=compiled, numbers={"operation_host_seconds": 1.0})
        assert found.host_seconds == pytest.approx(12 * L * 3.8e-6)

    def test_the_host_works_beside_the_device(self) -> None:
        """Overlapped: of 813 seconds of the device and its gaps and 810 of the host, the longer and a little more."""
        behind = replace(POLICY, overlapped_host=True)
        device = L + step(DECODING, BYTES).total
        apart = step(DECODING, BYTES, numbers=self.NUMBERS)
        found = step(DECODING, BYTES, policy=behind, numbers=self.NUMBERS)
        assert apart.total == pytest.approx(device + 810)
        assert found.total == pytest.approx((device**4 + 810**4) ** 0.25)
        assert found.matmul_seconds == apart.matmul_seconds

    def test_prompts_are_launched_operation_by_operation(self) -> None:
        # 6 matrices, attention and rotation, two norms, two additions
        found = step(READING, machine(), numbers={"operation_host_seconds": 1.0})
        assert found.host_seconds == pytest.approx(12 * L)
        # in captured pieces attention and rotation alone are launched
        pieces = replace(POLICY, captured_prompts=True)
        found = step(READING, machine(), policy=pieces, numbers={"operation_host_seconds": 1.0})
        assert found.host_seconds == pytest.approx(2 * L)
        # a device that is slower hides them
        slow = step(READING, FLOPS, numbers={"operation_host_seconds": 1.0})
        assert slow.host_seconds == pytest.approx(0, abs=1e-6)


def test_decoder_of_an_encoder() -> None:
    """An encoder reads prompts; its decoder writes, with keys of the prompt made once."""
    spec = {"architecture": "encoder-decoder", "encoder_layers": 1}
    read = step(READING, FLOPS, spec=spec)
    assert read.matmul_seconds == pytest.approx(2 * (32 * MATRICES + 32 * 8 * 12 + 2 * TABLE))
    written = step((8.0, 100.0, 0.0, 16.0), FLOPS, spec=spec)
    cross = 8 * 12 + 12 * 8
    assert written.matmul_seconds == pytest.approx(2 * 8 * (MATRICES + cross + TABLE))
    assert written.attention_seconds == pytest.approx(2 * 8 * (84 + 16) * 4 * (3 + 3) / 0.67)


# Loads, with a machine on which only the host takes time: a second an iteration, whatever it holds


def clock(**numbers: float) -> dict[str, Any]:
    return {"numbers": {"iteration_seconds": 1.0, **numbers}}


def served(work: dict[str, Any], **words: Any) -> tuple[ServingPlan, ServingWorkload]:
    plan = serving(machine(), work={"input_tokens": 100, "output_tokens": 11, **work}, **{**clock(), **words})
    return plan, plan.workload


WHOLE = replace(POLICY, mixed_steps=False, max_batch_tokens=400)


class TestStatic:
    def run(self, batch: float, resident: float) -> Response:
        plan, work = served({"load": "static"}, policy=WHOLE)
        return static_batch(replica(plan), work, WHOLE, batch, resident)

    def test_one_wave(self) -> None:
        # four prompts a second: two steps read eight; then ten steps write what the first token leaves of eleven
        found = self.run(8.0, 8.0)
        assert (found.ttft, found.tpot, found.request) == pytest.approx((2, 1, 12))
        assert found.output_tokens_per_second == pytest.approx(8 * 11 / 12)

    def test_waves(self) -> None:
        # eight, eight and four: the last reads in one step; first tokens after 2, 12 + 2 and 24 + 1 seconds
        found = self.run(20.0, 8.0)
        assert found.request == pytest.approx(12 + 12 + 11)
        assert found.ttft == pytest.approx((8 * 2 + 8 * 14 + 4 * 25) / 20)
        assert found.queued == 12


class TestClosed:
    """Eight requests of eleven tokens under an engine whose prompts have steps of their own: 8 / 11 of a request ends
    in a step, so that 0.364 + (1 + 0.364^2)^(1/2) = 1.428 prompts are read in one, a second together."""

    READ = 8 / 22 + (1 + (8 / 22) ** 2) ** 0.5

    def test_littles_law(self) -> None:
        plan, work = served({}, policy=WHOLE)
        found = closed_loop(replica(plan), work, WHOLE, 8.0, 8.0)
        # ten steps of writing, so many that read all eight, and half of the step that runs when a new one comes
        assert found.request == pytest.approx(10 + 8 / self.READ + 0.5)
        assert found.requests_per_second * found.request == pytest.approx(8)

    def test_reading_of_others_falls_between_tokens(self) -> None:
        # 64 requests of 41 tokens; every step takes a second, of one that reads too however many prompts are in it
        plan, work = served({"output_tokens": 41}, policy=WHOLE)
        found = closed_loop(replica(plan), work, WHOLE, 64.0, 64.0)
        together = 32 / 41 + (1 + (32 / 41) ** 2) ** 0.5
        others = (64 - together) / together
        # half of the step that runs, and its own
        assert found.ttft == pytest.approx(0.5 + 1)
        assert found.request == pytest.approx(0.5 + 40 + 1 + others)
        assert found.tpot == pytest.approx((found.request - found.ttft) / 40)

    def test_requests_of_one_length_stay_in_step(self) -> None:
        plan, work = served({"length_spread": "constant"}, policy=WHOLE)
        found = closed_loop(replica(plan), work, WHOLE, 8.0, 8.0)
        # all eight are read, four a second, then all are written: half of the other four before the first token, half
        # behind it
        assert (found.ttft, found.tpot, found.request) == pytest.approx((1 + 0.5, (10 + 0.5) / 10, 12))
        plan, work = served({"length_spread": "constant"})
        mixed = closed_loop(replica(plan), work, POLICY, 8.0, 8.0)
        assert mixed.tpot == closed_loop(replica(served({})[0]), served({})[1], POLICY, 8.0, 8.0).tpot

    def test_what_has_no_place_waits(self) -> None:
        plan, work = served({}, policy=WHOLE)
        found = closed_loop(replica(plan), work, WHOLE, 12.0, 8.0)
        assert found.queued == 4
        assert found.requests_per_second == pytest.approx(8 / (10 + 8 / self.READ))
        assert found.requests_per_second * found.request == pytest.approx(12)

    def test_time_outside_the_engine(self) -> None:
        plan, work = served({}, policy=WHOLE, **clock(request_seconds=5.0, prompt_token_seconds=0.25))
        found = closed_loop(replica(plan), work, WHOLE, 8.0, 8.0)
        assert found.request == pytest.approx(10 + 8 / self.READ + 0.5 + 5 + 0.25 * 100)

    def test_prompts_that_wait_for_each_other(self) -> None:
        # three steps more before its own, and what comes in four is read together
        plan, work = served({"batch_wait_iterations": 3}, policy=WHOLE)
        found = closed_loop(replica(plan), work, WHOLE, 8.0, 8.0)
        together = 4 * 4 / 11 + (1 + (4 * 4 / 11) ** 2) ** 0.5
        assert found.request == pytest.approx(10 + 8 / together + 0.5 + 3)
        alone = closed_loop(replica(plan), work, WHOLE, 1.0, 8.0)
        assert alone.request == closed_loop(replica(plan), served({})[1], WHOLE, 1.0, 8.0).request  # nothing is written

    def test_mixed_steps_cost_what_they_add(self) -> None:
        # an iteration takes a second with or without a prompt: reading others is free beside writing, and a request's
        # own tokens take a step to be read and ten to be written
        plan, work = served({})
        found = closed_loop(replica(plan), work, POLICY, 8.0, 8.0)
        assert found.request == pytest.approx(0.5 + 1 + 10, rel=1e-6)


class TestOpen:
    """Prompts have steps of their own, a second each; an answer of eleven tokens is ten steps."""

    def run(self, rate: float, resident: float = 8.0) -> Response:
        plan, work = served({"load": "open", "request_rate": rate}, policy=WHOLE)
        return open_arrivals(replica(plan), work, WHOLE, rate, resident)

    @staticmethod
    def read_together(seen: float) -> float:
        """Prompts of a step, of which others follow until none waits: x of x e^x = seen / 11 come in a step."""
        log = math.log(1 + seen / 11)
        x = log * (1 - math.log(1 + log) / (2 + log))
        assert x * math.exp(x) == pytest.approx(seen / 11, rel=0.05)
        return x / 2 + (1 + (x / 2) ** 2) ** 0.5

    def found_by(self, rate: float, here: float) -> tuple[float, float]:
        """The step that a request finds, and what it waits for after its first token, with so many in flight.

        A step reads n prompts in a second, however many they are: b = rate / n of the time. The step that is found is
        one of those, or a second of writing if any request is there. A prompt fills a quarter of a step: so much of
        what came since a request arrived is read before it writes on, and what comes meanwhile.
        """
        b, running = rate / self.read_together(here + 1), here / (1 + here * here) ** 0.5
        step = running * (1 - b) + b
        return step, b / (1 - b) * step / 2 / 4

    def test_littles_law(self) -> None:
        found, here = self.run(0.2), 0.0
        for _ in range(30):
            here = found.sequences - 0.2 * self.found_by(0.2, here)[1]
        # a request sees k, itself and the N in flight: ten steps and the reading of all, n a second
        n = self.read_together(here + 1)
        assert here == pytest.approx(0.2 * (10 + (here + 1) / n), rel=1e-5)
        assert found.tpot == pytest.approx(1 / (1 - 0.2 / n) + self.found_by(0.2, here)[1] / 10)

    def test_first_token(self) -> None:
        # half of the step that is found is left, and a second reads one's own with all that came
        found = self.run(0.2, resident=256.0)
        here = found.sequences
        assert found.ttft == pytest.approx(self.found_by(0.2, here)[0] / 2 + 1, rel=1e-2)
        here -= 0.2 * self.found_by(0.2, here)[1]
        assert found.ttft == pytest.approx(self.found_by(0.2, here)[0] / 2 + 1, rel=1e-4)

    def test_first_token_beside_writing(self) -> None:
        # a step of a second whatever it holds: half of one, and a whole one
        plan, work = served({"load": "open", "request_rate": 0.2})
        found = open_arrivals(replica(plan), work, POLICY, 0.2, 8.0)
        running = found.sequences / (1 + found.sequences**2) ** 0.5
        assert found.ttft == pytest.approx(running / 2 + 1, rel=0.02)

    def test_no_more_than_there_are_places(self) -> None:
        # at 93 % of what eight places can, nearly all are taken, and a request sees eight
        found, n, rate = self.run(10.0), self.read_together(8), 0.93 * 8 / (10 + 8 / TestClosed.READ)
        assert 7 < found.sequences <= 8
        late = self.found_by(rate, 7.9)[1]
        assert found.tpot == pytest.approx(1 / (1 - rate / n) + late / 10, rel=0.01)

    def test_capacity(self) -> None:
        most = 8 / (10 + 8 / TestClosed.READ)
        assert self.run(10.0).requests_per_second == pytest.approx(most)
        # beyond 93 % of it times are those of 93 %
        at, beyond = self.run(0.93 * most), self.run(10.0)
        assert BUSIEST == 0.93
        assert beyond.ttft == pytest.approx(at.ttft)

    def test_each_of_several_replicas_has_its_part(self) -> None:
        plan, work = served({"load": "open", "request_rate": 0.4}, policy=WHOLE, dp=2)
        two = respond(replica(plan), work, WHOLE, 2.0, 8.0)
        assert two.sequences == pytest.approx(self.run(0.2).sequences)


def test_a_saturated_replica_is_a_full_loop() -> None:
    plan, work = served({"load": "saturated"}, policy=WHOLE)
    found = respond(replica(plan), work, WHOLE, 1.0, 8.0)
    assert found.requests_per_second == pytest.approx(8 / (10 + 8 / TestClosed.READ))
    assert decode_step(replica(plan), work, 8.0).total == pytest.approx(1)


def test_a_node_beyond_the_domain() -> None:
    """Sums of sixteen devices over two nodes of eight: eight ports."""
    found = step(DECODING, machine(), at=cluster(network=1.0, latency=3.0), spec={"heads": 16, "kv_heads": 16}, tp=16)
    once = 2 * (7 * 0 + 3) + 2 * 15 / 16 * (2 * 8 * H) / 8
    assert found.tensor_parallel_seconds == pytest.approx(2 * L * once)


class TestLayersInHostMemory:
    """Three layers, one of them and the head on the device (`gpu_layers` 2)."""

    POLICY = replace(POLICY, host_rows=32)
    HOST = replace(cluster(), host_bandwidth=1.0, host_peak=1e40)
    CACHE = 2 * 2 * (3 + 3)  # bytes of a token in a layer

    def step(self, loaded: tuple[float, float, float, float], device: Device) -> Step:
        work = {"gpu_layers": 2}
        plan = serving(device, at=self.HOST, spec={"layers": 3}, policy=self.POLICY, work=work)
        host = machine(memory=1.0)
        return iteration(replica(replace(plan, host=host)), *loaded)

    def test_few_rows_are_computed_where_the_weights_are(self) -> None:
        found = self.step(DECODING, machine())
        streams = (1 + (4 / 16) ** 2) ** 0.5
        products, caches = 2 * (MATRICES + 8 * VECTORS), 8 * 100 * self.CACHE * streams
        assert found.matmul_seconds == pytest.approx(0.0, abs=1e-9)
        assert found.host_layers_seconds == pytest.approx(2 * (products + caches), rel=0.2)
        assert found.host_layers_seconds > 2 * (products + caches)  # norms and additions beside

    def test_the_device_has_one_layer_and_the_head(self) -> None:
        found = self.step(DECODING, FLOPS)
        assert found.matmul_seconds == pytest.approx(2 * 8 * (MATRICES + TABLE))

    def test_many_rows_have_weights_copied_and_computed_one_after_the_other(self) -> None:
        copied = self.step(READING, machine(host=1.0)).host_layers_seconds
        assert copied == pytest.approx(2 * (2 * MATRICES + 32 * self.CACHE))
        computed = self.step(READING, FLOPS)
        alone = step(READING, FLOPS)  # two layers on the device
        head = 2 * 2 * TABLE
        work = alone.matmul_seconds - head + alone.attention_seconds + alone.elementwise_seconds
        assert computed.host_layers_seconds == pytest.approx(work)
