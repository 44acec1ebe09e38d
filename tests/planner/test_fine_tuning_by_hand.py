"""What fine-tuning frameworks hold beside states and activations, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan import InputError, plan_from
from llmplan.answer.resolve import AnyPlan
from llmplan.machine.kernels import stream_bandwidth
from llmplan.training.adapters import adapter_operations
from llmplan.training.memory import training_memory
from llmplan.training.recompute import recomputed_share
from llmplan.training.states import trained_parameters
from llmplan.training.step import training_time

EXACT = 1e-12
WORDS = {
    "model": "llama-3.1-8b", "hardware": "a100-sxm-80gb", "workload": "lora", "stack": "hf-trainer", "seq_len": 4096,
    "micro_batch": 1, "recompute": "full", "lora_targets": "q_proj,v_proj", "lora_rank": 8,
}  # fmt: skip
VARIED, RETURNED, WASTE = 1.5, 0.8, 0.02  # of the stack


def plan(**words: Any) -> AnyPlan:
    return plan_from(WORDS | words)


def passing(memory: Any) -> float:
    return float(memory.activations_bytes + memory.logits_bytes + memory.gathered_bytes)


class TestSamplesOfManyLengths:
    @pytest.mark.parametrize(("stack", "default"), [("hf-trainer", True), ("ms-swift", False), ("axolotl", False)])
    def test_the_stack_says_whether_there_are_any(self, stack: str, default: bool) -> None:
        taken = plan(stack=stack)
        assert any(one.startswith("packing false") for one in taken.assumptions) is not default
        assert training_memory(taken).peak_bytes == training_memory(plan(stack=stack, packing=default)).peak_bytes

    def test_what_a_micro_batch_takes_is_held_two_and_a_half_times(self) -> None:
        packed, varied = training_memory(plan(packing=True)), training_memory(plan(packing=False))
        assert packed.overhead_bytes == pytest.approx(WASTE * packed.allocated_bytes, rel=EXACT)
        assert varied.peak_bytes - packed.peak_bytes == pytest.approx(VARIED * passing(packed), rel=EXACT)

    def test_empty_blocks_are_given_back_where_the_device_is_full(self) -> None:
        full = plan(seq_len=32768, packing=False)
        packed, varied = training_memory(plan(seq_len=32768, packing=True)), training_memory(full)
        least = packed.peak_bytes + VARIED * (1 - RETURNED) * passing(packed)
        assert least > full.usable_bytes  # so only what cannot be given back is added
        assert varied.peak_bytes == pytest.approx(least, rel=EXACT)
        between = plan(seq_len=16384, packing=False)
        packed = training_memory(plan(seq_len=16384, packing=True))
        low, high = (packed.peak_bytes + VARIED * share * passing(packed) for share in (1 - RETURNED, 1.0))
        assert low < between.usable_bytes < high
        assert training_memory(between).peak_bytes == pytest.approx(between.usable_bytes, rel=EXACT)

    @pytest.mark.parametrize(("stack", "version", "waste"), [
        ("axolotl", "2023", VARIED), ("axolotl", "0.4", VARIED), ("axolotl", "0.6", 0.0), ("axolotl", None, 0.0),
        ("torchtune", None, 0.0),
    ])  # fmt: skip
    def test_blocks_that_grow_lose_nothing(self, stack: str, version: str | None, waste: float) -> None:
        words = {"stack": stack, "stack_version": version}
        packed, varied = (training_memory(plan(**words, packing=packing)) for packing in (True, False))
        assert varied.peak_bytes - packed.peak_bytes == pytest.approx(waste * passing(packed), rel=EXACT, abs=1)

    def test_pretraining_packs(self) -> None:
        words = {"workload": "pretrain", "lora_targets": None, "lora_rank": None}
        assert plan(**words).workload.packing


class TestScores:
    def test_a_softmax_in_fp32_and_its_copy_are_kept(self) -> None:
        """32 heads compare 4096 tokens with 4096: 6 bytes a score, in the one layer that is computed again."""
        with_scores, without = (training_memory(plan(flash_attention=flash)) for flash in (False, True))
        assert with_scores.activations_bytes - without.activations_bytes == 6 * 32 * 4096**2


class TestTheStep:
    """AdamW of PyTorch works on all tensors at once: the roots of the second moments stand together."""

    WORDS = {"workload": "finetune", "lora_targets": None, "lora_rank": None, "model": "qwen-2.5-0.5b", "packing": True}

    def test_where_little_is_kept_for_the_backward_pass_it_is_the_peak(self) -> None:
        memory = training_memory(plan(**self.WORDS, seq_len=128))
        parameters = plan(**self.WORDS).model.parameters
        assert memory.workspace_bytes == pytest.approx(4 * parameters - passing(memory), rel=EXACT)

    def test_where_much_is_kept_it_hides(self) -> None:
        assert training_memory(plan(**self.WORDS, seq_len=8192)).workspace_bytes == 0

    def test_pure_16_bits_take_half(self) -> None:
        memory = training_memory(plan(**self.WORDS, seq_len=128, stack="ms-swift"))
        assert memory.workspace_bytes == pytest.approx(2 * plan(**self.WORDS).model.parameters - passing(memory))

    def test_an_update_in_the_backward_pass_has_none(self) -> None:
        memory = training_memory(plan(**self.WORDS, seq_len=128, optimizer_in_backward=True))
        assert memory.workspace_bytes == 0


class TestRecomputation:
    @pytest.mark.parametrize(
        ("base", "recompute"), [(None, "none"), ("nf4", "full"), ("int8", "full"), ("int4", "none")]
    )
    def test_preparing_a_base_of_bitsandbytes_turns_it_on(self, base: str | None, recompute: str) -> None:
        assert plan(recompute=None, quantized_base=base).layout.recompute == recompute


class TestEnds:
    def test_beside_bitsandbytes_they_are_cast_to_fp32_beside_gptq_not(self) -> None:
        model = plan().model
        ends = model.embedding_parameters + model.head_parameters + model.final_parameters
        words = {"stack": "axolotl"}  # with double quantization
        nf4, int4 = (training_memory(plan(quantized_base=base, **words)).weights_bytes for base in ("nf4", "int4"))
        matrices = sum(layer.copies * sum(one.parameters for one in layer.linears) for layer in model.layers)
        norms = sum(layer.copies * layer.extra_parameters for layer in model.layers)
        from llmplan.machine.precision import STORED_BYTES

        per_parameter = STORED_BYTES["nf4"] - STORED_BYTES["int4"]
        assert nf4 - int4 == pytest.approx((matrices + norms) * per_parameter + ends * (4 - 2), rel=1e-9)

    def test_litgpt_copies_a_head_that_is_tied(self) -> None:
        tied, apart = (plan(stack="litgpt", model=name) for name in ("gemma-2b", "llama-3.1-8b"))
        assert tied.model.tied_embeddings
        whole = tied.model.parameters + tied.model.embedding_parameters
        adapters = training_memory(tied).gradients_bytes / 2  # in 16 bits
        assert training_memory(tied).weights_bytes == pytest.approx(2 * (whole + adapters), rel=EXACT)
        adapters = training_memory(apart).gradients_bytes / 2
        assert training_memory(apart).weights_bytes == pytest.approx(2 * (apart.model.parameters + adapters), rel=EXACT)


class TestDeepSpeed:
    def test_a_thousand_million_parameters_stay_whole(self) -> None:
        words = {"workload": "finetune", "lora_targets": None, "lora_rank": None, "stack": "deepspeed", "devices": 8}
        assert training_memory(plan(**words, zero=3)).gathered_bytes == 2 * 1e9

    def test_the_step_flattens_gradients_and_copies_them_to_fp32(self) -> None:
        """2 + 4 bytes of every gradient of the shard, while no activations stand."""
        words = {"workload": "finetune", "lora_targets": None, "lora_rank": None, "stack": "deepspeed"}
        found = plan(**words, zero=2, model="qwen-2.5-0.5b", seq_len=128, packing=True)
        memory = training_memory(found)
        assert memory.workspace_bytes == pytest.approx(6 * found.model.parameters - passing(memory), rel=EXACT)


class TestLogits:
    """Llama 3.1 8B, 12 bytes a logit of 128256."""

    def test_a_layer_is_computed_again_when_they_are_gone(self) -> None:
        none, full = (training_memory(plan(packing=True, recompute=again, seq_len=4096)) for again in ("none", "full"))
        layer = full.activations_bytes - 2 * 4096 * 4096 * 33  # beside inputs of 32 layers and the embeddings' output
        assert none.logits_bytes == 12 * 4096 * 128256
        assert full.logits_bytes == pytest.approx(none.logits_bytes - layer, rel=EXACT)

    def test_adapters_on_a_quantized_base_stand_on_all_linear_layers(self) -> None:
        words = {"lora_targets": None}
        assert plan(**words, quantized_base="nf4").workload.lora_targets == ("all-linear",)
        assert plan(**words).workload.lora_targets == ("default",)


class TestInputsOfAdapters:
    """Llama 3.1 8B: queries and values read 4096 numbers a token, in 32 layers, none computed again."""

    TOKENS, LAYERS, HIDDEN, INNER = 4096, 32, 4096, 14336

    def activations(self, **words: Any) -> float:
        return float(training_memory(plan(recompute="none", packing=True, **words)).activations_bytes)

    def test_adapters_in_fp32_cast_each_its_own(self) -> None:
        """In the trainer 2 bytes for each of the two; in 16 bits (torchtune) both share one of 2 bytes."""
        both, one = self.activations(), self.activations(lora_targets="q_proj")
        assert both - one == 2 * self.TOKENS * self.LAYERS * self.HIDDEN
        assert self.activations(stack="torchtune") == self.activations(stack="torchtune", lora_targets="q_proj")

    def test_a_dropout_keeps_its_mask_too(self) -> None:
        both, one = (self.activations(stack="ms-swift", lora_targets=some) for some in ("q_proj,v_proj", "q_proj"))
        assert both - one == 3 * self.TOKENS * self.LAYERS * self.HIDDEN

    def test_products_in_8_bits_keep_their_input_twice(self) -> None:
        """Of q, k, v, o, gate and up, that read the hidden size, and of down: 2 bytes in fp16 and 1 in int8."""
        int8, bf16 = self.activations(quantized_base="int8"), self.activations()
        inputs = 6 * self.HIDDEN + self.INNER
        assert int8 - bf16 == 3 * self.TOKENS * self.LAYERS * inputs

    def test_products_in_4_bits_keep_those_that_they_share(self) -> None:
        """Of q, k and v one, of o one, of gate and up one, of down one: 2 bytes each."""
        nf4, bf16 = self.activations(quantized_base="nf4"), self.activations()
        assert nf4 - bf16 == 2 * self.TOKENS * self.LAYERS * (3 * self.HIDDEN + self.INNER)


class TestDora:
    """Llama 3.1 8B, adapters on the queries: 4096 inputs and outputs in 32 layers, a rank of 8."""

    WORDS = {"lora_targets": "q_proj", "seq_len": 4096, "packing": True}

    def pair(self, **words: Any) -> list[AnyPlan]:
        return [plan(**self.WORDS | words, dora=dora) for dora in (None, True)]

    def test_each_output_has_a_length_that_is_trained(self) -> None:
        plain, dora = self.pair()
        assert trained_parameters(dora) - trained_parameters(plain) == 32 * 4096
        assert trained_parameters(plan(lora_targets="all-linear", lora_rank=16, dora=True)) == 43_319_296  # PEFT 0.19
        held = [training_memory(one).gradients_bytes for one in (plain, dora)]
        assert held[1] - held[0] == 2 * 32 * 4096

    def test_it_keeps_two_outputs(self) -> None:
        kept = [training_memory(one).activations_bytes for one in self.pair(recompute="none")]
        assert kept[1] - kept[0] == 2 * 2 * 4096 * 32 * 4096

    def test_it_merges_one_matrix_at_a_time(self) -> None:
        """10 bytes a parameter and an identity of 4 bytes, where no logits stand."""
        plain, dora = (training_memory(one) for one in self.pair(seq_len=16))
        assert plain.workspace_bytes == 0
        assert dora.workspace_bytes == pytest.approx((10 + 4) * 4096**2 - dora.logits_bytes, rel=EXACT)

    def test_merging_takes_its_time_whatever_the_batch(self) -> None:
        """20 bytes a parameter are moved beside the products; all of it once a pass, however long the sequence."""
        short, long = (
            [training_time(one).step_seconds for one in self.pair(recompute="none", seq_len=tokens)]
            for tokens in (4096, 8192)
        )
        assert short[1] - short[0] > 32 * 20 * 4096**2 / plan().device.memory.bandwidth
        assert long[1] - long[0] < 2 * (short[1] - short[0])

    def test_what_merging_and_scaling_move(self) -> None:
        """A layer: 20 bytes for each of 4096 x 4096 parameters, once; five passes over 4096 outputs of 4096 tokens in
        16 bits, once forward and twice backward."""
        plain, dora = (training_time(one).elementwise_seconds for one in self.pair(recompute="none"))
        moved = 32 * (20 * 4096**2 + 3 * 5 * 2 * 4096 * 4096)
        assert dora - plain == pytest.approx(moved / stream_bandwidth(plan().device), rel=1e-9)

    def test_what_it_launches(self) -> None:
        """Forward: identity, two products, transposed, cast, scaled, added, lengths, quotient, three scalings, two
        sums."""
        plain, dora = (adapter_operations(one, one.model.layers[0]) for one in self.pair())
        assert (plain, dora - plain) == (5, 1 + 2 + 1 + 1 + 1 + 1 + 1 + 1 + 3 + 2)

    def test_experts_have_none(self) -> None:
        with pytest.raises(InputError, match="dora does not go with experts"):
            plan(model="mixtral-8x7b", hardware="h200", lora_targets="all-linear", dora=True)

    def test_it_goes_with_lora(self) -> None:
        with pytest.raises(InputError, match="dora goes with workload lora"):
            plan(workload="finetune", lora_targets=None, lora_rank=None, dora=True)


class TestUnpacking:
    def test_gptq_keeps_a_layer_in_16_bits(self) -> None:
        """AutoGPTQ's product keeps the widened matrices of the layer that is differentiated, and unpacks the largest
        (down_proj, 4096 x 14336) with 12 bytes a parameter; what stands for the logits is gone by then."""
        found = plan(quantized_base="int4", seq_len=128)
        memory = training_memory(found)
        layer = sum(one.parameters for one in found.model.layers[0].linears) + found.model.layers[0].extra_parameters
        assert memory.workspace_bytes == pytest.approx(2 * layer + 12 * 4096 * 14336 - memory.logits_bytes, rel=EXACT)

    def test_a_base_of_bitsandbytes_widens_one_matrix(self) -> None:
        memory = training_memory(plan(quantized_base="nf4", seq_len=16))
        assert memory.workspace_bytes == pytest.approx(2 * 4096 * 14336 - memory.logits_bytes, rel=EXACT)

    def test_nf4_without_double_quantization_has_a_32_bit_scale_for_64(self) -> None:
        once, twice = (plan(quantized_base="nf4", stack=stack).recipe for stack in ("hf-trainer", "axolotl"))
        assert (once.quantized_base_bytes, twice.quantized_base_bytes) == ({"nf4": 0.5 + 4 / 64}, {})


class TestGradients:
    @pytest.mark.parametrize(("precision", "gradient"), [("bf16", 4), ("fp16", 2)])
    def test_megatron_accumulates_those_of_bf16_in_fp32(self, precision: str, gradient: int) -> None:
        words = {"workload": "pretrain", "lora_targets": None, "lora_rank": None, "stack": "megatron-core", "zero": 1}
        memory = training_memory(plan(**words, precision=precision))
        assert memory.gradients_bytes / memory.weights_bytes == pytest.approx(gradient / 2, rel=EXACT)

    @pytest.mark.parametrize(("version", "master"), [("24.07", 2), ("24.09", 4)])
    def test_nemo_1_keeps_the_low_half_of_a_master_weight(self, version: str, master: int) -> None:
        words = {"workload": "pretrain", "lora_targets": None, "lora_rank": None, "stack": "nemo", "zero": 0}
        found = plan(**words, stack_version=version)
        assert training_memory(found).optimizer_states_bytes == (master + 8) * found.model.parameters


class TestPlannedBuffers:
    """XLA lays out the buffers of a step: logits are gone when gradients come."""

    WORDS = {
        "workload": "pretrain", "lora_targets": None, "lora_rank": None, "stack": "maxtext", "hardware": "tpu-v6e",
        "devices": 64, "tp": 1, "pp": 1, "dp": 64, "zero": 3, "seq_len": 8192, "micro_batch": 1,
    }  # fmt: skip

    def test_logits_stand_beside_no_gradient(self) -> None:
        memory = training_memory(plan(**self.WORDS | {"recompute": "none"}))
        logits = 4 * 8192 * 128256
        assert memory.logits_bytes == pytest.approx(logits - memory.gradients_bytes, rel=EXACT)

    def test_a_policy_keeps_what_fits(self) -> None:
        """Four sequences of 8192 tokens: far more than 32 GiB under the policy; what is over goes, and no more."""
        found = plan(**self.WORDS | {"recompute": "selective", "micro_batch": 4})
        assert training_memory(found).peak_bytes == pytest.approx(found.usable_bytes, rel=EXACT)
        roomy = plan(**self.WORDS | {"recompute": "selective", "hardware": "tpu-v5p", "seq_len": 1024})
        assert training_memory(roomy).peak_bytes < roomy.usable_bytes

    def test_a_layer_that_runs_stays(self) -> None:
        memory = training_memory(plan(**self.WORDS | {"recompute": "selective", "micro_batch": 16}))
        whole = training_memory(plan(**self.WORDS | {"recompute": "none", "micro_batch": 16}))
        # one of 32 layers, without what JAX hands on beside a fused kernel's: two of three of each of two norms, and
        # three vectors of the inner width for the two of gate and up
        handed = 2 * 16 * 8192 * (2 * 2 * 4096 + 3 * 14336)
        assert memory.activations_bytes == pytest.approx(whole.activations_bytes / 32 - handed, rel=0.02)


class TestRecomputationWhereTheDefaultDoesNotFit:
    WORDS = {
        "workload": "pretrain", "lora_targets": None, "lora_rank": None, "stack": "megatron-bridge",
        "hardware": "h100-sxm-80gb", "devices": 8, "tp": 2, "pp": 1, "seq_len": 8192, "global_batch": 64,
        "recompute": None,
    }  # fmt: skip

    def test_the_default_where_it_fits(self) -> None:
        assert plan(**self.WORDS, micro_batch=1).layout.recompute == "none"

    def test_the_fewest_eighths_of_the_layers_where_it_does_not(self) -> None:
        taken = plan(**self.WORDS, micro_batch=4)
        layers = taken.layout.recompute_layers
        assert taken.layout.recompute == "full"
        assert layers is not None
        assert layers % 4 == 0  # of 32
        less = plan(**self.WORDS | {"recompute": "full", "recompute_layers": layers - 4}, micro_batch=4)
        room = taken.usable_bytes
        assert training_memory(taken).peak_bytes <= room < training_memory(less).peak_bytes
        assert "recompute full: none, the stack's default, does not fit; the least that does" in taken.assumptions
        assert f"recompute_layers {layers}: of each virtual stage, the others keep theirs" in taken.assumptions

    def test_all_of_them_where_some_do_not_suffice(self) -> None:
        taken = plan(**self.WORDS, micro_batch=16)
        assert (taken.layout.recompute, taken.layout.recompute_layers) == ("full", None)
        assert any(one.endswith("does not fit; the most there is") for one in taken.assumptions)

    def test_what_was_said_stands(self) -> None:
        assert plan(**self.WORDS | {"recompute": "none"}, micro_batch=4).layout.recompute == "none"

    def test_an_open_layout_comes_to_it_where_nothing_else_fits(self) -> None:
        words = {"recompute": None, "hardware": "rtx-4090", "devices": 1, "micro_batch": None}
        assert plan(**words, seq_len=512).layout.recompute == "none"
        taken = plan(**words, seq_len=2048)
        assert taken.layout.recompute == "full"
        assert training_memory(taken).peak_bytes <= taken.usable_bytes

    @pytest.mark.parametrize(("zero", "same"), [(3, True), (0, False)])
    def test_litgpt_computes_again_where_it_shards(self, zero: int, same: bool) -> None:
        none, full = (
            plan(stack="litgpt", devices=2, zero=zero, recompute=again, quantized_base=None)
            for again in ("none", "full")
        )
        kept, again = (training_memory(one).activations_bytes for one in (none, full))
        assert (kept == again) is same
        assert (training_time(none).step_seconds == training_time(full).step_seconds) is same
        assert any("always does where it shards" in one for one in none.assumptions) is same


class TestLeadingDenseLayers:
    """DeepSeek V3: 3 dense layers before 58 of experts; with 4 stages of 16 layers at most the later ones hold none."""

    WORDS = {
        "workload": "pretrain", "lora_targets": None, "lora_rank": None, "stack": "megatron-core", "zero": 0,
        "hardware": "b200-sxm-180gb", "model": "deepseek-v3", "devices": 32, "tp": 1, "pp": 4, "ep": 8,
        "recompute": "full", "micro_batch": 1, "global_batch": 32,
    }  # fmt: skip

    def test_a_later_stage_holds_layers_of_experts_alone(self) -> None:
        found = plan(**self.WORDS)
        dense, routed = found.model.layers
        assert (dense.leading, dense.count, routed.leading, routed.count) == (True, 3, False, 58)
        banks = sum(one.parameters for one in routed.linears if one.routed)
        layer = routed.parameters - banks + banks / 8
        head = found.model.head_parameters + found.model.final_parameters
        last = 2 * (16 * layer + head)  # the first has a table as large, but 3 of its layers are small
        assert training_memory(found).weights_bytes == pytest.approx(last, rel=EXACT)

    def test_one_stage_holds_all(self) -> None:
        found = plan(**self.WORDS | {"pp": 1, "devices": 8})
        banks = sum(one.parameters for one in found.model.layers[1].linears if one.routed) * 58
        held = found.model.parameters - banks + banks / 8
        assert training_memory(found).weights_bytes == pytest.approx(2 * held, rel=EXACT)

    @pytest.mark.parametrize("model", ["llama-3.1-8b", "gemma-3-27b", "llama-4-maverick", "mixtral-8x7b", "t5-3b"])
    def test_others_have_none(self, model: str) -> None:
        assert not any(layer.leading for layer in plan(model=model, lora_targets=None).model.layers)


@pytest.mark.parametrize(("zero", "share"), [(1, 0.0), (2, 1.0), (3, 1.0)])
def test_litgpt_computes_again_where_gradients_are_sharded(zero: int, share: float) -> None:
    words = {"stack": "litgpt", "workload": "finetune", "lora_targets": None, "lora_rank": None}
    sharded = plan(**words, devices=8, zero=zero, recompute="none")
    assert recomputed_share(sharded) == share
