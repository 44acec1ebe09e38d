"""Preferences and rewards: pairs, frozen models, a critic and an engine beside the training, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan import estimate, plan_from
from llmplan.answer.resolve import AnyPlan
from llmplan.errors import InputError
from llmplan.training.flops import model_flops, training_flops
from llmplan.training.flow import step_tokens
from llmplan.training.memory import training_memory
from llmplan.training.states import trained_parameters
from llmplan.training.step import training_time

EXACT = 1e-12
WORDS = {
    "model": "llama-3.1-8b", "hardware": "h100", "devices": 8, "tp": 1, "pp": 1, "zero": 3, "workload": "finetune",
    "stack": "deepspeed", "seq_len": 2048, "micro_batch": 1, "global_batch": 8, "recompute": "full", "packing": True,
}  # fmt: skip
PARAMETERS = 8_030_261_248


def plan(**words: Any) -> AnyPlan:
    return plan_from(WORDS | words)


class TestPairs:
    def test_two_sequences_an_example(self) -> None:
        one, two = plan(), plan(method="dpo")
        assert step_tokens(two) == 2 * step_tokens(one) == 2 * 8 * 2048
        assert model_flops(two) == pytest.approx(2 * model_flops(one), rel=EXACT)
        first, second = training_memory(one), training_memory(two)
        assert second.logits_bytes == pytest.approx(2 * first.logits_bytes, rel=EXACT)
        assert second.activations_bytes == pytest.approx(2 * first.activations_bytes, rel=EXACT)

    def test_the_reference_takes_two_bytes_a_parameter_sharded(self) -> None:
        with_it, without = (training_memory(plan(method="dpo", reference=told)) for told in (True, False))
        assert with_it.weights_bytes - without.weights_bytes == pytest.approx(2 * PARAMETERS / 8, rel=EXACT)
        assert with_it.gradients_bytes == without.gradients_bytes
        assert with_it.optimizer_states_bytes == without.optimizer_states_bytes

    def test_under_lora_it_is_the_base_itself_and_takes_time_alone(self) -> None:
        words = {"workload": "lora", "method": "dpo", "zero": 0}
        with_it, without = plan(**words), plan(**words, reference=False)
        assert training_memory(with_it).weights_bytes == training_memory(without).weights_bytes
        assert training_time(without).scoring_seconds == 0
        assert training_time(with_it).scoring_seconds > 0

    def test_a_pass_of_the_reference_is_a_third_of_the_work_of_training(self) -> None:
        found = plan(method="dpo")
        assert training_flops(found) == pytest.approx(4 * model_flops(found), rel=EXACT)
        time = training_time(found)
        trained = time.matmul_seconds + time.attention_seconds
        assert time.scoring_seconds == pytest.approx(trained / 3, rel=0.25)  # with what is elementwise, forward


class TestReward:
    def test_one_output_and_no_logits(self) -> None:
        found = plan(method="reward")
        memory = training_memory(found)
        assert memory.logits_bytes == 0
        assert found.model.parameters == PARAMETERS - 128256 * 4096 + 4096
        assert memory.weights_bytes == pytest.approx(2 * found.model.parameters / 8, rel=EXACT)
        assert step_tokens(found) == 2 * 8 * 2048
        assert plan_from(found.as_options()).model.parameters == found.model.parameters


class TestPpo:
    def test_a_critic_is_a_second_trained_model(self) -> None:
        one, found = training_memory(plan()), training_memory(plan(method="ppo", generation="apart"))
        assert found.optimizer_states_bytes == 2 * one.optimizer_states_bytes
        assert found.gradients_bytes == 2 * one.gradients_bytes
        assert found.activations_bytes == 2 * one.activations_bytes
        # two that are trained, the reference and the reward model
        assert found.weights_bytes == pytest.approx(4 * one.weights_bytes, rel=EXACT)
        assert trained_parameters(plan(method="ppo")) == 2 * PARAMETERS

    def test_work(self) -> None:
        """Forward and backward of two models, and forward passes of policy, values, rewards and reference."""
        found = plan(method="ppo")
        assert training_flops(found) == pytest.approx((2 * 3 + 4) * model_flops(found), rel=EXACT)
        one = training_time(plan())
        assert training_time(found).optimizer_seconds == pytest.approx(2 * one.optimizer_seconds, rel=EXACT)

    def test_with_adapters_the_critic_is_a_head(self) -> None:
        one = training_memory(plan(workload="lora", zero=0))
        found = training_memory(plan(workload="lora", zero=0, method="ppo", generation="apart"))
        assert found.optimizer_states_bytes == one.optimizer_states_bytes
        assert found.weights_bytes - one.weights_bytes == pytest.approx(2 * PARAMETERS, rel=EXACT)  # the reward model


class TestGeneration:
    def test_a_share_of_the_device(self) -> None:
        memory = training_memory(plan(method="grpo"))
        assert memory.generation_bytes == pytest.approx(0.3 * 80 * 2**30, rel=EXACT)
        rest = training_memory(plan(method="grpo", generation="apart"))
        assert rest.generation_bytes == 0
        assert memory.peak_bytes - rest.peak_bytes == pytest.approx(memory.generation_bytes, rel=EXACT)
        assert rest.peak_bytes == training_memory(plan()).peak_bytes

    def test_its_weights_where_they_are_more(self) -> None:
        words = {"method": "grpo", "generation_fraction": 0.1}
        assert training_memory(plan(**words)).generation_bytes == 2 * PARAMETERS
        assert training_memory(plan(**words, generation_tp=2)).generation_bytes == pytest.approx(0.1 * 80 * 2**30)

    def test_it_is_in_the_answer_and_told(self) -> None:
        found = estimate(WORDS | {"method": "grpo"})
        assert found.result.memory.parts["generation_bytes"] == pytest.approx(0.3 * 80 * 2**30)
        assert any("its time is not counted" in one for one in found.assumptions)
        assert plan_from(found.inputs).workload == plan(method="grpo").workload


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"method": "dpo", "workload": "pretrain"}, "method dpo goes with workload finetune or lora"),
        ({"reference": True}, "reference goes with method dpo, grpo or ppo"),
        ({"method": "dpo", "generation": "apart"}, "generation goes with method grpo or ppo"),
        ({"method": "grpo", "generation": "apart", "generation_tp": 2}, "go with generation colocated"),
        ({"method": "dop"}, "method"),
    ],
)
def test_faults(words: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        plan(**words)
    assert message in str(caught.value)


def test_sft_is_what_it_was() -> None:
    plain, said = plan(), plan(method="sft")
    assert plain.workload == said.workload
    assert "method" not in plain.as_options()
    assert training_time(plain).scoring_seconds == 0
    assert training_memory(plain).generation_bytes == 0
