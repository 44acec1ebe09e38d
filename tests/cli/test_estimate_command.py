"""`llmplan estimate` from end to end: what goes in, what comes out, and with which exit code."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmplan import __version__
from llmplan.setup.options import VOCABULARY
from tests.cli.answers import golden, holds, result

Llmplan = Callable[..., Any]
BASE = ("estimate", "--model", "small.yaml", "--hardware", "test-gpu")
LARGE = ("estimate", "--model", "llama-3.1-70b", "--hardware", "test-gpu", "--devices", "8")
PLAN = "model: small.yaml\nhardware: test-gpu\ndevices: 8\nseq_len: 2048\nglobal_batch: 64\n"


@pytest.mark.frozen
def test_table_is_as_stored(llmplan: Llmplan) -> None:
    run = llmplan(*BASE, "--devices", "8", "--global-batch", "64", "--seq-len", "16384", "--tokens", "1e11")
    assert run.code == 0
    golden("table.txt", run.out)


@pytest.mark.frozen
def test_json_is_as_stored_and_matches_its_schema(llmplan: Llmplan) -> None:
    run = llmplan(*BASE, "--devices", "8", "--global-batch", "64", "--tokens", "1e11", "--json")
    holds("estimate", result(run))
    golden("estimate.json", run.out)


def test_parts_sum_to_the_whole(llmplan: Llmplan) -> None:
    answer = result(llmplan(*BASE, "--devices", "8", "--recompute", "full", "--json"))["result"]
    assert sum(answer["memory"]["parts"].values()) == pytest.approx(answer["memory"]["peak_bytes"]["value"])
    assert sum(answer["time"]["parts"].values()) == pytest.approx(answer["time"]["step_seconds"]["value"])


def test_an_option_wins_over_the_file(llmplan: Llmplan, here: Path) -> None:
    (here / "plan.yaml").write_text(PLAN)
    inputs = result(llmplan("estimate", "--plan", "plan.yaml", "--devices", "16", "--json"))["inputs"]
    assert (inputs["devices"], inputs["seq_len"], inputs["global_batch"]) == (16, 2048, 64)


def test_inputs_given_back_are_the_same_plan(llmplan: Llmplan, here: Path) -> None:
    first = result(llmplan(*BASE, "--devices", "16", "--workload", "lora", "--quantized-base", "nf4", "--json"))
    (here / "again.json").write_text(json.dumps(first["inputs"]))
    again = result(llmplan("estimate", "--plan", "again.json", "--json"))
    assert again["inputs"] == first["inputs"]
    assert again["result"] == first["result"]


@pytest.mark.parametrize(
    "text",
    [
        PLAN, '{"model": "small.yaml", "hardware": "test-gpu", "devices": 8}',
        "{model: small.yaml, hardware: test-gpu, devices: 8}\n",
        " {model: small.yaml,\n hardware: test-gpu, devices: 8}\n",
    ],
)  # fmt: skip
def test_standard_input(llmplan: Llmplan, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    for output in (["--json"], ["--format", "jsonl"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert json.loads(llmplan("estimate", "--plan", "-", *output).out)["inputs"]["devices"] == 8


def test_faults_of_yaml_in_braces(llmplan: Llmplan, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, says in (
        ("{model: small.yaml,\n hardwar: test-gpu}", "standard input:2: unknown key 'hardwar'; did you mean hardware?"),
        ("{model: small.yaml", "standard input:2: is not valid YAML: did not find expected ',' or '}'"),
        ('{"model": small.yaml}', "standard input:1: is not valid JSON: Expecting value (column 11)"),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{text}\n".encode())))
        run = llmplan("estimate", "--plan", "-")
        assert (run.code, run.err) == (2, f"error: {says}\n")


FLOW = (
    "{}{{model: small.yaml, hardware: test-gpu, devices: 1}}{}{{model: small.yaml, hardware: test-gpu, devices: 2}}\n"
)
ONE = {"model": "small.yaml", "hardware": "test-gpu"}


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(json.dumps(ONE | {"devices": n}) for n in (1, 2)) + "\n",
        json.dumps([ONE | {"devices": n} for n in (1, 2)]),
        FLOW.format("- ", "\n- "),
        FLOW.format("", "\n---\n"),
    ],
    ids=["json lines", "json list", "yaml list", "yaml documents"],
)
def test_many_plans(llmplan: Llmplan, here: Path, text: str) -> None:
    (here / "plans.yaml").write_text(text)
    answer = result(llmplan("estimate", "--plan", "plans.yaml", "--json"))
    holds("estimates", answer)
    assert [one["inputs"]["devices"] for one in answer["results"]] == [1, 2]
    lines = llmplan("estimate", "--plan", "plans.yaml", "--format", "jsonl").out.splitlines()
    assert [json.loads(line)["inputs"]["devices"] for line in lines] == [1, 2]
    assert llmplan("estimate", "--plan", "plans.yaml").out.count("Time of a step") == 2


def test_a_model_written_into_the_plan(llmplan: Llmplan, here: Path) -> None:
    model = (here / "small.yaml").read_text().replace("\n", "\n  ").rstrip()
    (here / "plan.yaml").write_text(f"model:\n  {model}\nhardware: test-gpu\n")
    inline = result(llmplan("estimate", "--plan", "plan.yaml", "--json"))
    named = result(llmplan(*BASE, "--json"))
    assert inline["result"] == named["result"]


def test_a_model_path_beside_the_plan(llmplan: Llmplan, here: Path) -> None:
    (here / "folder").mkdir()
    (here / "small.yaml").rename(here / "folder" / "small.yaml")
    (here / "folder" / "plan.yaml").write_text(PLAN.replace("small.yaml", "./small.yaml"))
    assert llmplan("estimate", "--plan", "folder/plan.yaml", "--json").code == 0


def test_check_of_a_plan_that_fits(llmplan: Llmplan) -> None:
    run = llmplan(*BASE, "--check")
    assert (run.code, run.err) == (0, "")


def test_check_of_a_plan_that_does_not_fit_says_what_would(llmplan: Llmplan) -> None:
    run = llmplan(*LARGE, "--check", "--json")
    assert run.code == 3
    answer = json.loads(run.out)["result"]
    assert (answer["fits"], answer["verdict"]) == (False, "does-not-fit")
    first, *rest = run.err.splitlines()
    assert first.startswith("does not fit: ")
    assert "GiB too much" in first
    assert rest[0] == "what would fit:"
    assert any(line.strip().startswith("LoRA") for line in rest)
    assert any(" devices: " in line for line in rest)


def test_without_check_the_answer_no_is_an_answer(llmplan: Llmplan) -> None:
    run = llmplan(*LARGE)
    assert run.code == 0
    assert "does not fit" in run.out
    assert "nothing fits, and this misses by least" in run.out


def test_marginal_passes_the_check_with_a_warning(llmplan: Llmplan) -> None:
    for seq_len in range(8192, 200_000, 4096):  # one length lies where the band meets the limit
        run = llmplan(*BASE, "--recompute", "none", "--seq-len", str(seq_len), "--check", "--json")
        answer = json.loads(run.out)
        if answer["result"]["verdict"] == "marginal":
            assert run.code == (0 if answer["result"]["fits"] else 3)
            assert "LP010" in [one["code"] for one in answer["warnings"]]
            return
    pytest.fail("no sequence length was marginal")


def test_ascii_terminals_and_narrow_ones(llmplan: Llmplan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    llmplan(*BASE)
    text = raw.getvalue().decode("ascii")
    assert "Time of a step" in text
    assert max(len(line) for line in text.splitlines()) <= 40


def test_bars_are_ascii_on_an_ascii_terminal(llmplan: Llmplan, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    llmplan(*BASE)
    text = raw.getvalue().decode("ascii")
    assert "###" in text
    assert "?" not in text


def test_no_color_and_pipes_have_no_escapes(llmplan: Llmplan) -> None:
    assert "\x1b" not in llmplan(*BASE).out


def test_every_option_of_the_vocabulary_is_in_the_help(llmplan: Llmplan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("TERMINAL_WIDTH", "300")
    text = llmplan("estimate", "--help-all").out
    missing = [name for name in VOCABULARY if f"--{name.replace('_', '-')}" not in text]
    assert missing == []


def test_version(llmplan: Llmplan) -> None:
    assert llmplan("--version").out == f"llmplan {__version__}\n"
