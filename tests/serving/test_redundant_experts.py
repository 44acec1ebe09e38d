"""Copies of experts: ep divides experts and copies together; what a device holds and reads of them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from llmplan import InputError, ServingPlan, plan_from
from llmplan.answer.rows import Row, row_plan
from llmplan.catalog.catalog import open_catalog
from llmplan.search.ask import Ask, Wishes
from llmplan.search.deployments import chunks
from llmplan.search.serving_request import serving_question
from llmplan.search.serving_space import DeploymentSpace
from llmplan.search.split import SplitSpace
from llmplan.serving.bounds import bounds
from llmplan.serving.estimate import estimate_serving
from llmplan.serving.iteration import replica
from llmplan.serving.weights import weight_parts
from llmplan.setup.request import request
from llmplan.work.products import first_bank, rank_rows

DEEPSEEK: dict[str, Any] = {
    "model": "deepseek-r1", "hardware": "gb200", "workload": "serve", "stack": "sglang", "tp": 1, "batch": 2048,
    "input_tokens": 1000, "output_tokens": 900,
}  # fmt: skip
WIDE = {"devices": 48, "dp": 48, "ep": 48}
EXPERT = 3 * 7168 * 2048
"""Parameters of one expert of DeepSeek R1, which has 256 in each of 58 layers, 8 a token."""
LAYERS, EXPERTS, ACTIVE = 58, 256, 8


def planned(**words: Any) -> ServingPlan:
    plan = plan_from({**DEEPSEEK, **words})
    assert isinstance(plan, ServingPlan)
    return plan


def routed_bytes(**words: Any) -> float:
    plan = planned(**words)
    return float(weight_parts(plan, plan.workload).routed_experts_bytes)


class TestByHand:
    @pytest.mark.parametrize(
        ("devices", "copies", "held"), [(48, 32, 6), (32, 0, 8), (32, 32, 9), (72, 32, 4), (320, 64, 1), (3, 2, 86)]
    )
    def test_a_device_holds_its_slots(self, devices: int, copies: int, held: int) -> None:
        found = routed_bytes(devices=devices, dp=devices, ep=devices, redundant_experts=copies)
        assert found == pytest.approx(LAYERS * held * EXPERT, rel=1e-12)  # one byte each: fp8

    def test_tensor_parallelism_cuts_copies_too(self) -> None:
        found = routed_bytes(devices=8, tp=8, dp=1, ep=4, redundant_experts=4)
        assert found == pytest.approx(LAYERS * 65 * EXPERT / 2, rel=1e-12)

    def test_the_layer_that_drafts_has_them_too(self) -> None:
        def drafts(**words: Any) -> float:
            plan = planned(speculation="mtp", **words)
            return float(weight_parts(plan, plan.workload).draft_bytes)

        whole, copied = drafts(devices=32, dp=32, ep=32), drafts(devices=32, dp=32, ep=32, redundant_experts=32)
        assert copied - whole == pytest.approx(EXPERT, rel=1e-12)

    @pytest.mark.parametrize(("copies", "slots"), [(32, 6), (320, 12)])
    def test_a_device_reads_its_slots_which_share_the_rows(self, copies: int, slots: int) -> None:
        """4096 tokens a device: a slot has 48 x 4096 x 8 / S rows, more or fewer by their root."""
        plan = planned(**WIDE, redundant_experts=copies)
        bank = first_bank(plan.model.layers[-1])
        assert bank is not None
        rows, groups = rank_rows(bank, 4096.0, plan.layout, 0.0)
        assert groups == pytest.approx(slots, rel=1e-9)
        a_slot = 48 * 4096 * ACTIVE / (EXPERTS + copies)
        most = 1 + math.sqrt(1 / a_slot / slots * 2 * math.log(48))
        assert rows == pytest.approx(4096 * ACTIVE * most, rel=1e-9)

    def test_the_least_time_reads_a_share_of_the_slots(self) -> None:
        """One token needs 8 experts of a layer, wherever their copies are: 8 / 48 of an expert a device."""
        plan = planned(**WIDE, redundant_experts=32)
        parts = weight_parts(plan, plan.workload)
        dense = parts.attention_bytes + parts.mlp_bytes + parts.shared_experts_bytes + parts.head_bytes
        routed = LAYERS * EXPERT * ACTIVE / 48
        found = bounds(plan, replica(plan)).tpot
        assert found == pytest.approx((dense + routed) / plan.device.memory.bandwidth, rel=1e-9)


class TestRules:
    def test_none_is_the_plan_without_the_option(self) -> None:
        plain, none = planned(devices=8, dp=8, ep=8), planned(devices=8, dp=8, ep=8, redundant_experts=0)
        assert plain.as_options() == none.as_options()
        one, other = estimate_serving(plain), estimate_serving(none)
        assert (one.memory, one.ttft, one.tpot, one.request) == (other.memory, other.ttft, other.tpot, other.request)

    def test_more_copies_take_more_and_more_devices_less(self) -> None:
        more = [routed_bytes(devices=16, dp=16, ep=16, redundant_experts=copies) for copies in range(0, 257, 16)]
        assert more == sorted(more)
        wider = [routed_bytes(devices=n, dp=n, ep=n, redundant_experts=32) for n in (2, 3, 6, 9, 32, 48, 288)]
        assert wider == sorted(wider, reverse=True)

    def test_a_plan_keeps_the_copies_of_both_pools(self) -> None:
        words = {"devices": 72, "prefill_devices": 24, "prefill_dp": 24, "prefill_ep": 24, "dp": 48, "ep": 48}
        plan = planned(**words, redundant_experts=32, prefill_redundant_experts=8)
        assert plan.prefill is not None
        assert (plan.layout.redundant_experts, plan.prefill.redundant_experts) == (32, 8)
        again = plan_from(plan.as_options())
        assert again.as_options() == plan.as_options()
        assert (again.layout, getattr(again, "prefill", None)) == (plan.layout, plan.prefill)

    @pytest.mark.parametrize(
        ("words", "fault"),
        [
            (WIDE, "ep 48 does not divide the 256 experts of deepseek-r1; redundant_experts 32 makes 288 slots, 6 a "
             "device"),
            ({**WIDE, "redundant_experts": 20}, "ep 48 does not divide the 256 experts and 20 redundant_experts of "
             "deepseek-r1; redundant_experts 32 makes 288 slots, 6 a device"),
            ({"devices": 2, "dp": 2, "redundant_experts": 8}, "redundant_experts 8 goes with ep above 1"),
            ({"devices": 2, "dp": 2, "ep": 2, "redundant_experts": 258}, "ep 2 devices hold each of 256 experts once"),
            ({"model": "llama-3.1-8b", "redundant_experts": 8}, "redundant_experts 8, but llama-3.1-8b has no experts"),
            ({"devices": 8, "dp": 8, "ep": 8, "prefill_redundant_experts": 8}, "goes with prefill_devices"),
            ({"devices": 11, "dp": 8, "ep": 8, "prefill_devices": 3, "prefill_dp": 3, "prefill_ep": 3},
             "prefill: ep 3 does not divide the 256 experts of deepseek-r1; prefill_redundant_experts 2 makes 258"),
            ({"workload": "pretrain", "redundant_experts": 8, "stack": None}, "goes with workload serve"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_is_one_fault_with_the_number_that_would_do(self, words: Any, fault: str) -> None:
        with pytest.raises(InputError) as caught:
            plan_from({name: value for name, value in {**DEEPSEEK, **words}.items() if value is not None})
        assert any(fault in str(one) for one in caught.value.faults)


class TestMeasured:
    CELLS = {
        "id": "a", "model": "deepseek-r1", "hardware": "gb200", "workload": "serve", "devices": "48", "tp": "1",
        "dp": "48", "ep": "48", "load": "closed", "batch": "64", "input_tokens": "100", "output_tokens": "100",
    }  # fmt: skip

    def test_a_run_that_does_not_say_them_has_the_fewest(self) -> None:
        plan = row_plan(Row(self.CELLS, 2), open_catalog(), "sglang")
        assert plan.layout.redundant_experts == 32
        assert "redundant_experts 32: it ran, and with no fewer ep 48 divides the experts" in plan.assumptions

    def test_a_run_that_says_them_has_those(self) -> None:
        plan = row_plan(Row(self.CELLS | {"redundant_experts": "80"}, 2), open_catalog(), "sglang")
        assert plan.layout.redundant_experts == 80


class TestSearch:
    @pytest.mark.parametrize("split", [False, True])
    def test_every_layout_has_them_and_is_the_one_that_estimate_gives(self, split: bool) -> None:
        words = {name: value for name, value in DEEPSEEK.items() if name not in ("tp", "batch", "model", "hardware")}
        wanted = words | {"model": "qwen3-30b-a3b", "hardware": "h100", "redundant_experts": 16, "load": "closed"}
        wanted |= {"prefill_redundant_experts": 4} if split else {}
        ask = Ask(request(wanted), {"batch": "64"}, Wishes(max_devices=12, try_split=split))
        question = serving_question(ask, open_catalog())[0]
        base, space = question.bases[0], SplitSpace if split else DeploymentSpace
        seen = set()
        for many in chunks(space(base, question.devices, question.most, question.choices)):
            for index in range(0, len(many.rows), 19 if split else 3):
                plan, layout = many.make(index)
                alone = estimate_serving(plan.with_layout(layout))
                assert (layout.redundant_experts, (128 + 16) % layout.ep) == (16, 0)
                assert layout.ep > 1
                if split:
                    assert plan.prefill is not None
                    assert (plan.prefill.redundant_experts, 132 % plan.prefill.ep) == (4, 0)
                else:
                    assert many.memory.needed_bytes[index] == pytest.approx(alone.memory.needed_bytes, rel=1e-12)
                assert alone.tpot is not None
                assert many.answer.tpot[index] == pytest.approx(alone.tpot.value, rel=1e-12)
                again = plan_from(alone.plan.as_options())
                assert isinstance(again, ServingPlan)
                assert estimate_serving(again).tpot == alone.tpot
                seen.add(layout.ep)
        assert {3, 9} & seen  # degrees that do not divide 128

    def test_a_model_without_experts_has_none(self) -> None:
        ask = Ask(request({"model": "llama-3.1-8b", "hardware": "h100", "workload": "serve", "redundant_experts": 8}),
                  {}, Wishes(max_devices=8))  # fmt: skip
        with pytest.raises(InputError, match="no experts"):
            serving_question(ask, open_catalog())
