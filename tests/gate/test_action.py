"""The composite action, the workflow that tries it, the hook, and what the README shows of them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PLAN = "model: llama-3.1-8b\nhardware: h100\ndevices: 8\nworkload: pretrain\nzero: 3\nglobal_batch: 64\n"


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A clone with a plan that a pull request changes, and `llmplan` on its path."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    origin = tmp_path / "origin"
    origin.mkdir()
    (origin / "plan.yaml").write_text(PLAN, encoding="utf-8")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "plan"]):
        subprocess.run([*git, *words], check=True, cwd=origin)
    subprocess.run([*git, "clone", "-q", str(origin), str(tmp_path / "clone")], check=True)
    (tmp_path / "clone" / "plan.yaml").write_text(PLAN.replace("devices: 8", "devices: 16"), encoding="utf-8")
    program = tmp_path / "bin" / "llmplan"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} -m llmplan "$@"\n'
    )
    program.chmod(0o755)
    return tmp_path / "clone"


def shell(repository: Path, script: str, **words: str) -> subprocess.CompletedProcess[str]:
    path = f"{repository.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-e", "-c", script], cwd=repository, capture_output=True, text=True, check=False,
        env={**os.environ, **words, "PATH": path},
    )  # fmt: skip


def test_the_steps_of_the_action_run(repository: Path) -> None:
    steps = {step["name"]: step for step in load("action.yml")["runs"]["steps"] if "name" in step}
    words = {"PLAN": "plan.yaml", "OPTIONS": "--tokens 1e11", "AGAINST": "main"}
    words["GITHUB_STEP_SUMMARY"] = str(repository / "summary.md")
    checked = shell(repository, steps["Check"]["run"], **words)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.startswith("::notice file=plan.yaml,line=1,title=plan::step ")
    compared = shell(repository, steps["Compare"]["run"], **words)
    assert compared.returncode == 0, compared.stderr
    assert "title=throughput::" in compared.stdout
    assert "| devices | 8 | 16 |" in (repository / "summary.md").read_text("utf-8")
    comment = steps["Comment"]["run"].partition(" | gh ")[0]
    assert "| devices | 8 | 16 |" in shell(repository, comment, **words).stdout
    words["OPTIONS"] = "--limits min_mfu=0.99"
    assert shell(repository, steps["Check"]["run"], **words).returncode == 3


def test_every_input_is_used_and_every_variable_set() -> None:
    action = load("action.yml")
    text = (ROOT / "action.yml").read_text("utf-8")
    for name in action["inputs"]:
        assert f"inputs.{name}" in text
    for step in action["runs"]["steps"]:
        for variable in ("PLAN", "OPTIONS", "AGAINST", "NUMBER"):
            assert f"${variable}" not in step.get("run", "") or variable in step["env"]


def test_the_hook_checks_the_files_that_it_is_given(repository: Path) -> None:
    (hook,) = load(".pre-commit-hooks.yaml")
    assert shell(repository, f"{hook['entry']} plan.yaml").returncode == 0
    (repository / "plan-2.yaml").write_text(PLAN + "limits: {min_mfu: 0.99}\n", encoding="utf-8")
    done = shell(repository, f"{hook['entry']} plan.yaml plan-2.yaml")
    assert done.returncode == 3
    assert "::error file=plan-2.yaml," in done.stdout


def test_the_readme_shows_what_the_workflow_runs() -> None:
    ran = load(".github/workflows/plans.yml")["jobs"]["plans"]["steps"]
    for page in ("README.md", "docs/gate.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        shown = [block.partition("```")[0] for block in text.split("```yaml\n")[1:]]
        assert [step for block in shown if "- uses:" in block for step in yaml.safe_load(block)] == ran
