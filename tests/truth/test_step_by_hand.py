"""A training step part by part: passes, bytes, messages and launches counted by hand on a made-up machine.

Two layers of the small decoder (`counting.py`), sequences of 16 tokens, one sequence a micro-batch.
"""

from __future__ import annotations

from typing import Any

import pytest

from llmplan.machine.efficiency import CollectiveEfficiency
from llmplan.records import replace
from llmplan.training.activations import kept_activations
from llmplan.training.flops import model_flops, recomputed_flops, training_flops
from llmplan.training.step import StepTime, training_time
from tests.truth.counting import EXPERTS, RECIPE, cluster, machine, training

S, H, V, L = 16, 8, 50, 2
MATRICES = 8 * 12 + 8 * 12 + 12 * 8 + 3 * 8 * 20  # weights of a layer that multiply
LAYER = MATRICES + 2 * H  # and two norms
ATTENTION = 2 * S * 4 * (S / 2) * (3 + 3)  # FLOPs of a layer, forward
TABLE = V * H
FLOPS, BYTES, LAUNCHES = machine(flops=1.0), machine(memory=1.0), machine(launches=True)


def step(*arguments: Any, **words: Any) -> StepTime:
    return training_time(training(*arguments, **words))


class TestWork:
    def test_products(self) -> None:
        # one forward and two backward, of the layers and of the head
        found = step(FLOPS)
        assert found.matmul_seconds == pytest.approx(3 * 2 * S * (L * MATRICES + TABLE))
        assert training_flops(training(FLOPS)) == pytest.approx(
            found.matmul_seconds + 3 * L * ATTENTION  # what a model needs does not count attention's slower way back
        )

    def test_attention(self) -> None:
        assert step(FLOPS).attention_seconds == pytest.approx((1 + 2.5 / 0.76) * L * ATTENTION)

    def test_micro_batches_follow_each_other(self) -> None:
        once, four = step(FLOPS), step(FLOPS, work={"global_batch": 4})
        assert four.step_seconds == pytest.approx(4 * once.step_seconds)
        assert step(FLOPS, micro_batch=4).step_seconds == pytest.approx(4 * once.step_seconds)

    def test_look_up_and_loss(self) -> None:
        # look-up: a row read, written, its gradient read and added; loss: six passes over fp32 logits
        layer = 2 * (8 + 8) + 2 * (3 * 8) + 3 * 20 + 1.5 * (12 + 12)
        beside = 4 * 2 * S * H + 6 * 4 * S * V
        assert step(BYTES).elementwise_seconds == pytest.approx(3 * 2 * S * L * layer + beside)

    def test_head_is_cut_over_tensor_parallelism_and_summed(self) -> None:
        one, two = step(FLOPS, tp=2), training(FLOPS, tp=2)
        assert one.matmul_seconds == pytest.approx(3 * 2 * S * (L * MATRICES + TABLE) / 2)
        assert two.devices == 2
        # two sums a layer forward and two backward, one for the head each way; all but one's own, twice over
        found = step(machine(link=1.0), tp=2).tensor_parallel_seconds
        assert found == pytest.approx((2 * 2 * L + 2) * 2 * 1 / 2 * (2 * S * H))

    def test_share_of_communication_that_is_exposed(self) -> None:
        # behind ample work; behind none, and behind some: a layer's products and attention, and the head's products
        numbers = {"exposed_tensor_parallel": 0.25}
        whole = step(machine(link=1.0), tp=2).tensor_parallel_seconds
        part = step(machine(flops=1.0, link=1.0), tp=2, numbers=numbers).tensor_parallel_seconds
        assert part == pytest.approx(whole / 4)
        assert step(machine(link=1.0), tp=2, numbers=numbers).tensor_parallel_seconds == pytest.approx(whole)
        slow = step(machine(flops=1.0, link=1e-3), tp=2, numbers=numbers).tensor_parallel_seconds
        work = (3 * 2 * S * (L * MATRICES + TABLE) + (1 + 2.5 / 0.76) * L * ATTENTION) / 2
        assert slow == pytest.approx(1e3 * whole - work)

    def test_overlap_of_tensor_parallelism_as_asked(self) -> None:
        numbers = {"exposed_tensor_parallel": 0.75}
        whole = step(machine(link=1.0), tp=2).tensor_parallel_seconds
        for said, share in ((None, 0.75), (False, 1.0), (True, 1.0 - 0.78 * 3 / 4)):
            work = {"tp_comm_overlap": said}
            found = step(machine(flops=1.0, link=1.0), tp=2, numbers=numbers, work=work).tensor_parallel_seconds
            assert found == pytest.approx(share * whole)
        # beside little work: three of four pieces of a layer's products, and of the head's, hide 0.78 of their time
        products = 3 * 2 * S * (L * MATRICES + TABLE) / 2
        slow = step(machine(flops=1.0, link=1e-3), tp=2, work={"tp_comm_overlap": True}).tensor_parallel_seconds
        assert slow == pytest.approx(1e3 * whole - 0.78 * 3 / 4 * products)

    def test_activations_cross_the_host_link_twice(self) -> None:
        kept = kept_activations(training(FLOPS)).each
        for batches in (1, 4):
            work = {"offload_activations": True, "global_batch": batches}
            assert step(machine(host=1.0), work=work).offload_seconds == pytest.approx(batches * 2 * kept)
        # beside the passes: a third of the computation covers the way there, two thirds the way back
        busy = 3 * 2 * S * (L * MATRICES + TABLE) + (1 + 2.5 / 0.76) * L * ATTENTION
        slow = kept / busy  # a link that needs as long as both passes
        found = step(machine(flops=1.0, host=slow), work={"offload_activations": True})
        assert found.offload_seconds == pytest.approx(busy * (2 / 3 + 1 / 3))
        assert found.step_seconds == pytest.approx(2 * busy)
        assert step(machine(flops=1.0, host=4 * slow), work={"offload_activations": True}).offload_seconds == 0

    def test_an_encoder_without_a_head(self) -> None:
        found = step(BYTES, spec={"head": False, "architecture": "encoder"})
        layer = 2 * (8 + 8) + 2 * (3 * 8) + 3 * 20 + 1.5 * (12 + 12)
        assert found.elementwise_seconds == pytest.approx(3 * 2 * S * L * layer + 4 * 2 * S * H)
        assert step(FLOPS, spec={"head": False, "architecture": "encoder"}).matmul_seconds == pytest.approx(
            3 * 2 * S * L * MATRICES
        )

    def test_fp8_casts_twice_for_the_gradient(self) -> None:
        # inputs of the four products of a layer are cast in both orders, and what comes from above for the way back
        forward, back = 8 + 12 + 8 + 20, (12 + 12) + 8 + (20 + 20) + 8
        products = 3 * MATRICES - MATRICES + 8 * MATRICES + S * (forward + 2 * back) + S * (back + 2 * forward)
        products += S * (forward + back)
        casts = S * (forward + back) * (2 + 2)
        head = 2 * (2 * TABLE + 2 * S * (V + H)) + 2 * S * (V + H) + 8 * TABLE
        found = step(BYTES, work={"precision": "fp8"})
        assert found.matmul_seconds == pytest.approx(L * (products + casts) + head)


class TestRecomputation:
    def test_full_runs_every_layer_again(self) -> None:
        found = step(FLOPS, recompute="full")
        assert found.recompute_seconds == pytest.approx(L * (2 * S * MATRICES + ATTENTION))
        assert recomputed_flops(training(FLOPS, recompute="full")) == pytest.approx(found.recompute_seconds)
        # with its sums: three times two a layer
        sums = step(machine(link=1.0), tp=2, recompute="full").tensor_parallel_seconds
        assert sums == pytest.approx((3 * 2 * L + 2) * 2 * 1 / 2 * (2 * S * H))

    def test_some_layers_run_again_and_the_others_do_not(self) -> None:
        layout = {"recompute": "full", "recompute_layers": 1}
        assert step(FLOPS, **layout).recompute_seconds == pytest.approx(2 * S * MATRICES + ATTENTION)
        assert recomputed_flops(training(FLOPS, **layout)) == pytest.approx(2 * S * MATRICES + ATTENTION)
        # two sums a layer and pass: three passes of one layer, two of the other; and those of the head
        sums = step(machine(link=1.0), tp=2, **layout).tensor_parallel_seconds
        assert sums == pytest.approx((2 * (3 + 2) + 2) * 2 * 1 / 2 * (2 * S * H))
        launches = step(machine(), numbers={"operation_host_seconds": 1.0}, **layout).host_seconds
        assert launches == pytest.approx((4 + 3) * 12)
        # of each virtual stage: one of four layers on two stages of two; more than there are is all
        chunks = {"pp": 2, "vp": 2, "spec": {"layers": 8}, "work": {"global_batch": 2}, "recompute": "full"}
        some, whole = (step(FLOPS, **chunks, recompute_layers=n).recompute_seconds for n in (1, 9))
        assert some == pytest.approx(whole / 2)
        assert whole == step(FLOPS, **chunks).recompute_seconds

    def test_selective_runs_unfused_attention_again(self) -> None:
        assert step(FLOPS, recompute="selective").recompute_seconds == 0
        unfused = step(FLOPS, recompute="selective", work={"flash_attention": False})
        assert unfused.recompute_seconds == pytest.approx(L * 2 * (2 * S * 4 * S * 3))

    def test_selective_share_of_products(self) -> None:
        recipe = replace(RECIPE, selective_share=0.5)
        found = step(FLOPS, recompute="selective", recipe=recipe)
        assert found.recompute_seconds == pytest.approx(L * S * MATRICES)


class TestHost:
    """6 matrices, attention and rotation, 2 norms, 2 additions: 12 operations a layer, each three times."""

    def test_a_layer_takes_as_long_as_its_launches(self) -> None:
        assert step(machine(), numbers={"operation_host_seconds": 1.0}).host_seconds == pytest.approx(3 * 12 * L)
        again = step(machine(), numbers={"operation_host_seconds": 1.0}, recompute="full").host_seconds
        assert again == pytest.approx(4 * 12 * L)

    def test_pieces_of_keys_are_sent_mixed_and_added(self) -> None:
        found = step(machine(), cp=4, numbers={"operation_host_seconds": 1.0}).host_seconds
        assert found == pytest.approx(3 * (12 + 3 * 3) * L)

    def test_blocking_launches_hide_behind_nothing(self) -> None:
        recipe = replace(RECIPE, blocking_launches=True)
        busy = 3 * 2 * S * (L * MATRICES + TABLE) + (1 + 2.5 / 0.76) * L * ATTENTION
        found = step(FLOPS, numbers={"operation_host_seconds": 1.0}, recipe=recipe)
        assert found.host_seconds == pytest.approx(3 * 12 * L * (1 + 11.6e-6), rel=1e-9)  # two kernels, 5.8 us each
        assert found.step_seconds == pytest.approx(busy + found.host_seconds)
        assert step(FLOPS, numbers={"operation_host_seconds": 1.0}).host_seconds < 3 * 12 * L / 2

    def test_times_of_a_micro_batch_and_of_a_step(self) -> None:
        numbers = {"micro_batch_seconds": 10.0, "step_seconds": 1.0}
        assert step(machine(), numbers=numbers, work={"global_batch": 4}).host_seconds == pytest.approx(41)

    def test_a_slower_host(self) -> None:
        numbers = {"operation_host_seconds": 5.0, "micro_batch_seconds": 10.0, "step_seconds": 1.0}
        found = step(machine(), numbers=numbers, at=replace(cluster(), host_time_ratio=2.0))
        assert found.host_seconds == pytest.approx(2 * (3 * 12 * L * 5.0 + 10 + 1))

    def test_kernels_that_are_launched(self) -> None:
        found = step(LAUNCHES)
        assert found.matmul_seconds == pytest.approx(3 * (4 * L + 1))  # four products a layer and the head
        assert found.attention_seconds == pytest.approx(2 * L * 1e6)
        assert found.elementwise_seconds == pytest.approx(3 * L * 4)
        moe = step(LAUNCHES, spec=EXPERTS)
        assert moe.matmul_seconds == pytest.approx(3 * (3 * L + 1))
        assert moe.elementwise_seconds == pytest.approx(3 * L * 1003)


class TestExperts:
    def test_exchange_there_and_back_in_both_passes(self) -> None:
        # a copy of two to one of two ranks: half of two copies leaves; dispatch and combine, forward and backward
        found = step(machine(link=1.0), spec=EXPERTS, dp=2, ep=2)
        assert found.expert_parallel_seconds == pytest.approx(L * 2 * 2 * 2 * 1 / 2 * (2 * S * H))
        again = step(machine(link=1.0), spec=EXPERTS, dp=2, ep=2, recompute="full")
        assert again.expert_parallel_seconds == pytest.approx(1.5 * found.expert_parallel_seconds)
        numbers = {"exposed_expert_parallel": 0.5}
        part = step(machine(flops=1.0, link=1.0), spec=EXPERTS, dp=2, ep=2, numbers=numbers)
        assert part.expert_parallel_seconds == pytest.approx(0.5 * found.expert_parallel_seconds)
        bare = step(machine(link=1.0), spec=EXPERTS, dp=2, ep=2, numbers=numbers)  # nothing to hide behind
        assert bare.expert_parallel_seconds == pytest.approx(found.expert_parallel_seconds)

    def test_all_wait_for_the_busiest_rank(self) -> None:
        recipe = replace(RECIPE, routing_spread=3.0)  # then one rank has every token on each expert
        even, uneven = (step(FLOPS, spec=EXPERTS, dp=2, ep=2, recipe=one).matmul_seconds for one in (RECIPE, recipe))
        routed = 3 * 2 * S * L * 2 * (3 * 8 * 10)
        rest = 3 * 2 * S * (L * (8 * 12 + 8 * 12 + 12 * 8 + 8 * 4) + TABLE)
        assert uneven == pytest.approx(rest + 2 * routed)
        assert rest + routed < even < uneven


class TestContextParallelism:
    def test_keys_and_values_go_around_three_times(self) -> None:
        # half of a sequence on each of two devices; nothing covers it, for attention is free
        found = step(machine(link=1.0), cp=2)
        assert found.context_parallel_seconds == pytest.approx(L * 3 * 1 / 2 * (2 * S * 2 * (3 + 3)))

    def test_attention_covers_what_can_be_hidden(self) -> None:
        device = machine(flops=1.0, link=0.001)
        around = L * 3 * 1 / 2 * (2 * S * 2 * (3 + 3)) / 0.001
        cover = (1 + 2.5 / 0.76) * L * ATTENTION / 2
        found = step(device, cp=2, numbers={"exposed_context_parallel": 0.1}).context_parallel_seconds
        assert found == pytest.approx(0.1 * around + (0.9 * around - cover))
        blocking = replace(RECIPE, blocking_launches=True)  # the host waits for exchanges too
        found = step(device, cp=2, numbers={"exposed_context_parallel": 0.1}, recipe=blocking).context_parallel_seconds
        assert found == pytest.approx(around)


class TestPipeline:
    def test_a_bubble_of_the_other_stages(self) -> None:
        # two stages of a layer, four micro-batches; the last has the head besides, and waits for the first once
        found = step(FLOPS, pp=2, work={"global_batch": 4})
        first = 3 * 2 * S * MATRICES + (1 + 2.5 / 0.76) * ATTENTION
        last = first + 3 * 2 * S * TABLE
        assert found.pipeline_bubble_seconds == pytest.approx(first)
        assert found.step_seconds == pytest.approx(4 * last + first)

    def test_interleaving_divides_it(self) -> None:
        plain, chunks = (step(FLOPS, spec={"layers": 4}, pp=2, vp=vp, work={"global_batch": 4}) for vp in (1, 2))
        assert chunks.pipeline_bubble_seconds == pytest.approx(plain.pipeline_bubble_seconds / 2)

    def test_an_uneven_pipeline_waits_for_the_fullest_stage(self) -> None:
        # five layers on two stages, one micro-batch: the fullest has three, the last 2.5 and the head; seven layers on
        # three stages: twice three, and the last 7 / 3
        layer = 3 * 2 * S * MATRICES + (1 + 2.5 / 0.76) * ATTENTION
        head = 3 * 2 * S * TABLE
        assert step(FLOPS, spec={"layers": 5}, pp=2).step_seconds == pytest.approx(3 * layer + 2.5 * layer + head)
        found = step(FLOPS, spec={"layers": 7}, pp=3).pipeline_bubble_seconds
        assert found == pytest.approx(3 * layer + 7 / 3 * layer + head)
        # a head of many layers' work makes the last one the slowest
        large = step(FLOPS, spec={"layers": 5, "vocab": 5000}, pp=2)
        assert large.step_seconds == pytest.approx(2.5 * layer + 3 * 2 * S * 5000 * H + 3 * layer)

    def test_activations_go_on_and_gradients_come_back(self) -> None:
        # 2 x 16 x 8 bytes each way for each of four micro-batches, and once more while the pipeline fills and drains
        far = cluster(network=1.0, latency=3.0)
        found = step(machine(domain=1), at=far, pp=2, work={"global_batch": 4})
        once = 2 * (2 * S * H + 3)
        assert found.pipeline_transfer_seconds == pytest.approx(4 * once)
        assert found.pipeline_bubble_seconds == pytest.approx(once)
        chunks = step(machine(domain=1), at=far, spec={"layers": 4}, pp=2, vp=2, work={"global_batch": 4})
        assert chunks.pipeline_transfer_seconds == pytest.approx(2 * 4 * once)

    def test_virtual_stages_hide_what_they_send_but_for_filling_and_draining(self) -> None:
        # eight micro-batches, two chunks on two stages: 2 x 2 - 1 of 16 passes each way fill and drain; no work hides
        far, recipe = cluster(network=1.0), replace(RECIPE, overlapped_transfers=True)
        words = {"at": far, "spec": {"layers": 4}, "pp": 2, "work": {"global_batch": 8}, "recipe": recipe}
        whole = 2 * 2 * S * H
        assert step(machine(domain=1), vp=2, **words).pipeline_transfer_seconds == pytest.approx(8 * 2 * whole)
        hidden = step(machine(domain=1, flops=1.0), vp=2, **words).pipeline_transfer_seconds
        assert hidden == pytest.approx(3 / 16 * 8 * 2 * whole)
        assert step(machine(domain=1, flops=1.0), **words).pipeline_transfer_seconds == pytest.approx(8 * whole)

    def test_neighbours_of_one_domain_use_its_links(self) -> None:
        found = step(machine(link=1.0, domain=4), pp=2, dp=2)
        assert found.pipeline_transfer_seconds == pytest.approx(2 * 2 * S * H)
        assert step(machine(link=1.0, domain=3), pp=2, dp=2).pipeline_transfer_seconds == pytest.approx(0)

    def test_tensor_parallel_devices_share_what_is_sent(self) -> None:
        whole = step(machine(link=1.0), pp=2, tp=2).pipeline_transfer_seconds
        assert whole == pytest.approx(2 * 2 * S * H)
        shared = step(machine(link=1.0), pp=2, tp=2, sequence_parallel=True).pipeline_transfer_seconds
        assert shared == pytest.approx(whole / 2)
        recipe = replace(RECIPE, divided_transfers=True)
        assert step(machine(link=1.0), pp=2, tp=2, recipe=recipe).pipeline_transfer_seconds == pytest.approx(whole / 2)


class TestReplicas:
    """Two replicas; a gradient of four bytes, a parameter of two; nothing is hidden."""

    PARAMETERS = L * LAYER + 2 * TABLE + H  # two tables, a last norm
    LINK = machine(link=1.0)

    @pytest.mark.parametrize(
        ("zero", "each"),
        [
            (0, 2 * 4), (1, 4 + 2), (2, 4 + 2),  # all-reduce; reduce-scatter and all-gather
            (3, 2 + 2 + 4),  # gathered for either pass, and the gradient
        ],
    )  # fmt: skip
    def test_bytes_of_a_parameter(self, zero: int, each: float) -> None:
        found = step(self.LINK, dp=2, zero=zero)
        assert found.data_parallel_seconds == pytest.approx(1 / 2 * each * self.PARAMETERS)

    @pytest.mark.parametrize(("zero", "of_layers", "of_ends"), [(0, 8, 8), (1, 4 + 1, 4 + 2), (3, 1 + 1 + 4, 8)])
    def test_parameters_of_products_in_8_bits_gathered_in_8_bits(
        self, zero: int, of_layers: float, of_ends: float
    ) -> None:
        recipe = replace(RECIPE, gather_bytes={"bf16": 1.0})
        found = step(self.LINK, dp=2, zero=zero, recipe=recipe).data_parallel_seconds
        layers = L * LAYER
        assert found == pytest.approx(1 / 2 * (of_layers * layers + of_ends * (self.PARAMETERS - layers)))

    @pytest.mark.parametrize(("zero", "each"), [(0, 8), (1, 6), (2, 4 * 4 + 2), (3, 4 * 8)])
    def test_how_often_with_four_micro_batches(self, zero: int, each: float) -> None:
        found = step(self.LINK, dp=2, zero=zero, work={"global_batch": 8})
        assert found.data_parallel_seconds == pytest.approx(1 / 2 * each * self.PARAMETERS)

    def test_sharded_gradients_are_summed_over_a_run_of_micro_batches(self) -> None:
        # eight micro-batches through two stages of one layer each: eight runs of one, or interleaved four of two
        held = LAYER + TABLE + H  # of the fuller end
        words = {"dp": 2, "pp": 2, "zero": 2, "work": {"global_batch": 16}}
        found = step(self.LINK, **words).data_parallel_seconds
        assert found == pytest.approx(1 / 2 * (8 * 4 + 2) * held)
        four = {"spec": {"layers": 4}, **words}
        deeper = held + LAYER
        assert step(self.LINK, **four).data_parallel_seconds == pytest.approx(1 / 2 * (8 * 4 + 2) * deeper)
        assert step(self.LINK, vp=2, **four).data_parallel_seconds == pytest.approx(1 / 2 * (4 * 4 + 2) * deeper)

    def test_a_ring_passes_every_rank(self) -> None:
        # 16 devices, 8 a domain: 14 steps and one hop for a reduce-scatter, as many for an all-gather, a layer each
        ring = {"collectives": {"ring": CollectiveEfficiency(link_fraction=1.0, base=0.0, step=1.0)}}
        device, small = machine(efficiency=ring), replace(RECIPE, bucket_parameters=1.0)
        assert step(device, dp=16, zero=1, recipe=small).data_parallel_seconds == pytest.approx(2 * L * 14)
        assert step(device, dp=16, recipe=small).data_parallel_seconds == pytest.approx(L * 2 * 7)

    def test_nothing_is_hidden_behind_a_backward_pass_that_is_over(self) -> None:
        numbers, late = {"exposed_data_parallel": 0.1}, replace(RECIPE, reduces_after_backward=True)
        device = machine(flops=1.0, link=1.0)
        for zero, each in ((0, 8), (1, 6)):
            found = step(device, dp=2, zero=zero, numbers=numbers, recipe=late).data_parallel_seconds
            assert found == pytest.approx(1 / 2 * each * self.PARAMETERS)
            beside = step(device, dp=2, zero=zero, numbers=numbers).data_parallel_seconds
            assert beside == pytest.approx(0.1 * found)
        # parameters that are gathered for each pass are gathered beside it
        full = step(device, dp=2, zero=3, numbers=numbers, recipe=late).data_parallel_seconds
        assert full == pytest.approx(0.1 * 1 / 2 * 8 * self.PARAMETERS)

    def test_a_message_for_each_layer(self) -> None:
        # small buckets, so that each layer fills one; parameters that are gathered layer by layer ask for no bucket
        device = machine(efficiency={"collectives": {"ring": CollectiveEfficiency(link_fraction=1.0, base=1.0)}})
        small = replace(RECIPE, bucket_parameters=1.0)
        assert step(device, dp=2, recipe=small).data_parallel_seconds == pytest.approx(L)
        assert step(device, dp=2, zero=1, recipe=small).data_parallel_seconds == pytest.approx(2 * L)
        assert step(device, dp=2, zero=3).data_parallel_seconds == pytest.approx(3 * L)

    def test_a_message_for_each_bucket_where_it_holds_more_than_a_layer(self) -> None:
        device = machine(efficiency={"collectives": {"ring": CollectiveEfficiency(link_fraction=1.0, base=1.0)}})
        buckets = replace(RECIPE, bucket_parameters=self.PARAMETERS / 1.5)
        assert step(device, dp=2, recipe=buckets).data_parallel_seconds == pytest.approx(1.5)
        assert step(device, dp=2, zero=1, recipe=buckets).data_parallel_seconds == pytest.approx(2 * 1.5)
        assert step(device, dp=2).data_parallel_seconds == pytest.approx(1)

    def test_shards_in_copies(self) -> None:
        # two copies of two shards: reduce-scatter within a copy, a sum of each half with the other copy's, all-gather
        words = {"dp": 4, "work": {"global_batch": 4, "dp_replicate": 2}}
        for zero, gathered in ((1, 1), (3, 2)):
            found = step(self.LINK, zero=zero, **words).data_parallel_seconds
            within = 1 / 2 * (4 + gathered * 2) * self.PARAMETERS
            assert found == pytest.approx(within + 2 * 1 / 2 * 4 * self.PARAMETERS / 2)
        # inside of a node the sum alone crosses the network: four devices a copy
        between = cluster(network=1.0, devices_per_node=4)
        far = step(machine(domain=4), at=between, dp=8, zero=1, work={"global_batch": 8, "dp_replicate": 2})
        assert far.data_parallel_seconds == pytest.approx(2 * 1 / 2 * 4 * self.PARAMETERS / 4)

    def test_gradients_as_narrow_as_asked(self) -> None:
        for words, each in (({"gradient_precision": "bf16"}, 2), ({"gradient_precision": "fp32"}, 4), ({}, 4)):
            found = step(self.LINK, dp=2, work={"global_batch": 2, **words}).data_parallel_seconds
            assert found == pytest.approx(1 / 2 * 2 * each * self.PARAMETERS)

    def test_a_smaller_sum_of_gradients(self) -> None:
        recipe = replace(RECIPE, reduce_bytes=2.0)
        found = step(self.LINK, dp=2, recipe=recipe).data_parallel_seconds
        assert found == pytest.approx(1 / 2 * 2 * 2 * self.PARAMETERS)

    def test_adapters_alone_are_reduced(self) -> None:
        # rank 2 beside q (8 to 12), k and v (8 to 6), in both layers
        adapters = L * 2 * (20 + 14 + 14)
        lora = {"work": {"workload": "lora", "lora_rank": 2}}
        assert step(self.LINK, dp=2, **lora).data_parallel_seconds == pytest.approx(1 / 2 * 8 * adapters)
        assert step(self.LINK, dp=2, zero=1, **lora).data_parallel_seconds == pytest.approx(1 / 2 * 6 * adapters)
        whole = self.PARAMETERS + adapters
        assert step(self.LINK, dp=2, zero=3, **lora).data_parallel_seconds == pytest.approx(
            1 / 2 * (4 * whole + 4 * adapters)
        )

    def test_experts_have_fewer_replicas(self) -> None:
        # four replicas over two ranks of experts: those have two copies, everything else four
        dense = L * (8 * 12 + 8 * 12 + 12 * 8 + 8 * 4 + 2 * H) + 2 * TABLE + H
        banks = L * 4 * 3 * 8 * 10 / 2
        found = step(self.LINK, spec=EXPERTS, dp=4, ep=2)
        assert found.data_parallel_seconds == pytest.approx(8 * (3 / 4 * dense + 1 / 2 * banks))

    def test_tensor_and_pipeline_parallel_shares(self) -> None:
        matrices = L * MATRICES / 2
        found = step(self.LINK, dp=2, tp=2)
        assert found.data_parallel_seconds == pytest.approx(1 / 2 * 8 * (matrices + L * 2 * H + 2 * TABLE / 2 + H))
        # the fuller end of two stages has the head and the last norm
        found = step(self.LINK, dp=2, pp=2)
        assert found.data_parallel_seconds == pytest.approx(1 / 2 * 8 * (LAYER + TABLE + H))

    def test_computation_covers_what_may_be_hidden(self) -> None:
        # a third of it is the forward pass, which parameters are gathered beside; the rest covers gradients
        device, numbers = machine(flops=1.0, link=0.001), {"exposed_data_parallel": 0.1}
        work = step(FLOPS).step_seconds
        grads, params = (1 / 2 * each * self.PARAMETERS / 0.001 for each in (4, 2))
        found = step(device, dp=2, zero=1, numbers=numbers).data_parallel_seconds
        hidden = max(0.9 * grads - 2 / 3 * work, 0) + max(0.9 * params - 1 / 3 * work, 0)
        assert hidden > 0
        assert found == pytest.approx(0.1 * (grads + params) + hidden)
        sums = 1 / 2 * 8 * self.PARAMETERS / 0.001
        alone = step(device, dp=2, zero=0, numbers=numbers).data_parallel_seconds
        assert alone == pytest.approx(0.1 * sums + 0.9 * sums - 2 / 3 * work)


class TestOptimizer:
    """Reads gradient 4, master 4, two moments 8; writes master 4, moments 8 and the parameter 2: 30 bytes."""

    PARAMETERS = L * LAYER + 2 * TABLE + H

    @pytest.mark.parametrize(
        ("optimizer", "each"),
        [
            ("adam", 30), ("adamw", 30), ("lamb", 30), ("adam-8bit", 4 + 2 * (4 + 2) + 2), ("momentum", 22),
            ("lion", 22), ("muon", 22), ("sgd", 14), ("adafactor", 14),
        ],
    )  # fmt: skip
    def test_bytes_of_a_parameter(self, optimizer: str, each: float) -> None:
        found = step(BYTES, work={"optimizer": optimizer}).optimizer_seconds
        assert found == pytest.approx(each * self.PARAMETERS)

    def test_a_shard(self) -> None:
        assert step(BYTES, dp=2).optimizer_seconds == pytest.approx(30 * self.PARAMETERS)
        assert step(BYTES, dp=2, zero=1).optimizer_seconds == pytest.approx(30 * self.PARAMETERS / 2)
        banks = L * 4 * 3 * 8 * 10 / 2
        dense = L * (8 * 12 + 8 * 12 + 12 * 8 + 8 * 4 + 2 * H) + 2 * TABLE + H
        found = step(BYTES, spec=EXPERTS, dp=4, ep=2, zero=1).optimizer_seconds
        assert found == pytest.approx(30 * (dense / 4 + banks / 2))

    def test_offloaded_states_come_over_the_host_link(self) -> None:
        found = step(machine(host=1.0), offload_optimizer=True).optimizer_seconds
        assert found == pytest.approx(30 * self.PARAMETERS)
        assert step(machine(host=1.0)).optimizer_seconds == pytest.approx(0)

    def test_full_precision_has_no_master(self) -> None:
        found = step(BYTES, work={"precision": "fp32"}).optimizer_seconds
        assert found == pytest.approx((4 + 2 * 8 + 4) * self.PARAMETERS)


class TestLora:
    """Rank 2 beside q (8 to 12), k and v (8 to 6 each)."""

    WORK = {"work": {"workload": "lora", "lora_rank": 2}}

    def test_frozen_matrices_have_no_gradient_and_adapters_three_products(self) -> None:
        adapters = 2 * S * 2 * (20 + 14 + 14)
        found = step(FLOPS, **self.WORK)
        assert found.matmul_seconds == pytest.approx(2 * 2 * S * (L * MATRICES + TABLE) + 3 * L * adapters)

    def test_bytes_beside(self) -> None:
        # dropout reads 8 and writes 8, the sum reads two results and writes one; as much again twice backward
        more = step(BYTES, **self.WORK).elementwise_seconds - step(BYTES).elementwise_seconds
        assert more == pytest.approx(3 * L * 2 * S * (3 * 2 * 8 + 3 * (12 + 6 + 6)))

    def test_launches(self) -> None:
        # dropout, two products, scaling, addition for each adapter
        found = step(machine(), numbers={"operation_host_seconds": 1.0}, **self.WORK)
        assert found.host_seconds == pytest.approx(3 * (12 + 3 * 5) * L)

    def test_a_quantized_base_is_widened_for_either_pass(self) -> None:
        words = {"work": {**self.WORK["work"], "quantized_base": "nf4"}}
        more = step(BYTES, **words).elementwise_seconds - step(BYTES, **self.WORK).elementwise_seconds
        assert more == pytest.approx(2 * L * 4.5 * MATRICES)


def test_stragglers() -> None:
    # four nodes: two doublings of 1 %
    words = {"dp": 4, "at": cluster(devices_per_node=1), "numbers": {"straggler_loss": 0.01}}
    found = step(FLOPS, **words)
    assert found.straggler_seconds == pytest.approx(0.02 * (found.step_seconds - found.straggler_seconds))


def test_model_flops_count_the_masked_half_once() -> None:
    assert model_flops(training(FLOPS)) == pytest.approx(2 * S * (L * MATRICES + TABLE) + L * ATTENTION)
    assert training_flops(training(FLOPS, work={"workload": "lora"})) == pytest.approx(2 * model_flops(training(FLOPS)))
