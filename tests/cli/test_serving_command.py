"""`llmplan estimate --workload serve` from end to end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmplan.schema import validated
from llmplan.setup.options import PlanOptions
from tests.cli.answers import golden, holds, result

Llmplan = Callable[..., Any]
BASE = (
    "estimate", "--model", "small.yaml", "--hardware", "test-gpu", "--stack", "test-serving", "--workload", "serve",
    "--input-tokens", "1024", "--output-tokens", "256",
)  # fmt: skip
CLOSED = (*BASE, "--load", "closed", "--batch", "32")


@pytest.mark.frozen
def test_table_is_as_stored(llmplan: Llmplan) -> None:
    run = llmplan(*CLOSED)
    assert run.code == 0
    golden("serving-table.txt", run.out)


@pytest.mark.frozen
def test_json_is_as_stored_and_matches_its_schema(llmplan: Llmplan) -> None:
    run = llmplan(*BASE, "--load", "open", "--request-rate", "5", "--max-ttft", "500 ms", "--json")
    holds("estimate", result(run))
    golden("serving-estimate.json", run.out)


def test_parts_sum_to_the_peak(llmplan: Llmplan) -> None:
    found = result(llmplan(*CLOSED, "--json"))["result"]
    assert sum(found["memory"]["parts"].values()) == pytest.approx(found["memory"]["peak_bytes"]["value"])
    assert sum(found["time"]["decode_parts"].values()) == pytest.approx(found["time"]["decode_step_seconds"])
    tpot = found["latency"]["tpot_seconds"]
    assert tpot["low"] < tpot["value"] < tpot["high"]


def test_the_inputs_given_back_are_the_same_plan(llmplan: Llmplan, here: Path) -> None:
    first = result(llmplan(*CLOSED, "--devices", "4", "--json"))
    validated(first["inputs"], PlanOptions)
    (here / "again.yaml").write_text(json.dumps(first["inputs"]))
    assert result(llmplan("estimate", "--plan", "again.yaml", "--json"))["result"] == first["result"]


def test_check_says_no_with_three(llmplan: Llmplan) -> None:
    run = llmplan(*BASE, "--load", "open", "--request-rate", "100000", "--check")
    assert run.code == 3
    assert "unstable at this rate" in run.err
    assert "replicas needed" in run.err
    missed = llmplan(*CLOSED, "--max-tpot", "1 us", "--check")
    assert missed.code == 3
    assert "tpot is" in missed.err
    assert llmplan(*CLOSED, "--max-tpot", "1 s", "--check").code == 0


def test_check_says_no_where_it_does_not_fit(llmplan: Llmplan) -> None:
    run = llmplan(*("llama-3.1-405b" if word == "small.yaml" else word for word in CLOSED), "--check")
    assert run.code == 3
    assert "does not fit" in run.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--load", "open"), "request_rate is missing"),
        (("--load", "closed", "--request-rate", "3"), "request_rate goes with load open"),
        (("--load", "saturated", "--batch", "3"), "batch goes with load static or closed"),
        (("--load", "opne"), "load"),
        (("--batch", "0"), "--batch"),
        (("--max-ttft", "3 GB"), "--max-ttft"),
        (("--seq-len", "128"), "seq_len goes with training"),
        (("--memory-fraction", "90"), "--memory-fraction"),
        (("--activation-precision", "nvfp4"), "no nvfp4 matrix products"),
        (("--devices", "3", "--tp", "3"), "tp 3 does not divide"),
        (("--stack", "generic"), "does not serve"),
    ],
)
def test_contradictions_are_refused(llmplan: Llmplan, words: tuple[str, ...], said: str) -> None:
    run = llmplan(*BASE, *words)
    assert run.code == 2
    assert said in run.err
    assert run.out == ""


def test_serving_words_are_refused_in_training(llmplan: Llmplan) -> None:
    run = llmplan("estimate", "--model", "small.yaml", "--hardware", "test-gpu", "--load", "closed", "--batch", "4")
    assert run.code == 2
    assert "load goes with workload serve" in run.err


def test_serving_rows_are_validated(llmplan: Llmplan, here: Path) -> None:
    (here / "runs.csv").write_text(
        "id,source,workload,stack,model,hardware,devices,tp,load,batch,input_tokens,output_tokens,"
        "measured_tpot_seconds,measured_output_tokens_per_second\n"
        "a,me,serve,test-serving,llama-3.1-8b,test-gpu,1,1,closed,8,512,128,0.02,300\n"
        "b,me,serve,unheard-of,llama-3.1-8b,test-gpu,1,1,static,8,512,128,0.02,\n"
    )
    answer = result(llmplan("validate", "runs.csv", "--json"))
    first, second = answer["rows"]
    assert {"ttft_seconds", "tpot_seconds", "output_tokens_per_second", "request_seconds", "kv_tokens", "fits"} <= set(
        first["predicted"]
    )
    holds("validation", answer)
    tpot = first["predicted"]["tpot_seconds"]
    assert tpot["low"] < tpot["value"] < tpot["high"]
    assert second["skipped"]  # the generic stack of the tests does not serve
    assert answer["summary"]["all"]["tpot_seconds"]["rows"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--lora-adapters", "8", "--lora-rank", "16"), "adapters"),
        (("--speculation", "eagle"), "draft"),
        (("--speculation", "draft-model", "--draft-model", "llama-3.2-1b", "--acceptance", "0.7"), "draft"),
    ],
)
def test_the_table_names_every_group_of_weights(
    llmplan: Any, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.delenv("LLMPLAN_CATALOG")
    monkeypatch.setenv("COLUMNS", "300")
    plan = ("--model", "llama-3.1-8b", "--hardware", "h100", "--workload", "serve", "--devices", "1", "--stack", "vllm")
    run = llmplan("estimate", *plan, *words)
    assert run.code == 0, run.err
    assert said in next(line for line in run.out.splitlines() if line.strip().startswith("weights"))


def test_where_nothing_is_written_the_request_is_the_answer(llmplan: Llmplan) -> None:
    """The first token stood beside it, with a band of its own."""
    writes = llmplan(*BASE, "--request-rate", "5").out
    reads = llmplan(*BASE, "--request-rate", "5", "--output-tokens", "1").out
    assert "to the first token" in writes
    assert "to the first token" not in reads
    assert "for 95 % of them" in reads


def test_the_longest_sequence_ends_where_the_engine_does(llmplan: Llmplan) -> None:
    assert "longest sequence    2k tokens, max_model_len" in llmplan(*CLOSED, "--max-model-len", "2000").out
