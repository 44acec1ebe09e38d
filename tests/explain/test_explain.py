"""`llmplan explain`: made from the formulas and one evaluation, so that it cannot say another number or formula."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import pytest

import llmplan.formulas
from llmplan.answer.explain.expressions import expression
from llmplan.answer.explain.formula_text import formula_text
from llmplan.answer.explain.terms import SERVING_TERMS, TERMS, terms_named
from llmplan.answer.explain.trace import record
from llmplan.answer.explain.walk import Explanation, Step, explain
from llmplan.catalog.catalog import open_catalog
from llmplan.report.explain_answers import Explained
from llmplan.report.verdict import part_name
from llmplan.setup.codes import CODES
from llmplan.training.estimate import estimate_run
from llmplan.training.resolve import plan_from
from llmplan.training.step import StepTime
from llmplan.work.memory import Memory

Llmplan = Callable[..., Any]
FLAGS = "bool"
PLANS: dict[str, dict[str, Any]] = {
    "dense": {"model": "llama-3.1-70b", "hardware": "h100-sxm-80gb", "devices": 64, "tp": 4, "pp": 4, "vp": 5,
              "cp": 2, "seq_len": 8192, "global_batch": 64, "recompute": "full", "zero": 1, "tokens": 1e12,
              "stack": "megatron-core"},
    "experts": {"model": "mixtral-8x7b", "hardware": "h100-sxm-80gb", "devices": 64, "tp": 2, "pp": 1, "ep": 8,
                "zero": 3, "stack": "torchtitan", "recompute": "selective", "tokens": 1e12},
    "lora": {"model": "llama-3.1-8b", "hardware": "a100-sxm-80gb", "devices": 8, "workload": "lora", "steps": 1000},
}  # fmt: skip


def formulas() -> Iterator[Callable[..., Any]]:
    """Every public formula; `numeric` holds arithmetic, not physics."""
    for module in pkgutil.iter_modules(llmplan.formulas.__path__):
        if module.name != "numeric":
            found = importlib.import_module(f"llmplan.formulas.{module.name}")
            for name, function in vars(found).items():
                if inspect.isfunction(function) and function.__module__ == found.__name__ and not name.startswith("_"):
                    yield function


@pytest.mark.parametrize("function", list(formulas()), ids=lambda function: function.__name__)
def test_every_formula_says_what_explain_shows(function: Callable[..., Any]) -> None:
    """Its result and every argument have a unit, and there is an example."""
    text = formula_text(function)
    parameters = inspect.signature(function).parameters
    assert text.says
    assert text.unit
    assert ">>>" in (function.__doc__ or "")
    assert [one.name for one in text.arguments if not one.unit and parameters[one.name].annotation != FLAGS] == []


@pytest.fixture(scope="module", params=PLANS)
def explained(request: pytest.FixtureRequest) -> tuple[Any, dict[str, Explanation]]:
    plan = plan_from(PLANS[request.param])
    answer, found = explain(plan, open_catalog(), list(TERMS))
    return answer, {one.term: one for one in found}


def walk(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from walk(step.steps)


@pytest.fixture(scope="module")
def deployment() -> tuple[Any, dict[str, Explanation]]:
    words = {"model": "llama-3.1-70b", "hardware": "h100-sxm-80gb", "devices": 8, "workload": "serve", "stack": "vllm"}
    answer, found = explain(plan_from(words), open_catalog(), list(SERVING_TERMS))
    return answer, {one.term: one for one in found}


def test_a_deployment_is_explained_too(deployment: tuple[Any, dict[str, Explanation]]) -> None:
    answer, found = deployment
    assert set(found) == set(SERVING_TERMS)
    assert answer.memory.parts().keys() <= set(SERVING_TERMS)
    for name, one in found.items():
        assert one.value == float(SERVING_TERMS[name].value(answer))
        assert one.steps or one.numbers, name
    assert found["output_cost"].value in [step.result for step in found["output_cost"].steps]
    assert found["output_energy"].value in [step.result for step in found["output_energy"].steps]
    assert found["weights_bytes"].value in [step.result for step in found["weights_bytes"].steps]
    functions = {step.function for one in found.values() for step in walk(one.steps)}
    assert {"decode_attention_seconds", "matmul_seconds", "resident_sequences"} <= functions


def test_every_part_of_an_estimate_is_a_term() -> None:
    parts = {field.name for kind in (Memory, StepTime) for field in fields(kind)} - {"host_bytes"}
    assert parts <= set(TERMS)


def test_explaining_changes_nothing(explained: tuple[Any, dict[str, Explanation]]) -> None:
    answer, found = explained
    plain = estimate_run(answer.plan, open_catalog())
    assert (plain.memory, plain.time, plain.economics) == (answer.memory, answer.time, answer.economics)
    for name, one in found.items():
        assert one.value == float(TERMS[name].value(answer))


def test_every_term_that_is_something_is_explained(explained: tuple[Any, dict[str, Explanation]]) -> None:
    answer, found = explained
    for parts in (answer.memory.parts(), answer.time.parts()):
        for name, value in parts.items():
            assert (name in found) == (float(value) != 0)
    for name, one in found.items():
        assert one.steps or one.numbers, name
        assert one.expression or name not in {**answer.memory.parts(), **answer.time.parts()}, name


def test_formulas_give_the_shown_result_from_the_shown_inputs(explained: tuple[Any, dict[str, Explanation]]) -> None:
    """Called again by hand with what the explanation shows, each formula says the same number."""
    _, found = explained
    called = set()
    for one in found.values():
        for step in walk(one.steps):
            function = getattr(sys.modules[step.module], step.function, None)
            given = {item.name: item.value for item in step.inputs}
            if not step.module.startswith("llmplan.formulas.") or set(given) != set(
                inspect.signature(function).parameters
            ):  # type: ignore[arg-type]
                continue
            words = {name: {"true": True, "false": False}.get(str(value), value) for name, value in given.items()}
            assert float(function(**words)) == step.result  # type: ignore[misc]
            called.add(step.function)
    activations = {step.function for step in walk(found["activations_bytes"].steps)}
    assert "layer_activation_bytes" in activations
    assert {"matmul_seconds", "sharded_bytes", "layer_activation_bytes", "job_interval", "facility_energy"} <= called


def test_terms_are_made_of_their_steps(explained: tuple[Any, dict[str, Explanation]]) -> None:
    """Where the planner adds nothing of its own, the steps are the term."""
    _, found = explained
    for name, function in {
        "pipeline_bubble_seconds": "bubble_seconds", "data_parallel_seconds": "data_parallel",
        "carbon": "operational_carbon",
        "embodied_carbon": "embodied_carbon", "goodput": "goodput", "checkpoint_bytes": "checkpoint_bytes",
        "optimizer_seconds": "optimizer", "mfu": "model_flops_utilization", "logits_bytes": "logits_bytes",
    }.items():  # fmt: skip
        if name in found:
            assert found[name].value in [step.result for step in found[name].steps if step.function == function], name
    headline = [step.result for step in found["cost"].steps if step.function == "run_cost"]
    assert found["cost"].value in headline
    gradients = [step.result for step in found["gradients_bytes"].steps if step.function == "divided"]
    assert gradients == [found["gradients_bytes"].value]


def test_numbers_can_be_followed_to_the_catalogue(explained: tuple[Any, dict[str, Explanation]]) -> None:
    _, found = explained
    origins = {item.origin for one in found.values() for step in walk(one.steps) for item in step.inputs}
    assert {"layout.tp", "device.scale_up.domain", "energy.yaml.pue"} <= origins
    assert any(origin.startswith("device.efficiency.matmul") for origin in origins)
    assert any("()" in origin for origin in origins)  # results of earlier calls


def test_papers_are_named(explained: tuple[Any, dict[str, Explanation]]) -> None:
    _, found = explained
    said = " ".join(text for one in found.values() for step in walk(one.steps) for text in step.references)
    assert "Rajbhandari" in said
    assert "Korthikanti" in said


def test_expressions_are_those_of_the_code() -> None:
    assert expression("tensor_parallel_seconds").text == "stage.tensor * micro_batches"
    assert "fragmentation" in expression("overhead_bytes").text
    assert expression("no_such_part").text == ""


def test_expressions_give_the_figure_from_the_shown_values(explained: tuple[Any, dict[str, Explanation]]) -> None:
    """Worked out again with the values that are shown, an expression without calls is the term to the last digit."""
    _, found = explained
    worked_out = set()
    for name, one in found.items():
        if one.expression and "(" not in one.expression:
            shown = {path.replace(".", "_"): value for path, value in one.values.items()}
            text = re.sub(r"(?<=[a-z_])\.(?=[a-z_])", "_", one.expression)
            assert eval(text, {}, shown) == one.value, name
            worked_out.add(name)
    assert {"activations_bytes", "overhead_bytes", "matmul_seconds"} <= worked_out


def test_the_profiling_hook_is_put_back() -> None:
    before = sys.getprofile()
    record(lambda: None)
    assert sys.getprofile() is before

    def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        record(fail)
    assert sys.getprofile() is before


@pytest.mark.parametrize("word", ["activations", "activations_bytes", "Tensor-Parallel", "mfu", "optimizer"])
def test_terms_by_name(word: str) -> None:
    (name,) = terms_named(word, plan_from(PLANS["lora"]))
    assert name.startswith(word.lower().replace("-", "_"))


WORDS = ("explain", "--model", "small.yaml", "--hardware", "test-gpu", "--devices", "8")


def test_the_command_for_people(llmplan: Llmplan) -> None:
    run = llmplan(*WORDS, "--term", "activations")
    assert run.code == 0
    assert run.out.startswith("activations = ")
    assert "Korthikanti" in run.out
    assert "device test-gpu, checked 2026-01-01" in run.out


def test_the_command_for_programs(llmplan: Llmplan) -> None:
    run = llmplan(*WORDS, "--json")
    answer = json.loads(run.out)
    Explained.model_validate(answer)
    estimate = json.loads(llmplan("estimate", *WORDS[1:], "--json").out)["result"]
    parts = {**estimate["memory"]["parts"], **estimate["time"]["parts"]}
    assert {one["term"]: one["value"] for one in answer["terms"] if one["term"] in parts} == parts


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*WORDS, "--term", "activation"), "did you mean activations"),
        ((*WORDS, "--term", "cost"), "--tokens"),
        (("explain",), "nothing to explain"),
        (("explain", "LP99"), "unknown code 'LP99'"),
        (("explain", "--term", "cost"), "nothing to explain"),
    ],
)
def test_what_cannot_be_explained(llmplan: Llmplan, arguments: tuple[str, ...], said: str) -> None:
    run = llmplan(*arguments)
    assert run.code == 2
    assert said in run.err


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_its_paragraph(llmplan: Llmplan, code: str) -> None:
    run = llmplan("explain", code.lower())
    assert run.code == 0
    assert CODES[code].title in run.out
    assert CODES[code].doc in run.out
    assert code in llmplan("explain", "codes").out
    assert json.loads(llmplan("explain", code, "--json").out)[code]["doc"] == CODES[code].doc


def test_names_of_parts_are_those_of_the_table() -> None:
    assert part_name("tensor_parallel_seconds") == "tensor parallel"
