"""`llmplan explain`: the calculation itself, followed from each figure to where its numbers were read."""

from __future__ import annotations

import importlib
import json
import math
import operator
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmplan.answer.data import to_data
from llmplan.answer.explain import explain
from llmplan.answer.explanation import Explanation, explanation
from llmplan.answer.formula_text import formula_text
from llmplan.answer.recording import recorded
from llmplan.answer.resolve import plan_from
from llmplan.answer.terms import Figures, terms_named, terms_of
from llmplan.catalog.catalog import open_catalog
from llmplan.catalog.entries import read_entry
from llmplan.formulas import numeric
from llmplan.records import defaults, names
from llmplan.serving.resolve import POLICY_OPTIONS
from llmplan.setup.codes import CODES
from llmplan.training.memory import Memory
from llmplan.training.step import StepTime
from llmplan.units import UNITS, parse_quantity
from tests.cli.answers import holds

Llmplan = Callable[..., Any]
ROOT = Path(__file__).parents[2]
CATALOG = open_catalog()
SERVE: dict[str, Any] = {"workload": "serve", "hardware": "h100-sxm-80gb", "devices": 8, "stack": "vllm",
                         "input_tokens": 2048, "output_tokens": 512}  # fmt: skip
PLANS: dict[str, dict[str, Any]] = {
    "of the docs": yaml.safe_load((ROOT / "docs/examples/plan.yaml").read_text(encoding="utf-8")),
    "pipeline": {"model": "llama-3.1-70b", "hardware": "a100-sxm-40gb", "devices": 64, "tp": 4, "pp": 8, "vp": 2,
                 "cp": 2, "seq_len": 8192, "global_batch": 64, "recompute": "full", "tokens": 1e12},
    "experts": {"model": "mixtral-8x7b", "hardware": "h100-nvl-94gb", "devices": 64, "tp": 2, "pp": 1, "ep": 8,
                "zero": 3, "stack": "torchtitan", "recompute": "selective", "tokens": 1e12, "pue": 1.3, "price": 2},
    "lora": {"model": "llama-3.1-8b", "hardware": "l4", "devices": 8, "workload": "lora", "steps": 1000,
             "quantized_base": "nf4"},
    "closed": {**SERVE, "model": "llama-3.1-70b", "load": "closed", "batch": 64},
    "queued": {**SERVE, "model": "llama-3.1-70b", "load": "static", "batch": 4000, "grid": "fra"},
    "open": {**SERVE, "model": "mixtral-8x7b", "load": "open", "request_rate": 3, "stack": "sglang"},
    "old engine": {**SERVE, "model": "llama-2-7b", "load": "saturated", "devices": 1, "stack_version": "0.2"},
    "pools": {**SERVE, "model": "deepseek-v3-671b", "devices": 32, "stack": "sglang", "prefill_devices": 16, "ep": 16,
              "dp": 1, "tp": 16, "max_num_seqs": 64, "speculation": "mtp"},
    "small device": {**SERVE, "model": "llama-3.1-8b", "hardware": "l4", "batch": 4, "stack_version": "0.10"},
    "encoder": {**SERVE, "model": "bert-large-uncased", "batch": 32, "output_tokens": 1, "devices": 1},
}  # fmt: skip


@pytest.fixture(scope="module", params=PLANS)
def explained(request: pytest.FixtureRequest) -> tuple[Any, Explanation]:
    plan = plan_from(PLANS[request.param])
    return plan, explanation(explain(plan, CATALOG, list(terms_of(plan))))


def test_explaining_changes_no_bit(explained: tuple[Any, Explanation]) -> None:
    plan, found = explained
    plain = Figures(plan, CATALOG)
    told = {one.term: one.value for one in found.terms or ()}
    known = {name: term.read(plain) for name, term in terms_of(plan).items()}
    assert told == {name: value for name, value in known.items() if value}


def test_what_a_figure_is_made_of_makes_it_again(explained: tuple[Any, Explanation]) -> None:
    """Every operation, done again on the values of its operands, gives the value that stands there, bit for bit."""
    _, found = explained
    nodes = found.nodes or ()
    operations = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow,
                  "//": operator.floordiv, "negative": operator.neg, "ceil": math.ceil, "floor": math.floor,
                  "argument": float, "result": float}  # fmt: skip
    for index, node in enumerate(nodes):
        if node.of is not None and node.op != "crossing":
            assert all(operand < index or nodes[operand].op == "number" for operand in node.of)
            made = operations.get(node.op) or getattr(numeric, node.op)
            assert made(*(nodes[operand].value for operand in node.of)) == node.value, node
    assert [one.value for one in found.terms or ()] == [nodes[one.node].value for one in found.terms or ()]


def test_every_leaf_was_read_where_it_says(explained: tuple[Any, Explanation]) -> None:
    plan, found = explained
    leaves = [node for node in found.nodes or () if node.op == "leaf"]
    assert len(leaves) > 40
    for node in leaves:
        assert node.origin is not None
        assert " or " not in node.origin
        if node.name != "crossing":
            assert node.value in read(node.origin, plan), node


def read(origin: str, plan: Any) -> list[float]:
    """What stands at an origin, in every unit that its text may be of."""
    where, _, path = origin.partition(": ")
    if where.startswith("--"):
        return numbers(getattr(plan.options, where[2:].replace("-", "_")))
    if where.endswith(".yaml"):
        return numbers(at(entry(where), path.split(".")))
    if where.endswith(".py"):
        name, *keys = path.split(".")
        value = getattr(importlib.import_module(where[:-3].replace("/", ".")), name)
        if names(value):
            value = defaults(value)[keys.pop(0)]
        return numbers(at(value, keys))
    if where == f"model {plan.model.name}":
        return numbers(at(plan.model, path.split(".")))
    known = {name: getattr(part, name) for part in (plan.layout, plan.workload) for name in names(part)}
    if plan.kind == "serve":
        known |= {word: getattr(plan.engine.policy, name) for name, word in POLICY_OPTIONS.items()}
        reads = plan.prefill or plan.layout
        known |= {f"prefill_{name}": getattr(reads, name) for name in names(reads)}
    return numbers(known[where])


@cache
def entry(file: str) -> Any:
    return read_entry(ROOT / file).data


def at(thing: Any, keys: list[str]) -> Any:
    for index, key in enumerate(keys):
        if isinstance(thing, (list, tuple)):
            thing = thing[int(key)]
        elif isinstance(thing, dict):
            rest = ".".join(keys[index:])
            if rest in thing:
                return thing[rest]
            thing = thing[key]
        else:
            thing = getattr(thing, key)
    return thing


def numbers(value: Any) -> list[float]:
    if isinstance(value, (int, float)):
        return [float(value)]
    found = []
    for dimension in UNITS:
        try:
            found.append(parse_quantity(value, dimension))
        except ValueError:
            continue
    return found


def test_parts_sum_to_the_whole() -> None:
    plan = plan_from(PLANS["pipeline"])
    found = {one.term: one.value for one in explanation(explain(plan, CATALOG, list(terms_of(plan)))).terms or ()}
    for kind, whole in ((Memory, "peak_bytes"), (StepTime, "step_seconds")):
        parts = [one.name for one in fields(kind) if one.name != "host_bytes"]
        assert set(parts) <= set(terms_of(plan))
        assert sum(found.get(name, 0.0) for name in parts) == pytest.approx(found[whole], rel=1e-14)


def test_the_answer_is_its_schema(explained: tuple[Any, Explanation]) -> None:
    data = to_data(explained[1])
    assert data["schema"] == "llmplan.explain/2"
    holds("explain", data)


def test_measured_elsewhere_names_that_entry() -> None:
    """The 40 GB A100 attends like the one of 80 GB."""
    plan = plan_from(PLANS["pipeline"])
    found = explanation(explain(plan, CATALOG, ["attention_seconds"]))
    origins = {node.origin for node in found.nodes or ()}
    assert "hardware_catalog/devices/a100-sxm-80gb.yaml: efficiency.attention.bf16.ramp" in origins
    assert "hardware_catalog/devices/a100-sxm-40gb.yaml: peak.bf16" in origins
    assert "hardware_catalog/models/llama-3.1-70b.yaml: head_dim" in origins


def test_a_version_names_its_own_numbers() -> None:
    plan = plan_from(PLANS["old engine"])
    found = explanation(explain(plan, CATALOG, ["tpot_seconds"]))
    assert any("versions.0.fitted." in (node.origin or "") for node in found.nodes or ())


def test_only_the_stage_that_was_taken_is_told() -> None:
    """The first stage has no logits, and the last none of the micro-batches in flight of the first."""
    plan = plan_from(PLANS["of the docs"])
    found = explain(plan, CATALOG, ["activations_bytes"])
    written = json.dumps(to_data(explanation(found)))
    assert "kept_activations" in written
    assert "logits_bytes" not in {one.function for one in explanation(found).calls or ()}


def test_the_code_is_as_it_was() -> None:
    def known() -> dict[str, int]:
        return {f"{name}.{key}": id(value) for name, module in list(sys.modules.items()) if name.startswith("llmplan.")
                for key, value in vars(module).items()}  # fmt: skip

    plan = plan_from(PLANS["lora"])
    explain(plan, CATALOG, ["mfu"])  # whatever it loads
    before = known()
    explain(plan, CATALOG, ["mfu"])
    assert known() == before
    with recorded():
        assert known() != before
    assert known() == before

    def fail() -> None:
        with recorded():
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert known() == before


def test_formulas_say_what_they_are() -> None:
    from llmplan.formulas.matmul import matmul_seconds

    text = formula_text(matmul_seconds)  # type: ignore[arg-type]
    assert text.unit == "s"
    assert "soft_maximum" in text.formula
    assert {one.name: one.unit for one in text.arguments}["rate"] == "FLOP/s"
    assert "aiconfigurator" in " ".join(text.references)


WORDS = ("explain", "--model", "small.yaml", "--hardware", "test-gpu", "--devices", "8")


def test_the_command_for_people(llmplan: Llmplan) -> None:
    run = llmplan(*WORDS, "--term", "activations")
    assert run.code == 0, run.err
    assert run.out.startswith("activations = ")
    assert "devices/test-gpu.yaml, checked 2026-01-01" in run.out
    deeper = llmplan(*WORDS, "--term", "activations", "--depth", "9")
    assert len(deeper.out) > len(run.out)
    assert "Korthikanti" in deeper.out
    assert "--depth" not in deeper.out


def test_the_command_for_programs(llmplan: Llmplan) -> None:
    run = llmplan(*WORDS, "--json")
    answer = json.loads(run.out)
    holds("explain", answer)
    estimate = json.loads(llmplan("estimate", *WORDS[1:], "--json").out)["result"]
    parts = {**estimate["memory"]["parts"], **estimate["time"]["parts"]}
    assert {one["term"]: one["value"] for one in answer["terms"] if one["term"] in parts} == parts
    assert not [node for node in answer["nodes"] if " or " in node.get("origin", "")]


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
    answer = json.loads(llmplan("explain", code, "--json").out)
    holds("explain", answer)
    assert answer["codes"][code]["doc"] == CODES[code].doc


@pytest.mark.parametrize("word", ["activations", "activations_bytes", "Tensor-Parallel", "mfu", "optimizer"])
def test_terms_by_name(word: str) -> None:
    (name,) = terms_named(word, plan_from(PLANS["lora"]))
    assert name.startswith(word.lower().replace("-", "_"))


def test_what_is_simulated_request_by_request_has_no_formula(llmplan: Llmplan) -> None:
    plan = ("explain", "--model", "llama-3.1-8b", "--hardware", "h100", "--workload", "serve", "--stack", "vllm",
            "--request-rate", "1")  # fmt: skip
    means = llmplan(*plan, "--term", "ttft_seconds", "--json")
    assert means.code == 0
    limited = llmplan(*plan, "--max-ttft-p95", "2", "--term", "ttft_seconds", "--json")
    assert json.loads(limited.out)["terms"][0]["value"] == json.loads(means.out)["terms"][0]["value"]
    bursts = llmplan(*plan, "--arrival", "gamma", "--arrival-cv", "2", "--term", "ttft_seconds")
    assert (bursts.code, bursts.out) == (2, "")
    assert "is simulated request by request" in bursts.err
    assert llmplan(*plan, "--arrival", "gamma", "--arrival-cv", "2", "--term", "weights").code == 0
