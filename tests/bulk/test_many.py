"""Many plans at once are the plans one by one, to the last digit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

import llmplan
from llmplan import InputError
from llmplan.answer.answer import estimated
from llmplan.answer.many import decided, estimates, opened
from llmplan.answer.resolve import plan_from
from llmplan.catalog.catalog import open_catalog
from llmplan.serving.many import as_arrays as as_array_plan
from llmplan.serving.many import estimate_many as many_deployments
from llmplan.serving.many import sharing
from llmplan.setup.request import request
from llmplan.training.many import FEW, as_arrays, estimate_many
from llmplan.training.plan import TrainingPlan

MODELS = ("llama-3.1-8b", "mixtral-8x22b-v0.1", "deepseek-v3-671b", "t5-11b", "bert-large", "nemotron-h-56b")
MORE: tuple[dict[str, Any], ...] = (
    {}, {"workload": "lora"}, {"workload": "lora", "optimizer": "paged-adamw"}, {"stack": "megatron-core"},
    {"precision": "fp8"}, {"workload": "finetune", "offload_parameters": True, "zero": 3}, {"tokens": 1e12},
)  # fmt: skip


OTHERS: tuple[dict[str, Any], ...] = tuple(
    {**words, "devices": 8, "seq_len": 512 * n, "global_batch": 64, "micro_batch": 2, "recompute": "full"}
    for n in range(1, 7)
    for words in (
        {"model": "bert-large-uncased", "hardware": "xeon-8480"}, {"model": "llama-3.1-8b", "hardware": "l4"},
        {"model": "llama-2-7b", "hardware": "tpu-v5p", "stack": "maxtext", "zero": 3},
    )
)  # fmt: skip
"""Devices without links of their own, and a torus."""


def trainings(count: int, seed: int = 5) -> Iterator[dict[str, Any]]:
    """Plans that share little, with every word that runs along the arrays."""
    draw = random.Random(seed)
    for _ in range(count):
        tp, pp, cp, dp = draw.choice([1, 2, 4, 8]), draw.choice([1, 2, 4]), draw.choice([1, 1, 2]), draw.choice([1, 4])
        micro = draw.choice([1, 2, 4])
        yield {
            "model": draw.choice(MODELS), "hardware": draw.choice(["h100", "a100-sxm-80gb"]),
            "devices": tp * pp * cp * dp, "tp": tp, "pp": pp, "cp": cp, "micro_batch": micro,
            "seq_len": draw.choice([512, 2048, 4096, 10000]), "global_batch": dp * micro * draw.choice([1, 7, 64]),
            "recompute": draw.choice(["none", "selective", "full"]), "zero": draw.choice([0, 1, 2, 3]),
            "sequence_parallel": draw.random() < 0.5, "offload_optimizer": draw.random() < 0.3, **draw.choice(MORE),
        }  # fmt: skip


def resolved(words: Iterator[dict[str, Any]]) -> list[Any]:
    found = []
    for one in words:
        try:
            found.append(plan_from(one))
        except InputError:
            continue
    return found


def test_arrays_give_what_one_plan_gives_to_the_last_digit() -> None:
    plans = resolved(trainings(600))
    assert len(plans) > 300
    assert estimate_many(plans) == [estimated(plan) for plan in plans]


def test_whole_answers_of_many_plans_are_those_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bottlenecks and elasticities too, which come from passes backwards through arrays."""
    plans = [*resolved(trainings(300, seed=6)), *resolved(iter(OTHERS))]
    assert len(plans) > 180
    shapes: list[int] = []
    monkeypatch.setattr("llmplan.answer.waits.as_arrays", lambda part: shapes.append(len(part)) or as_arrays(part))
    found = list(llmplan.estimate_many(plans))
    assert sum(shapes) > 140
    assert found == [llmplan.estimate(plan) for plan in plans]


@pytest.mark.parametrize("words", [
    {"global_batch": 64}, {"model": "mixtral-8x7b-v0.1", "tp": 4, "pp": 2, "global_batch": 64, "recompute": "full"},
    {"workload": "serve", "batch": 16}, {"workload": "serve", "tp": 4, "model": "mixtral-8x7b-v0.1", "load": "static"},
], ids=str)  # fmt: skip
def test_bottlenecks_on_many_devices_are_those_of_each(words: dict[str, Any]) -> None:
    """In one pass backwards, though each device has measured kernels, links and losses of its own."""
    devices = open_catalog().ids("devices")[::5]
    plans = resolved({"model": "llama-3.1-8b", "devices": 8, "hardware": one, **words} for one in devices)
    assert len(plans) > 25
    assert list(llmplan.estimate_many(plans)) == [llmplan.estimate(plan) for plan in plans]


def test_plans_do_go_through_as_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of several devices together."""
    plans = resolved({"model": "llama-3.1-8b", "hardware": device, "devices": 8, "seq_len": 512 * n}
                     for n in range(1, 7) for device in ("h100", "h200"))  # fmt: skip
    seen: list[int] = []
    monkeypatch.setattr("llmplan.training.many.as_arrays", lambda part: seen.append(len(part)) or as_arrays(part))
    estimate_many(plans)
    assert seen == [12]
    seen.clear()
    estimate_many(plans[: FEW - 1])
    assert seen == []


@pytest.mark.parametrize("words", [
    {}, {"recompute": "selective", "zero": 3, "micro_batch": 2, "flash_attention": False}, {"stack": "megatron-core"},
    {"workload": "serve"}, {"workload": "serve", "stack": "vllm", "batch": 32}, {"workload": "serve", "stack": "sglang",
    "load": "static", "batch": 8}, {"workload": "serve", "stack": "tensorrt-llm", "load": "saturated"},
], ids=str)  # fmt: skip
def test_models_that_differ_in_sizes_alone_go_through_together(
    words: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dense ones, some experts of several, and layers that keep all or a window of their tokens."""
    models = ("llama-2-7b", "llama-2-13b", "llama-3.1-8b", "mixtral-8x7b-v0.1", "mixtral-8x22b-v0.1", "gemma-2-9b",
              "gemma-2-27b", "t5-11b", "nemotron-h-56b")  # fmt: skip
    length = "input_tokens" if "workload" in words else "seq_len"
    plans = resolved({"hardware": "h200", "devices": 8, "tp": tp, length: tokens, "model": model, **words}
                     for model in models for tp in (2, 4) for tokens in (512, 777, 2048))  # fmt: skip
    together: list[set[str]] = []

    def seen(whole: Any) -> Any:
        return lambda part: together.append({plan.model.name for plan in part}) or whole(part)

    monkeypatch.setattr("llmplan.training.many.as_arrays", seen(as_arrays))
    monkeypatch.setattr("llmplan.serving.many.as_arrays", seen(as_array_plan))
    assert estimates(plans) == [estimated(plan) for plan in plans]
    assert [len(names) for names in together if len(names) > 1] in ([2, 2], [3, 2], [2, 2, 2], [3, 2, 2])


def test_both_kinds_keep_their_order() -> None:
    serving = {"model": "llama-3.1-8b", "hardware": "h100", "devices": 8, "workload": "serve"}
    training = {"model": "llama-3.1-8b", "hardware": "h100", "devices": 8}
    plans = [plan_from({**(serving if n % 3 else training), "tp": 2**n}) for n in range(4)]
    refused = InputError("no plan")
    assert estimates([*plans[:2], refused, *plans[2:]]) == [
        *map(estimated, plans[:2]), refused, *map(estimated, plans[2:])
    ]  # fmt: skip


def test_plans_that_are_taken_for_the_same_machine_share_it() -> None:
    """Whatever words it was asked for in, as long as its numbers are the same."""
    words = {"model": "llama-3.1-8b", "hardware": "h100", "devices": 8, "stack": "megatron-core"}
    usual, said = plan_from(words), plan_from({**words, "devices_per_node": 8})
    other, again = (plan_from({**words, "devices_per_node": 4, "tp": tp, "stack_version": f"{tp}.x"}) for tp in (1, 2))
    assert said.cluster is usual.cluster is not other.cluster is again.cluster
    assert other.coefficients is again.coefficients is usual.coefficients


def test_subjects_are_read_once_and_their_assumptions_are_told_every_time() -> None:
    words = {"model": "llama-3.1-8b", "hardware": "h100", "devices": 8}
    first, second = plan_from(words), plan_from({**words, "seq_len": 1024})
    assert isinstance(first, TrainingPlan)
    assert first.model is second.model
    assert first.device is second.device
    told = [[text for text in plan.assumptions if text.startswith(("cluster ", "stack "))] for plan in (first, second)]
    assert len(told[0]) == 2
    assert told[0] == told[1]


def test_the_api_answers_every_plan_in_its_place() -> None:
    good = {"model": "llama-3.1-8b", "hardware": "h100", "devices": 8}
    plans: list[Any] = [good, {**good, "devices": 0}, {**good, "tp": 3}, plan_from(good), {**good, "workload": "serve"}]
    found = list(llmplan.estimate_many(plans))
    assert [type(one).__name__ for one in found] == ["Answer", "InputError", "InputError", "Answer", "Answer"]
    assert found[0] == found[3] == llmplan.estimate(good)
    assert found[4] == llmplan.estimate({**good, "workload": "serve"})
    assert "does not divide devices 8" in str(found[2])


def test_a_summary_says_what_the_answer_says() -> None:
    train = {"model": "llama-3.1-70b", "hardware": "h100", "devices": 64, "tokens": 1e12, "limits": {"max_days": 10}}
    serve = {"model": "llama-3.1-8b", "hardware": "h100", "devices": 8, "workload": "serve", "max_ttft": 1e-3,
             "limits": {"max_cost_per_million": 1e-3}}  # fmt: skip
    (a, c), (b, d) = (
        list(llmplan.estimate_many([train, serve], summary=short)) for short in (False, True)
    )  # fmt: skip
    assert isinstance(a, llmplan.Answer)
    assert isinstance(c, llmplan.Answer)
    assert isinstance(b, llmplan.PlanSummary)
    assert isinstance(d, llmplan.PlanSummary)
    assert isinstance(a.result, llmplan.TrainingResult)
    assert isinstance(c.result, llmplan.ServingResult)
    assert (b.peak_bytes, b.step_seconds, b.mfu, b.verdict, b.limits) == (
        a.result.memory.peak_bytes, a.result.time.step_seconds, a.result.mfu, a.result.verdict, a.result.limits,
    )  # fmt: skip
    assert a.result.cost is not None
    assert b.usd == a.result.cost.usd
    assert b.is_yes is a.is_yes is False
    assert d.ttft_seconds is not None
    assert d.ttft_seconds.value == c.result.latency.ttft_seconds.value
    assert (d.tpot_seconds, d.missed, d.limits) == (
        c.result.latency.tpot_seconds, c.result.load.missed, c.result.limits,
    )  # fmt: skip
    assert d.limits is not None
    assert d.usd_per_million is not None
    assert d.usd_per_million.value == pytest.approx(d.limits["max_cost_per_million"].value)
    assert d.is_yes is c.is_yes is False


def test_columns_are_a_table() -> None:
    good = {"model": "llama-3.1-8b", "hardware": "h100", "devices": 8}
    plans = [good, {**good, "tp": 3}, {**good, "workload": "serve"}]
    columns = llmplan.to_columns(llmplan.estimate_many(plans, summary=True))
    assert {len(column) for column in columns.values()} == {3}
    result = llmplan.estimate(good).result
    assert isinstance(result, llmplan.TrainingResult)
    assert columns["step_seconds.value"] == [result.time.step_seconds.value, None, None]
    assert columns["workload"] == ["pretrain", None, "serve"]
    assert [bool(error) for error in columns["error"]] == [False, True, False]


def test_open_layouts_are_chosen_as_one_by_one() -> None:
    """Layouts of many requests are worked out together; a request alone works out those that it asks for."""
    words = [
        {"model": model, "hardware": hardware, "devices": devices, "seq_len": 4096, **more}
        for model in ("llama-3.1-8b", "mixtral-8x22b-v0.1")
        for hardware, devices in (("h100", 8), ("h100", 64), ("a100-sxm-80gb", 512))
        for more in ({}, {"global_batch": 512}, {"tp": 8, "pp": 1, "workload": "lora"}, {"tp": 4, "pp": 2})
    ]
    found = list(llmplan.estimate_many(words, summary=True))
    alone = [next(llmplan.estimate_many([one], summary=True)) for one in map(plan_from, words)]
    assert found == alone


def deployments(count: int, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Deployments on several devices by several engines, with every word that runs along the arrays."""
    draw = random.Random(seed)
    more: tuple[dict[str, Any], ...] = (
        *({"batch": batch} for batch in (1, 8, 8, 32, 100, 100)), {"load": "static", "batch": 64},
        {"load": "saturated"}, {"load": "open", "request_rate": 2.5}, {"output_tokens": 1}, {"weight_precision": "fp8"},
        {"length_spread": "constant"}, {"lora_adapters": 4, "lora_rank": 16}, {"prefix_hit": 0.5},
        {"max_num_batched_tokens": 777},
    )  # fmt: skip
    for _ in range(count):
        stack, version = draw.choice((*(("vllm", "0.11"),) * 4, ("vllm", "0.5"), ("sglang", "0.5")))
        yield {
            "model": draw.choice(("llama-3.1-8b", "mixtral-8x22b-v0.1", "gemma-2-27b")), "workload": "serve",
            "hardware": draw.choice(("h100", "a100-sxm-80gb", "mi300x", "l40s")), "devices": 8,
            "tp": draw.choice((2, 4, 8)), "input_tokens": draw.choice((128, 1000, 9000)),
            "stack": stack, "stack_version": version, "output_tokens": draw.choice((32, 300)), **draw.choice(more),
        }  # fmt: skip


def test_deployments_in_arrays_are_what_one_is_to_the_last_digit() -> None:
    """Across devices, versions of engines, degrees and lengths, and whatever goes alone."""
    plans = resolved(deployments(400))
    assert sum(found is not None for found in many_deployments(plans)) > 150
    several = [as_array_plan([plans[place] for place in places]) for places in sharing(plans) if len(places) > 9]
    assert any(plan.machines and len(plan.machines.plans) > 1 for plan in several)
    assert estimates(plans) == [estimated(plan) for plan in plans]


def test_whole_answers_of_deployments_are_those_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bottlenecks from passes backwards through arrays of plans on one device."""
    words: dict[str, Any] = {"workload": "serve", "hardware": "h100", "devices": 8, "batch": 32}
    loads: tuple[dict[str, Any], ...] = ({}, {"load": "static"}, {"output_tokens": 1})
    plans = [
        plan_from({**words, "model": model, "tp": tp, "input_tokens": tokens, **load})
        for model in ("llama-3.1-8b", "mixtral-8x22b-v0.1") for tp in (4, 8) for tokens in (200, 3000) for load in loads
    ]  # fmt: skip
    shapes: list[int] = []
    monkeypatch.setattr(
        "llmplan.answer.serving_waits.as_arrays", lambda part: shapes.append(len(part)) or as_array_plan(part)
    )
    found = list(llmplan.estimate_many(plans))
    assert sum(shapes) == 2 * len(plans)  # as they are, and with more memory
    assert found == [llmplan.estimate(plan) for plan in plans]


def test_what_trainings_share_is_none_of_their_own_words() -> None:
    """A plan is the same whatever was resolved before it."""
    catalog = open_catalog()
    words: dict[str, Any] = {"hardware": "h100", "devices": 16}
    ways: tuple[dict[str, Any], ...] = (
        {}, {"seq_len": 1024}, {"seq_len": 512, "tp": 2}, {"global_batch": 96}, {"recompute": "full", "zero": 1},
        {"target_len": 128}, {"global_batch": 64, "micro_batch": 2}, {"seq_len": 1 << 20}, {"precision": "fp8"},
    )  # fmt: skip
    asked = [{**words, "model": model, **way} for model in ("llama-2-7b", "t5-11b") for way in ways]
    together = [_or_fault(one) for one in asked + asked[::-1]]
    alone = []
    for one in asked:
        catalog.once("trainings", dict).clear()
        alone.append(_or_fault(one))
    assert together == alone + alone[::-1]


def test_what_deployments_share_is_none_of_their_own_words() -> None:
    catalog = open_catalog()
    words: dict[str, Any] = {"workload": "serve", "hardware": "h100", "devices": 8, "model": "llama-2-7b"}
    ways: tuple[dict[str, Any], ...] = (
        {}, {"input_tokens": 9000}, {"input_tokens": 100, "output_tokens": 1}, {"input_tokens": "1k"}, {"batch": 3},
        {"batch": 9, "request_rate": 1}, {"request_rate": 2.0}, {"request_rate": 4.0, "output_tokens": 9}, {"batch": 7},
        {"input_tokens": 300, "load": "saturated"}, {"input_tokens": 70, "load": "saturated"}, {"tp": 3},
        {"stack": "vllm", "stack_version": "0.4.0"}, {"stack": "vllm", "stack_version": "0.4.0", "input_tokens": 9},
        {"batch": 5, "stack": "vllm"}, {"batch": 6, "stack": "vllm"}, {"turns": 3, "input_tokens": 2000}, {"turns": 3},
        {"model": "bert-large-uncased", "input_tokens": 100}, {"model": "bert-large-uncased", "input_tokens": 200},
    )  # fmt: skip
    asked = [{**words, **way} for way in ways]
    together = [_or_fault(one) for one in asked + asked[::-1]]
    alone = []
    for one in asked:
        catalog.once("deployments", dict).clear()
        alone.append(_or_fault(one))
    assert together == alone + alone[::-1]


def _or_fault(words: dict[str, Any]) -> object:
    try:
        return plan_from(words)
    except InputError as error:
        return str(error)


def test_layers_computed_again_are_halved_for_many_as_for_one() -> None:
    """Where the least that fits is looked for, and beyond a stack's own recomputation, on several devices."""
    asked = [
        {"model": "llama-2-13b", "hardware": device, "devices": 16, "tp": 4, "pp": 2, "stack": stack,
         "seq_len": 4096 * n, "global_batch": 32}
        for device in ("h100", "a100-sxm-40gb") for stack in ("generic", "megatron-lm") for n in (1, 2, 3, 4, 6)
    ]  # fmt: skip
    together = list(decided(opened(request(words), open_catalog()) for words in asked))
    assert together == [plan_from(words) for words in asked]
    assert len({plan.layout.recompute_layers for plan in together}) > 3  # type: ignore[union-attr]
    assert any("does not fit" in sentence for plan in together for sentence in plan.assumptions)  # type: ignore[union-attr]
