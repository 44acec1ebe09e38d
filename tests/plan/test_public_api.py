"""`from llmplan import ...`: what notebooks and services use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

import llmplan
from llmplan import Answer, InputError, Interval, Plan, ServingResult, TrainingPlan, TrainingResult, plan_from
from llmplan.serving.estimate import estimate_serving
from llmplan.training.estimate import estimate
from tests.cli.answers import holds

ROOT = Path(__file__).resolve().parents[2]
WORDS: dict[str, Any] = {"model": "llama-3.1-8b", "hardware": "h100", "devices": 8}


def test_every_public_name_is_there() -> None:
    assert all(getattr(llmplan, name) is not None for name in llmplan.__all__)
    assert set(llmplan.__all__) <= set(dir(llmplan))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        llmplan.nothing  # noqa: B018


def test_a_plan_and_its_answer() -> None:
    plan = plan_from(Plan(**WORDS))
    assert isinstance(plan, TrainingPlan)
    answer = llmplan.estimate(plan)
    assert answer == llmplan.estimate(WORDS) == llmplan.estimate(Plan(**WORDS))
    assert answer.fits
    assert isinstance(answer.result, TrainingResult)
    assert answer.result.memory.peak_bytes == estimate(plan).peak
    assert repr(answer).startswith("<Answer: llama-3.1-8b on 8 x h100-sxm-80gb, pretrain: fits (")
    assert "\n" not in repr(answer)
    data = answer.to_dict()
    holds("estimate", data)
    assert data["inputs"]["hardware"] == "h100-sxm-80gb"
    assert Interval(**data["result"]["time"]["step_seconds"]) == answer.result.time.step_seconds


def test_a_deployment_and_its_answer() -> None:
    answer = llmplan.estimate({**WORDS, "workload": "serve"})
    assert isinstance(answer.result, ServingResult)
    assert (answer.result.latency.ttft_seconds.p95 or 0) > answer.result.latency.ttft_seconds.value
    holds("estimate", answer.to_dict())


def test_estimates_are_of_one_kind() -> None:
    with pytest.raises(InputError, match="estimate_serving"):
        estimate(plan_from({**WORDS, "workload": "serve"}))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="`estimate`"):
        estimate_serving(plan_from(WORDS))  # type: ignore[arg-type]


def test_files(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("model: llama-3.1-8b\nhardware: h100\ndevices: 8\n")
    (tmp_path / "two.json").write_text(json.dumps([WORDS, WORDS]))
    assert llmplan.estimate(tmp_path / "one.yaml") == llmplan.estimate(WORDS)
    assert llmplan.estimate(Plan.read(tmp_path / "one.yaml").but(zero=3)) == llmplan.estimate({**WORDS, "zero": 3})
    with pytest.raises(InputError, match="holds 2 plans"):
        llmplan.estimate(str(tmp_path / "two.json"))


def test_a_search() -> None:
    found = llmplan.fit({**WORDS, "tp": "1..4", "workload": "pretrain", "global_batch": 32}, top=2)
    best = found.results[0]
    assert isinstance(best, Answer)
    assert llmplan.estimate(best.inputs).result == best.result
    holds("fit", found.to_dict())


def test_a_search_takes_back_the_inputs_of_an_answer() -> None:
    answer = llmplan.estimate({**WORDS, "workload": "serve"})
    (found,) = llmplan.fit(answer.inputs).results
    assert (found.inputs, found.result) == (answer.inputs, answer.result)


def test_trainable_parameters() -> None:
    whole = llmplan.estimate(WORDS).result.model
    adapters = llmplan.estimate({**WORDS, "workload": "lora", "lora_rank": 16, "lora_targets": "q"}).result.model
    assert whole.trainable_parameters == whole.parameters
    assert adapters.trainable_parameters == 16 * (4096 + 4096) * 32  # rank x (inputs + outputs) x layers


def test_bad_input_is_one_exception_with_all_faults() -> None:
    with pytest.raises(InputError) as caught:
        plan_from({"model": "nothing-like-it", "hardware": "nor-this"})
    assert len(caught.value.faults) == 2


def test_a_plan_names_what_is_wrong() -> None:
    assert repr(Plan(**WORDS)) == "Plan(model='llama-3.1-8b', hardware='h100', devices=8)"
    with pytest.raises(InputError, match=r"tp(.|\n)*unknown key 'hardwaer'; did you mean hardware"):
        Plan(model="llama-3.1-8b", hardwaer="h100", tp=-1)  # type: ignore[call-arg]


def test_a_plan_is_not_changed_and_stands_in_models_of_pydantic() -> None:
    plan = Plan(**WORDS)
    with pytest.raises(AttributeError, match=r"plan\.but\(tp="):
        plan.tp = 4  # type: ignore[misc]
    inside = TypeAdapter(list[Plan])
    assert inside.validate_python([plan, {**WORDS, "devices": "8"}]) == [plan, plan]
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        inside.validate_python([{"tp": 0}])


def test_a_search_of_a_file_and_its_lists(tmp_path: Path) -> None:
    words = {**WORDS, "tp": [1, 2], "workload": "pretrain", "global_batch": 32}
    (tmp_path / "one.json").write_text(json.dumps(words))
    by_file, by_words = llmplan.fit(tmp_path / "one.json", top=1), llmplan.fit(words, top=1)
    assert by_file.results == by_words.results == llmplan.fit({**words, "tp": "1,2"}, top=1).results
    assert not llmplan.fit(words, limits={"max_step": "1 ms"}).results
    with pytest.raises(InputError, match="max_steps"):
        llmplan.fit(words, limits={"max_steps": 1})


def test_a_comparison(tmp_path: Path) -> None:
    (tmp_path / "written.json").write_text(json.dumps(WORDS))
    found = llmplan.compare(tmp_path / "written.json", {**WORDS, "hardware": ["a100", "h100"]}, old=WORDS)
    assert [one.name for one in found.results] == ["written", "a100", "h100", "old"]
    ranked = llmplan.compare(Plan(**WORDS, tp=1), Plan(**WORDS, tp=8), by="throughput")
    assert [one.name for one in ranked.results] == ["tp 1", "tp 8"]
    assert repr(ranked) == "<Comparison: tp 1 > tp 8 by throughput>"
    holds("compare", ranked.to_dict())


def test_runs_of_ones_own(tmp_path: Path) -> None:
    runs = ROOT / "docs" / "examples" / "my-runs.csv"
    before = llmplan.validate(runs).summary.all["step_seconds"]
    made = llmplan.calibrate(runs, "my-cluster", folder=tmp_path)
    assert made.path == tmp_path / "stacks" / "my-cluster.yaml"
    catalog = llmplan.open_catalog([tmp_path])
    after = llmplan.validate(runs, stack="my-cluster", catalog=catalog).summary.all["step_seconds"]
    assert after.p90 < before.p90  # the fit weighs all of them, and medians of eight rows are of 1 % before and after
    assert made.to_dict()["runs"] == before.rows


def test_why() -> None:
    answer = llmplan.estimate(WORDS)
    why = answer.why("step_seconds", depth=1)
    step = answer.result.time.step_seconds.value  # type: ignore[union-attr]
    assert repr(why) == f"<Why: step_seconds = {step:.6g} s>"
    (term,) = why.to_dict()["terms"]
    assert term["value"] == step
    assert "matmul_seconds" in str(why)
    with pytest.raises(InputError, match="did you mean"):
        answer.why("step_secons")


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    serving = {**WORDS, "workload": "serve"}
    runs = ROOT / "docs" / "examples" / "runs.csv"
    return {
        "training": llmplan.estimate(WORDS), "serving": llmplan.estimate(serving),
        "fit": llmplan.fit(WORDS, top=2), "nothing": llmplan.fit({**WORDS, "model": "llama-3.1-405b"}),
        "compare": llmplan.compare({**WORDS, "hardware": "a100,h100"}, by="throughput"),
        "validate": llmplan.validate(runs), "why": llmplan.estimate(WORDS).why("weights"),
        "summary": next(iter(llmplan.estimate_many([WORDS], summary=True))),
    }  # fmt: skip


def test_answers_show_themselves(answers: dict[str, Any]) -> None:
    for name, one in answers.items():
        assert len(repr(one)) < 300, name
        assert one._repr_html_().startswith("<pre"), name
        assert json.loads(json.dumps(one.to_dict())), name
    assert "Memory of a device" in answers["training"].to_text()
    assert "no layout of llama-3.1-405b" in answers["nothing"].to_text()
    assert "repr" not in answers["validate"].to_text()


def test_pictures(answers: dict[str, Any]) -> None:
    memory, found = answers["training"].plot().axes[0], answers["training"].result.memory
    assert sum(bar.get_width() for bar in memory.patches) * 2**30 == pytest.approx(found.peak_bytes.value)
    assert memory.lines[0].get_xdata()[0] * 2**30 == pytest.approx(found.usable_bytes)
    time, step = answers["serving"].plot().axes[1], answers["serving"].result.time.decode_step_seconds
    assert sum(bar.get_width() for bar in time.patches) == pytest.approx(step)
    heights = answers["compare"].plot().axes[0].patches
    assert [bar.get_width() for bar in heights] == [
        one.result.throughput.tokens_per_second.value for one in answers["compare"].results
    ]
    assert len(answers["fit"].plot().axes) == 2
    assert len(answers["validate"].plot().axes) == len(answers["validate"].summary.all)
    for name in ("nothing", "summary"):
        with pytest.raises(InputError):
            answers[name].plot()


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, llmplan; print([n for n in sys.modules if n.startswith(('llmplan.', 'numpy', 'pydantic'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "['llmplan.version']"
