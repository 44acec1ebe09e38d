"""`from llmplan import ...`: what notebooks and services use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import llmplan
from llmplan import Answer, InputError, Interval, Plan, PlanOptions, ServingResult, TrainingResult, plan_from
from llmplan.serving.estimate import estimate_serving
from llmplan.training.estimate import estimate
from tests.cli.answers import holds

WORDS: dict[str, Any] = {"model": "llama-3.1-8b", "hardware": "h100", "devices": 8}


def test_every_public_name_is_there() -> None:
    assert all(getattr(llmplan, name) is not None for name in llmplan.__all__)
    assert set(llmplan.__all__) <= set(dir(llmplan))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        llmplan.nothing  # noqa: B018


def test_a_plan_and_its_answer() -> None:
    plan = plan_from(PlanOptions(**WORDS))
    assert isinstance(plan, Plan)
    answer = llmplan.estimate(plan)
    assert answer == llmplan.estimate(WORDS) == llmplan.estimate(PlanOptions(**WORDS))
    assert answer.fits
    assert isinstance(answer.result, TrainingResult)
    assert answer.result.memory.peak_bytes == estimate(plan).peak  # type: ignore[arg-type]
    assert repr(answer) == "<Answer: llama-3.1-8b on 8 x h100-sxm-80gb, pretrain: fits>"
    data = answer.to_data()
    holds("estimate", data)
    assert data["inputs"]["hardware"] == "h100-sxm-80gb"
    assert Interval(**data["result"]["time"]["step_seconds"]) == answer.result.time.step_seconds


def test_a_deployment_and_its_answer() -> None:
    answer = llmplan.estimate({**WORDS, "workload": "serve"})
    assert isinstance(answer.result, ServingResult)
    assert (answer.result.latency.ttft_seconds.p95 or 0) > answer.result.latency.ttft_seconds.value
    holds("estimate", answer.to_data())


def test_estimates_are_of_one_kind() -> None:
    with pytest.raises(InputError, match="estimate_serving"):
        estimate(plan_from({**WORDS, "workload": "serve"}))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="`estimate`"):
        estimate_serving(plan_from(WORDS))  # type: ignore[arg-type]


def test_files(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("model: llama-3.1-8b\nhardware: h100\ndevices: 8\n")
    (tmp_path / "two.json").write_text(json.dumps([WORDS, WORDS]))
    assert llmplan.estimate(tmp_path / "one.yaml") == llmplan.estimate(WORDS)
    with pytest.raises(InputError, match="holds 2 plans"):
        llmplan.estimate(str(tmp_path / "two.json"))


def test_a_search() -> None:
    found = llmplan.fit({**WORDS, "tp": "1..4", "workload": "pretrain", "global_batch": 32}, top=2)
    best = found.results[0]
    assert isinstance(best, Answer)
    assert llmplan.estimate(best.inputs).result == best.result
    holds("fit", llmplan.to_data(found))


def test_trainable_parameters() -> None:
    whole = llmplan.estimate(WORDS).result.model
    adapters = llmplan.estimate({**WORDS, "workload": "lora", "lora_rank": 16, "lora_targets": "q"}).result.model
    assert whole.trainable_parameters == whole.parameters
    assert adapters.trainable_parameters == 16 * (4096 + 4096) * 32  # rank x (inputs + outputs) x layers


def test_bad_input_is_one_exception_with_all_faults() -> None:
    with pytest.raises(InputError) as caught:
        plan_from({"model": "nothing-like-it", "hardware": "nor-this"})
    assert len(caught.value.faults) == 2
