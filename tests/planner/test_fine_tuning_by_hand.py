"""What fine-tuning frameworks hold beside states and activations, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan import plan_from
from llmplan.answer.resolve import AnyPlan
from llmplan.training.memory import training_memory

EXACT = 1e-12
WORDS = {
    "model": "llama-3.1-8b", "hardware": "a100-sxm-80gb", "workload": "lora", "stack": "hf-trainer", "seq_len": 4096,
    "micro_batch": 1, "recompute": "full", "lora_targets": "q_proj,v_proj", "lora_rank": 8,
}  # fmt: skip
VARIED, RETURNED, WASTE = 0.9, 0.5, 0.02  # of the stack


def plan(**words: Any) -> AnyPlan:
    return plan_from(WORDS | words)


def passing(memory: Any) -> float:
    return float(memory.activations_bytes + memory.logits_bytes + memory.gathered_bytes)


class TestSamplesOfManyLengths:
    def test_they_are_the_default_of_the_trainer(self) -> None:
        assert any(one.startswith("packing false") for one in plan().assumptions)
        assert training_memory(plan()).peak_bytes == training_memory(plan(packing=False)).peak_bytes

    def test_what_a_micro_batch_takes_is_held_nearly_twice(self) -> None:
        packed, varied = training_memory(plan(packing=True)), training_memory(plan())
        assert packed.overhead_bytes == pytest.approx(WASTE * packed.allocated_bytes, rel=EXACT)
        assert varied.peak_bytes - packed.peak_bytes == pytest.approx(VARIED * passing(packed), rel=EXACT)

    def test_empty_blocks_are_given_back_where_the_device_is_full(self) -> None:
        full = plan(seq_len=32768)
        packed, varied = training_memory(plan(seq_len=32768, packing=True)), training_memory(full)
        least = packed.peak_bytes + VARIED * (1 - RETURNED) * passing(packed)
        assert least > full.usable_bytes  # so only what cannot be given back is added
        assert varied.peak_bytes == pytest.approx(least, rel=EXACT)
        between = plan(seq_len=16384)
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
        nf4, int4 = (training_memory(plan(quantized_base=base)).weights_bytes for base in ("nf4", "int4"))
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
