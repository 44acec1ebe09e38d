"""`llmplan explain` of a deployment: each figure by the expression that made it, with all numbers that enter."""

from __future__ import annotations

import ast
import builtins
import math
import re
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from llmplan.answer.explain.definitions import definitions, element
from llmplan.answer.explain.steps import Step
from llmplan.answer.explain.terms import SERVING_TERMS
from llmplan.answer.explain.trace import PLANNER
from llmplan.answer.explain.walk import Explanation, explain
from llmplan.catalog.catalog import open_catalog
from llmplan.formulas import carbon, cost, energy, kv_cache, numeric, pipeline, queueing, states
from llmplan.report.explain import print_explanations
from llmplan.training.resolve import plan_from

Llmplan = Callable[..., Any]
WORDS = {"model": "llama-3.1-8b", "hardware": "h100-sxm-80gb", "devices": 1, "workload": "serve", "stack": "vllm",
         "input_tokens": 2048, "output_tokens": 512}  # fmt: skip
PLANS: dict[str, dict[str, Any]] = {
    "closed": {"load": "closed", "batch": 64},
    "queued": {"load": "closed", "batch": 400},
    "saturated": {"load": "saturated", "devices": 2, "tp": 2, "model": "mixtral-8x7b", "stack": "sglang"},
    "open": {"load": "open", "request_rate": 3, "devices": 2, "tp": 1},
    "overload": {"load": "open", "request_rate": 1000},
    "static": {"load": "static", "batch": 400},
    "stages": {"load": "closed", "batch": 8, "model": "deepseek-v3-671b", "devices": 16, "tp": 8, "pp": 2,
               "hardware": "h200-sxm-141gb", "stack": "tensorrt-llm"},
    "encoder": {"load": "closed", "batch": 32, "model": "bert-large-uncased", "output_tokens": 1},
}  # fmt: skip
LATENCIES = ("ttft_seconds", "tpot_seconds", "request_seconds", "requests_per_second", "output_tokens_per_second")
OF_OUTPUT = {"tpot_seconds", "decode_step_seconds", "output_tokens_per_second", "output_cost", "output_energy",
             "output_carbon"}  # fmt: skip
CATALOG = open_catalog()
Explained = tuple[str, Any, dict[str, Explanation]]


@pytest.fixture(scope="module", params=PLANS)
def explained(request: pytest.FixtureRequest) -> Explained:
    answer, found = explain(plan_from(WORDS | PLANS[request.param]), CATALOG, list(SERVING_TERMS))
    return request.param, answer, {one.term: one for one in found}


def walk(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from walk(step.steps)


def of(plan: str, term: str) -> Explanation:
    return explain(plan_from(WORDS | PLANS[plan]), CATALOG, [term])[1][0]


def named(one: Explanation, name: str) -> Step:
    return next(step for step in walk(one.steps) if step.function == name)


KNOWN = {name: value for module in (carbon, cost, energy, kv_cache, numeric, pipeline, queueing, states)
         for name, value in vars(module).items() if callable(value)}  # fmt: skip
STEPS = ("decode_step", "prefill_step", "step")


class Names(dict[str, Any]):
    """What is not shown is not a number."""

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            raise KeyError(name)
        return math.nan


def worked_out(text: str, shown: Mapping[str, Any], below: tuple[Step, ...]) -> float | None:
    """The value of an expression with the shown numbers; None where it runs over layers, or what it calls is above."""
    known = Names(KNOWN)
    for index, (name, value) in enumerate(sorted(shown.items(), key=lambda item: -len(item[0]))):
        if name.endswith("()"):
            known[name[:-2]] = lambda *_, result=value: result
        else:
            text = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.(\[])", f"v{index}", text)
            known[f"v{index}"] = value
    for step in below:
        if isinstance(step.result, dict):
            known[step.function] = lambda *_, result=step.result: SimpleNamespace(total=sum(result.values()))
        elif step.module.startswith(PLANNER):
            known.setdefault(step.function, lambda *_, result=step.result: result)
    nodes = list(ast.walk(ast.parse(text)))
    called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    elsewhere = {name for name in called if name not in known and not hasattr(builtins, name)}
    looped = any(isinstance(node, (ast.GeneratorExp, ast.Subscript)) for node in nodes)
    return None if elsewhere or looped else float(eval(text, {}, known))


def test_every_figure_is_its_expression_with_the_shown_numbers(explained: Explained) -> None:
    _, _, found = explained
    for name, one in found.items():
        below = one.steps[0].steps
        assert worked_out(one.expression, one.values, below) == one.value, (name, one.expression)


def test_so_is_every_variable_below(explained: Explained) -> None:
    plan, _, found = explained
    checked = set()
    for name, one in found.items():
        for step in walk(one.steps):
            if step.formula.startswith("= "):
                shown = {given.name: given.value for given in step.inputs}
                value = worked_out(step.formula[2:], shown, step.steps)
                if value is not None:
                    assert value == step.result, (name, step.function, step.formula)
                    checked.add(step.function)
    below = {"first", "once", "rest"} if plan == "static" else {"outside", "now.prefill"}
    assert below | {"share", "rate.value"} <= checked


def test_every_figure_that_is_something_is_told(explained: Explained) -> None:
    plan, answer, found = explained
    assert set(SERVING_TERMS) - set(found) == (OF_OUTPUT | {"kv_cache_bytes"} if plan == "encoder" else set())
    assert all(one.value == float(SERVING_TERMS[name].value(answer)) for name, one in found.items())


def test_nothing_of_a_training_is_told(explained: Explained) -> None:
    _, _, found = explained
    steps = [step for one in found.values() for step in walk(one.steps)]
    origins = {given.origin for step in steps for given in step.inputs}
    assert not [origin for origin in origins if origin.startswith(("workload", "stack.training", "stack.fitted"))]
    assert {step.module for step in steps if "training" in step.module} <= {"llmplan.work.states"}
    assert {"local_parameters", "first", "last", "split_parts"} >= {
        step.function for step in steps if "training" in step.module and step.function not in ("tied_copy", "bias")
    }


@pytest.mark.parametrize("load", ["closed", "queued", "saturated", "open", "overload", "static"])
def test_a_latency_is_told_in_a_page_that_leads_with_its_formula(load: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = explain(plan_from(WORDS | PLANS[load]), CATALOG, LATENCIES)
    assert len(found) == len(LATENCIES)
    for one in found:
        print_explanations([one], [])
        lines = capsys.readouterr().out.splitlines()
        assert lines[1] == f"  = {one.expression}"
        assert len(lines) < 125, one.term
        assert len([line for line in lines if "matmul_seconds" in line]) <= 5, one.term  # the parts of a step, no more


def test_formulas_stand_in_the_function_of_the_load() -> None:
    for load, function, names in (
        ("closed", "closed_loop", {"outside", "wait", "own", "now.decode", "request"}),
        ("open", "open_arrivals", {"residual", "own", "wait", "_outside()"}),
        ("static", "static_batch", {"first", "once", "last_first", "full", "last"}),
    ):
        one = of(load, "ttft_seconds")
        assert one.steps[0].function == function
        assert set(one.values) == names


def test_steps_have_terms_of_their_own() -> None:
    ttft, decode = of("closed", "ttft_seconds"), of("closed", "decode_step_seconds")
    step = named(ttft, "decode_step")
    assert step.formula == "the next level: --term decode_step_seconds"
    assert step.steps == ()
    assert sum(step.result.values()) == decode.value  # type: ignore[union-attr]
    assert sum(decode.values.values()) == decode.value
    assert {"matmul_seconds", "decode_attention_seconds"} <= {one.function for one in walk(decode.steps)}


def test_weights_are_the_shown_matrices() -> None:
    one = of("closed", "weights_bytes")
    model = plan_from(WORDS).model
    matrices = [step for step in walk(one.steps) if step.function == "local_parameters"]
    assert [step.inputs[0].value for step in matrices] == [linear.name for linear in model.layers[0].linears]
    held = sum(float(step.result) for step in matrices) * 2.0 + 2.0 * model.layers[0].extra_parameters  # type: ignore[arg-type]
    assert 32.0 * held == one.values["total"]
    shown = {given.name: given.value for given in named(one, "total").inputs}
    assert shown["model.layers.0.copies"] == 32.0
    assert shown["model.layers.0.extra_parameters"] == 8192.0


def test_the_room_of_the_cache_shows_the_share_of_memory() -> None:
    for words, share, origin in (({}, 0.9, "stack.serving.policy.memory_fraction"),
                                 ({"memory_fraction": 0.5}, 0.5, "serving.memory_fraction")):  # fmt: skip
        plan = plan_from(WORDS | PLANS["closed"] | words)
        (one,) = explain(plan, CATALOG, ["kv_cache_bytes"])[1]
        shown = {given.name: given for given in named(one, "room").inputs}
        assert (shown["fraction"].value, shown["fraction"].origin) == (share, origin)
        left = share * shown["usable"].value - shown["weights"].value  # type: ignore[operator]
        assert left - shown["activations"].value - shown["overhead"].value == one.value  # type: ignore[operator]


def test_a_number_is_from_where_it_was_read() -> None:
    shape = named(of("closed", "kv_cache_bytes"), "cache_shape")
    origins = {given.name: given.origin for given in shape.inputs}
    assert origins == {"element": "WEIGHT_BYTES[work.kv_precision]", "prompt": "serving.input_tokens"}
    product = named(of("closed", "decode_step_seconds"), "matmul_seconds")
    origins = {given.name: given.origin for given in product.inputs}
    assert origins["launch"] == "matmul_rate().launch"
    assert origins["bandwidth"] == "rate.bandwidth * at.numbers.memory_efficiency"


def test_a_million_tokens_take_their_share_of_the_price() -> None:
    read, written = of("closed", "input_cost"), of("closed", "output_cost")
    assert read.values["usd"] == written.values["usd"] > 0
    assert read.values["share"] + written.values["share"] == 1.0
    assert named(read, "share").formula == "= prefill / (prefill + decode)"
    assert (read.unit, written.unit) == ("USD per million input tokens", "USD per million output tokens")
    assert of("closed", "output_carbon").unit == "kg CO2e per million output tokens"


def test_a_share_is_not_called_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_explanations([of("closed", "input_cost")], [])
    said = capsys.readouterr().out
    assert re.search(r"usd_per_hour \S+ USD/h  <- usd \* share\n", said)


def test_sources_end_where_their_example_begins() -> None:
    sources = [text for step in walk(of("closed", "output_carbon").steps) for text in step.references]
    assert any("BLOOM" in text for text in sources)
    assert not [text for text in sources if text.endswith(":")]


SERVE = ("explain", "--devices", "1", "--workload", "serve", "--stack", "vllm", "--hardware")


@pytest.mark.parametrize("term", sorted(OF_OUTPUT))
def test_an_encoder_writes_nothing(llmplan: Llmplan, term: str) -> None:
    run = llmplan(*SERVE, "h100", "--model", "bert-large-uncased", "--term", term)
    assert run.code == 2
    assert f"{term} does not apply: bert-large-uncased is an encoder and writes no tokens" in run.err


def test_other_reasons_for_nothing(llmplan: Llmplan) -> None:
    run = llmplan(*SERVE, "h100", "--model", "llama-3.1-8b", "--output-tokens", "1", "--term", "tpot")
    assert (run.code, "answers of one token" in run.err) == (2, True)
    run = llmplan(*SERVE, "test-gpu", "--model", "small.yaml", "--term", "input_cost")
    assert (run.code, "--price" in run.err, "--tokens" in run.err) == (2, True, False)


SOURCE = """
def made(first, second, things, *, more=0.0):
    total = 0.0
    most: float = first
    seen = []
    for thing in things:
        twice = thing.size * 2.0
        total = total + twice
        most = maximum(most, thing.size)
        more = more / 2.0 + thing.size
    kept = second
    second = second + 1.0
    second *= kept
    left, right = pair(second), total
    if first > 1.0:
        right = right + left
    else:
        right = -1.0
    while left < right:
        left = left * 2.0
    return where(first > 1.0, right, 0.0) if first else things
"""


def test_variables_are_read_from_the_source() -> None:
    function = next(node for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.FunctionDef))
    known, returned = definitions(function, lambda test: ast.unparse(test) in ("first > 1.0", "first"))
    assert {name: ast.unparse(node) for name, node in known.items()} == {
        "total": "sum((thing.size * 2.0 for thing in things))",
        "most": "maximum(first, max((thing.size for thing in things)))",
        "more": "more", "twice": "twice", "seen": "[]", "left": "left",
        "kept": "given_second", "second": "(given_second + 1.0) * kept",
        "right": "total + pair(second)",
    }  # fmt: skip
    assert returned is not None
    assert ast.unparse(returned) == "right"


def test_a_return_out_of_a_loop_is_not_told() -> None:
    function = ast.parse("def found(many):\n    for one in many:\n        return one\n    return 0.0").body[0]
    assert isinstance(function, ast.FunctionDef)
    assert definitions(function, lambda test: True) == ({}, None)


@pytest.mark.parametrize(
    ("several", "one"),
    [("(a, b)", "b"), ("[f(x) for x in (a, b)]", "f(b)"), ("(f(x) for x in many)", "f(many[1])"), ("many", "many[1]")],
)
def test_one_of_several(several: str, one: str) -> None:
    assert ast.unparse(element(ast.parse(several, mode="eval").body, 1)) == one
