"""A cold start of `estimate --json` loads nothing that it does not need."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from llmplan.cli.main import COMMANDS

HEAVY = {
    "numpy",
    "rich",
    "scipy",
    "llmplan.training.advice",
    "llmplan.report.table",
    "llmplan.model.huggingface",
}
HEAVY |= {"llmplan.answer.economics", "llmplan.answer.explain", "llmplan.answer.recording", "llmplan.search"}


PLAN = ["--model", "llama-3.1-8b", "--hardware", "h100", "--devices", "8"]


def imported(here: Path, *arguments: str) -> set[str]:
    """Modules that the program imports, as `-X importtime` lists them."""
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "llmplan", *arguments],
        capture_output=True, text=True, check=True, cwd=here,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    return {line.rsplit("|", 1)[-1].strip() for line in process.stderr.splitlines() if line.startswith("import time:")}


def test_json_of_one_plan_imports_neither_numpy_nor_rich(here: Path) -> None:
    modules = imported(here, "estimate", "--model", "small.yaml", "--hardware", "test-gpu", "--devices", "8", "--json")
    assert "llmplan.training.step" in modules  # the list is one
    assert modules & HEAVY == set()


def test_json_of_a_search_imports_neither_rich_nor_masked_arrays(here: Path) -> None:
    modules = imported(here, "fit", "--model", "small.yaml", "--hardware", "test-gpu", "--devices", "8", "--json")
    assert "llmplan.search.training" in modules
    masked = set() if np.__version__.startswith("1.") else {"numpy.ma"}  # numpy 1 loads them itself
    assert modules & {"rich", "llmplan.search.serving", *masked} == set()


@pytest.mark.parametrize(
    "words",
    [
        ["estimate", "--plan", "plan.yaml", "--json"], ["estimate", *PLAN, "--format", "csv"],
        ["estimate", *PLAN, "--workload", "serve", "--input-tokens", "1k", "--batch", "8"],
        ["explain", *PLAN, "--term", "matmul_seconds"], ["fit", *PLAN, "--top", "3"], ["catalog", "list"],
        ["catalog", "list", "models", "--json"], ["list", "--hardware", "rtx-4090"], ["diff", "plan.yaml", "plan.yaml"],
        ["fit", *PLAN, "--catalog", "mine", "--write-plan", "best.yaml"], ["estimate", "--help"], ["--help"],
        ["--version"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_pydantic_is_left_to_what_is_at_fault(here: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    """To import it takes a third of the time of a bare Typer program."""
    monkeypatch.delenv("LLMPLAN_CATALOG")
    (here / "mine").mkdir()
    (here / "plan.yaml").write_text("model: llama-3.1-8b\nhardware: h100\ndevices: 8\nseq_len: 8k\ntokens: 15T\n")
    modules = {name.partition(".")[0] for name in imported(here, *words)}
    assert "typer" in modules
    assert modules & {"pydantic", "pydantic_core", "annotated_types"} == set()


def test_version_imports_next_to_nothing(here: Path) -> None:
    modules = imported(here, "--version")
    assert not any(name.startswith(("llmplan.setup", "yaml", "numpy", "rich")) for name in modules)


def test_the_list_of_commands_imports_none_of_them(here: Path) -> None:
    modules = imported(here, "--help")
    ours = {name.removeprefix("llmplan.") for name in modules if name.startswith("llmplan.")}
    assert ours == {"cli", "cli.main", "cli.values", "errors", "interrupts", "program", "records", "version"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_their_help_says(name: str) -> None:
    """Which is written twice, so that the list need not import them."""
    app = importlib.import_module(f"llmplan.cli.{COMMANDS[name].module}").app
    assert COMMANDS[name].help == typer.main.get_command(app).get_short_help_str(1000)


def test_the_package_itself_costs_nothing(here: Path) -> None:
    code = "import sys, llmplan; print(*(name for name in sys.modules if name.startswith(('llmplan', 'pydantic'))))"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=here,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert sorted(process.stdout.split()) == ["llmplan", "llmplan.version"]


def test_a_closed_pipe_is_quiet(here: Path) -> None:
    words = ["estimate", "--model", "small.yaml", "--hardware", "test-gpu", "--json"]
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-m", "llmplan", *words], stdout=writer, stderr=subprocess.PIPE, text=True, cwd=here,
        check=False, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    os.close(writer)
    assert (process.returncode, process.stderr) == (0, "")
