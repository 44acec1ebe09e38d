"""Models that are not plain decoders, and what goes with them, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan import plan_from
from llmplan.answer.resolve import AnyPlan
from llmplan.errors import InputError
from llmplan.training.flops import model_flops, training_flops
from llmplan.training.memory import training_memory
from llmplan.training.step import training_time

EXACT = 1e-12


def plan(model: str, **words: Any) -> AnyPlan:
    return plan_from({"model": model, "hardware": "a100-sxm-80gb", "tp": 1, "pp": 1, "micro_batch": 1} | words)


class TestT5Large:
    """24 + 24 layers of width 1024 with 16 heads of 64, MLP 4096, vocabulary 32128 (Raffel et al. 2019)."""

    H, F, LAYERS, VOCAB, B = 1024, 4096, 24, 32128, 8

    def flops(self, source: int, target: int) -> float:
        """Forward, by hand: q, k, v, out have 4 h^2 weights, the MLP 2 h f; cross attention's keys are the source's."""
        h, f = self.H, self.F
        encoder = 2 * (4 * h * h + 2 * h * f) * source + 4 * source * source * h
        own = 2 * 4 * h * h * target + 4 * target * (target / 2) * h
        cross = 2 * 2 * h * h * target + 2 * 2 * h * h * source + 4 * target * source * h
        decoder = own + cross + 2 * 2 * h * f * target
        return self.B * (self.LAYERS * (encoder + decoder) + 2 * target * h * self.VOCAB)

    @pytest.mark.parametrize(("source", "target"), [(512, 512), (512, 114), (128, 1024)])
    def test_flops(self, source: int, target: int) -> None:
        asked = plan("t5-large", seq_len=source, target_len=target, global_batch=self.B)
        assert model_flops(asked) == pytest.approx(self.flops(source, target), rel=EXACT)

    def test_activations(self) -> None:
        # A token keeps, in 16 bits: the encoder's layer 2 norms, 2 inputs of column-split matrices, q, k, v, out's
        # input, the MLP's activation and down's input; the decoder's one norm and one input more, cross attention's
        # q and out's input, and for every token of the source k and v.
        source, target, h, f = 512, 128, self.H, self.F
        asked = plan("t5-large", seq_len=source, target_len=target, global_batch=1, recompute="none", stack="generic")
        encoder = source * (2 * h + 2 * h + 3 * h + h + f + f)
        decoder = target * (3 * h + 3 * h + 3 * h + h + h + h + f + f) + source * 2 * h
        entering = source * h
        expected = 2 * (self.LAYERS * (encoder + decoder) + entering)
        assert training_memory(asked).activations_bytes == pytest.approx(expected, rel=EXACT)

    def test_a_shorter_target_takes_less(self) -> None:
        long, short = (plan("t5-large", seq_len=512, target_len=n, global_batch=8) for n in (512, 64))
        assert training_time(short).step_seconds < training_time(long).step_seconds
        assert training_memory(short).activations_bytes < training_memory(long).activations_bytes
        assert training_memory(short).weights_bytes == training_memory(long).weights_bytes


class TestAlbert:
    """ALBERT base: 12 layers that share one set of weights, width 768, embedding 128 (Lan et al. 2019, table 1)."""

    H, LAYERS, S, B = 768, 12, 512, 4
    LAYER = 4 * (H * H + H) + (H * 4 * H + 4 * H) + (4 * H * H + H) + 2 * 2 * H
    ENDS = (30000 + 512 + 2) * 128 + 2 * 128 + 128 * H + H + H * H + H  # tables, norm, projection, pooler

    def asked(self, **words: Any) -> AnyPlan:
        words = {"seq_len": self.S, "global_batch": self.B, "micro_batch": self.B, "stack": "bert-nvidia-pt"} | words
        return plan("albert-base-v2", **words)

    def test_weights_are_counted_once(self) -> None:
        memory = training_memory(self.asked())
        assert memory.weights_bytes == pytest.approx(2 * (self.LAYER + self.ENDS), rel=EXACT)
        assert round((self.LAYER + self.ENDS) / 1e6) == 12  # table 1: 12 M
        assert memory.optimizer_states_bytes == pytest.approx(12 * (self.LAYER + self.ENDS), rel=EXACT)

    def test_work_is_counted_for_every_layer(self) -> None:
        # 24 h^2 for the matrices, 4 s h for attention that sees all tokens; no head
        each = 24 * self.H**2 + 4 * self.S * self.H
        assert model_flops(self.asked()) == pytest.approx(self.B * self.S * self.LAYERS * each, rel=EXACT)

    def test_activations_are_kept_for_every_layer(self) -> None:
        # equation 1 of Korthikanti et al. 2022: no flash attention, dropout; and what enters the first layer
        each = self.S * self.B * self.H * 34 + 5 * 12 * self.S**2 * self.B
        expected = self.LAYERS * each + 2 * self.S * self.B * self.H
        found = training_memory(self.asked(recompute="none")).activations_bytes
        assert found == pytest.approx(expected, rel=EXACT)


class TestLora:
    """Llama 3.1 8B: 32 layers, h 4096, 8 kv heads of 128, f 14336, vocabulary 128256; rank 16 on q, k and v."""

    LAYERS, H, KV, F, VOCAB, RANK = 32, 4096, 1024, 14336, 128256, 16
    MATRICES = LAYERS * (2 * H * H + 2 * H * KV + 3 * H * F)
    REST = (2 * LAYERS + 1) * H + 2 * VOCAB * H
    ADAPTERS = LAYERS * RANK * ((H + H) + 2 * (H + KV))

    def asked(self, **words: Any) -> AnyPlan:
        fixed = {"workload": "lora", "lora_rank": 16, "lora_targets": "q,kv", "stack": "generic", "seq_len": 2048}
        return plan("llama-3.1-8b", **(fixed | {"global_batch": 1, "zero": 0} | words))

    def test_only_adapters_are_trained(self) -> None:
        memory = training_memory(self.asked())
        assert memory.weights_bytes == pytest.approx(2 * (self.MATRICES + self.REST + self.ADAPTERS), rel=EXACT)
        assert memory.gradients_bytes == pytest.approx(4 * self.ADAPTERS, rel=EXACT)
        assert memory.optimizer_states_bytes == pytest.approx(12 * self.ADAPTERS, rel=EXACT)

    def test_quantized_base(self) -> None:
        # Dettmers et al. 2023 (arXiv 2305.14314), section 3: NF4 with double quantization takes 4 + 0.127 bits. Norms
        # of layers are counted with the matrices (262,144 parameters of 7 billion), token table and head are not.
        memory = training_memory(self.asked(quantized_base="nf4"))
        norms = 2 * self.LAYERS * self.H
        expected = (self.MATRICES + norms) * (4 + 0.127) / 8 + 2 * (self.REST - norms + self.ADAPTERS)
        assert memory.weights_bytes == pytest.approx(expected, rel=0.0005 / 4)  # 0.127 is rounded to 0.0005

    def test_a_base_in_fp8_takes_a_byte_and_keeps_no_inputs(self) -> None:
        plain, narrow, nf4 = (training_memory(self.asked(**words)) for words in (
            {}, {"quantized_base": "fp8"}, {"quantized_base": "nf4"},
        ))  # fmt: skip
        norms = 2 * self.LAYERS * self.H
        expected = (self.MATRICES + norms) * 1 + 2 * (self.REST - norms + self.ADAPTERS)
        assert narrow.weights_bytes == pytest.approx(expected, rel=EXACT)
        assert narrow.activations_bytes == plain.activations_bytes < nf4.activations_bytes

    def test_states_in_16_bits(self) -> None:
        # ms-swift: gradient and moments of 2 bytes each, no master; 8-bit Adam has moments of 1 byte everywhere
        for optimizer, moments in (("adamw", 2 + 2), ("lion", 2), ("adam-8bit", 1 + 1)):
            memory = training_memory(self.asked(stack="ms-swift", optimizer=optimizer))
            assert memory.gradients_bytes == pytest.approx(2 * self.ADAPTERS, rel=EXACT)
            assert memory.optimizer_states_bytes == pytest.approx(moments * self.ADAPTERS, rel=EXACT)

    def test_no_gradients_of_the_base_are_computed(self) -> None:
        lora, full = self.asked(), plan("llama-3.1-8b", seq_len=2048, global_batch=1)
        assert training_flops(full) == 3 * model_flops(full)
        assert training_flops(lora) == 2 * model_flops(lora)
        assert training_time(lora).matmul_seconds < 0.75 * training_time(full).matmul_seconds

    def test_rank_scales_the_adapters(self) -> None:
        one, four = (training_memory(self.asked(lora_rank=rank)).gradients_bytes for rank in (8, 32))
        assert four == 4 * one


class TestMixtral:
    """Mixtral 8x7B: 32 layers, 8 experts of 14336, two a token."""

    LAYERS, H, KV, F, VOCAB = 32, 4096, 1024, 14336, 32000
    DENSE = LAYERS * (2 * H * H + 2 * H * KV + 8 * H + 2 * H) + H + 2 * VOCAB * H
    EXPERT = LAYERS * 3 * H * F

    @pytest.mark.parametrize(("ep", "experts"), [(1, 8), (2, 4), (8, 1)])
    def test_experts_are_spread(self, ep: int, experts: int) -> None:
        memory = training_memory(plan("mixtral-8x7b", devices=8, ep=ep, zero=0, global_batch=8, stack="generic"))
        held = self.DENSE + experts * self.EXPERT
        assert memory.weights_bytes == pytest.approx(2 * held, rel=EXACT)
        assert memory.optimizer_states_bytes == pytest.approx(12 * held, rel=EXACT)

    def test_optimizer_states_of_experts_are_sharded_over_those_who_hold_the_same(self) -> None:
        memory = training_memory(plan("mixtral-8x7b", devices=16, ep=8, zero=1, global_batch=16, stack="generic"))
        # 16 ranks share the dense part; each expert stands on two
        assert memory.optimizer_states_bytes == pytest.approx(12 * (self.DENSE / 16 + self.EXPERT / 2), rel=EXACT)

    def test_tensor_parallelism_cuts_experts_where_it_is_wider_than_ep(self) -> None:
        words = {"devices": 8, "tp": 8, "zero": 0, "global_batch": 1, "stack": "generic"}
        alone, spread = (training_memory(plan("mixtral-8x7b", ep=ep, **words)) for ep in (1, 8))
        assert alone.weights_bytes == spread.weights_bytes  # an eighth of each, or one of eight

    def test_flops_of_two_experts(self) -> None:
        s = 4096
        asked = plan("mixtral-8x7b", devices=8, ep=8, seq_len=s, global_batch=8)
        matrices = self.LAYERS * (2 * self.H**2 + 2 * self.H * self.KV + 8 * self.H + 2 * 3 * self.H * self.F)
        attention = self.LAYERS * 4 * self.H * s / 2
        token = 2 * matrices + attention + 2 * self.H * self.VOCAB
        assert model_flops(asked) == pytest.approx(8 * s * token, rel=EXACT)

    def test_experts_talk_only_where_they_are_spread(self) -> None:
        alone, spread = (training_time(plan("mixtral-8x7b", devices=8, ep=ep, global_batch=8)) for ep in (1, 8))
        assert alone.expert_parallel_seconds == 0.0
        assert spread.expert_parallel_seconds > 0.0


class TestOffload:
    def test_states_move_to_the_host(self) -> None:
        words = {"devices": 8, "zero": 1, "global_batch": 8, "stack": "generic"}
        kept, moved = (training_memory(plan("llama-3.1-8b", offload_optimizer=flag, **words)) for flag in (False, True))
        assert moved.optimizer_states_bytes == 0.0
        assert moved.host_bytes == 8 * kept.optimizer_states_bytes  # all devices of a node
        assert kept.host_bytes == 0.0
        assert moved.weights_bytes == kept.weights_bytes

    def test_the_link_to_the_host_is_the_price(self) -> None:
        words = {"devices": 8, "zero": 1, "global_batch": 8}
        kept, moved = (training_time(plan("llama-3.1-8b", offload_optimizer=flag, **words)) for flag in (False, True))
        # A100: 1692 GB/s of streaming (0.83 of 2039) against 31 GB/s of PCIe 4
        assert moved.optimizer_seconds / kept.optimizer_seconds == pytest.approx(0.83 * 2039 / 31, rel=EXACT)


class TestStatesElsewhere:
    """Llama 3.1 8B (8,030,261,248 parameters; table and head of 128256 x 4096, layers of 218,112,000) on A100s."""

    PARAMETERS, LAYER, TABLE = 8_030_261_248, 218_112_000, 128256 * 4096

    def asked(self, **words: Any) -> AnyPlan:
        fixed = {"workload": "finetune", "stack": "torchtune", "seq_len": 2048, "micro_batch": 1, "devices": 8}
        return plan("llama-3.1-8b", **(fixed | {"global_batch": 8, "zero": 3} | words))

    def test_everything_in_host_memory(self) -> None:
        # torchtune in bf16: weight, gradient and two moments of 2 bytes each, an eighth of them a device
        kept, moved = training_memory(self.asked()), training_memory(self.asked(offload_parameters=True))
        assert (moved.weights_bytes, moved.gradients_bytes, moved.optimizer_states_bytes) == (0.0, 0.0, 0.0)
        assert moved.host_bytes == pytest.approx((2 + 2 + 2 * 2) * self.PARAMETERS, rel=EXACT)
        assert (moved.gathered_bytes, moved.activations_bytes) == (kept.gathered_bytes, kept.activations_bytes)
        two = training_memory(self.asked(offload_parameters=True, devices=2))  # halves of them, in a node of eight
        assert two.host_bytes == pytest.approx((2 + 2 + 2 * 2) * self.PARAMETERS, rel=EXACT)

    def test_parameters_and_gradients_cross_the_link_in_every_micro_batch(self) -> None:
        # 31 GB/s of PCIe 4: parameters twice and gradients once; then the optimizer reads gradient (2), moments (4),
        # and writes moments (4) and the parameter (2)
        for micro_batches in (1, 4):
            found = training_time(self.asked(offload_parameters=True, global_batch=8 * micro_batches))
            crossing = micro_batches * (2 * 2 + 2) + (2 + 4 + 4 + 2)
            assert found.optimizer_seconds == pytest.approx(self.PARAMETERS / 8 * crossing / 31e9, rel=EXACT)

    def test_activations_in_host_memory(self) -> None:
        # 32 layers keep their inputs, 2048 x 4096 of 2 bytes: two stay, 30 of each of eight devices move
        kept, moved = (training_memory(self.asked(recompute="full", offload_activations=x)) for x in (False, True))
        layer = 2 * 2048 * 4096
        assert kept.activations_bytes - moved.activations_bytes == pytest.approx(30 * layer, rel=EXACT)
        assert moved.host_bytes - kept.host_bytes == pytest.approx(8 * 30 * layer, rel=EXACT)
        # all of them: two whole layers stay
        kept, moved = (training_memory(self.asked(recompute="none", offload_activations=x)) for x in (False, True))
        embeddings = 2 * 2048 * 4096
        layer = (kept.activations_bytes - embeddings) / 32
        assert moved.activations_bytes == pytest.approx(2 * layer + embeddings, rel=EXACT)

    def test_shards_in_copies(self) -> None:
        whole, copies = training_memory(self.asked()), training_memory(self.asked(dp_replicate=2))
        for name in ("weights_bytes", "gradients_bytes", "optimizer_states_bytes"):
            assert getattr(copies, name) == pytest.approx(2 * getattr(whole, name), rel=EXACT)
        with pytest.raises(InputError, match="does not divide dp 8"):
            self.asked(dp_replicate=3)
        with pytest.raises(InputError, match="zero 0 has none"):
            self.asked(dp_replicate=2, zero=0)

    def test_gradients_as_they_are_added_up(self) -> None:
        # Megatron-Core adds bf16 gradients up in fp32, unless it is told to do so in bf16; FSDP keeps fp32 parameters
        words = {"stack": "megatron-core", "zero": 0}
        wide, narrow = (self.asked(gradient_precision=x, **words) for x in ("fp32", "bf16"))
        assert training_memory(wide).gradients_bytes == training_memory(self.asked(**words)).gradients_bytes
        assert training_memory(narrow).gradients_bytes == training_memory(wide).gradients_bytes / 2
        sharded = (self.asked(stack="torchtitan", gradient_precision=x) for x in ("fp32", "bf16"))
        assert len({training_memory(one).gradients_bytes for one in sharded}) == 1

    def test_an_optimizer_in_the_backward_pass_keeps_the_gradients_of_a_layer_or_of_table_and_head(self) -> None:
        kept = training_memory(self.asked(devices=1, global_batch=1, zero=0, optimizer_in_backward=True))
        ends = 2 * self.TABLE + 4096
        assert ends > self.LAYER
        assert kept.gradients_bytes == pytest.approx(2 * ends, rel=EXACT)
        adapted = self.asked(workload="lora", lora_targets="all-linear", lora_rank=8, optimizer_in_backward=True)
        assert training_memory(adapted).gradients_bytes == pytest.approx(2 * 20_971_520 / 32 / 8, rel=EXACT)

    @pytest.mark.parametrize(("optimizer", "moment"), [("paged-adamw", 4), ("paged-adamw-8bit", 1), ("adamw-8bit", 1)])
    def test_states_of_bitsandbytes(self, optimizer: str, moment: int) -> None:
        found = training_memory(self.asked(optimizer=optimizer))
        assert found.optimizer_states_bytes == pytest.approx(2 * moment * self.PARAMETERS / 8, rel=EXACT)
        assert found.host_bytes == 0.0

    def test_paged_states_go_to_the_host_where_the_device_is_full(self) -> None:
        words = {"devices": 1, "global_batch": 1, "zero": 0, "hardware": "a100-sxm-40gb"}
        asked = self.asked(optimizer="paged-adamw", **words)
        found = training_memory(asked)
        states = 2 * 4 * self.PARAMETERS
        assert found.peak_bytes == pytest.approx(asked.usable_bytes, rel=EXACT)
        away = states - found.optimizer_states_bytes
        assert found.host_bytes == pytest.approx(away, rel=EXACT)  # of one device, alone in a node of eight
        # beside the pass over gradient, states and parameter, what is away comes and goes at 31 GB/s
        roomy = self.asked(optimizer="paged-adamw", device_memory="200 GiB", **words)
        more = training_time(asked).optimizer_seconds - training_time(roomy).optimizer_seconds
        assert more == pytest.approx(2 * away / 31e9, rel=1e-9)

    @pytest.mark.parametrize(("words", "reason"), [
        ({"offload_parameters": True, "zero": 1}, "goes with zero 3"),
        ({"optimizer_in_backward": True, "global_batch": 16}, "keeps no gradients to add up"),
    ])  # fmt: skip
    def test_what_does_not_go_together(self, words: dict[str, Any], reason: str) -> None:
        with pytest.raises(InputError, match=reason):
            self.asked(**words)
