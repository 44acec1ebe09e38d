"""`llmplan diff`: figures are those of `estimate`, revisions come from git, the gate says no with 3."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from llmplan.cli.main import main
from llmplan.report.difference import change
from llmplan.search.difference import FigureChange
from llmplan.software.band import Interval

PLAN = """\
model: llama-3.1-8b
hardware: h100
devices: 8
workload: pretrain
seq_len: 4096
global_batch: 64
zero: 3
tokens: 1e11
"""
COMMANDS = [["diff", "a.yaml", "b.yaml"], ["estimate", "--plan", "b.yaml"], ["compare", "--plan", "b.yaml"]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.yaml").write_text(PLAN, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(PLAN.replace("h100", "h200"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def result(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code, out, _ = run(capsys, *words)
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_figures_are_those_of_estimate(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    found = result(capsys, "diff", "a.yaml", "b.yaml", "--json")
    before, after = (result(capsys, "estimate", "--plan", f"{name}.yaml", "--json") for name in "ab")
    assert (found["before"], found["after"]) == (before, after)
    step = found["figures"]["step"]
    assert step["before"] == before["result"]["time"]["step_seconds"]
    assert step["ratio"] == after["result"]["time"]["step_seconds"]["value"] / step["before"]["value"]
    assert found["words"]["hardware"] == {"before": "h100-sxm-80gb", "after": "h200-sxm-141gb"}
    assert {"memory", "step", "throughput", "mfu", "days", "cost", "energy", "carbon"} == set(found["figures"])


@pytest.mark.parametrize(
    ("before", "after", "less", "said"),
    [
        ((100, 90, 110), (100, 90, 110), True, "="),
        ((100, 90, 110), (112, 109, 120), True, "+12.0%, within the error"),
        ((100, 90, 110), (120, 111, 130), True, "+20.0%"),
        ((100, 90, 110), (25, 20, 30), False, "x 0.25"),
    ],
)
def test_a_change_is_told_with_its_size(
    before: tuple[float, float, float], after: tuple[float, float, float], less: bool, said: str
) -> None:
    one, other = Interval(*before), Interval(*after)
    apart = other.low > one.high or other.high < one.low
    found = FigureChange(before=one, after=other, ratio=other.value / one.value, beyond_error=apart, worse=less)
    assert change(found) == said


def test_the_same_plan_has_no_difference(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    found = result(capsys, "diff", "a.yaml", "a.yaml", "--json")
    assert found["words"] == {}
    assert {one["ratio"] for one in found["figures"].values()} == {1.0}
    _, out, _ = run(capsys, "diff", "a.yaml", "a.yaml", "--format", "github")
    assert out.startswith("::notice file=a.yaml,line=1,title=llmplan diff::nothing changed")


def test_against_a_revision(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "plans"]):
        subprocess.run([*git, *words], check=True, cwd=folder)
    (folder / "a.yaml").write_text(PLAN.replace("devices: 8", "devices: 16"), encoding="utf-8")
    for revision in ("HEAD", "HEAD:a.yaml"):
        found = result(capsys, "diff", "--against", revision, "a.yaml", "--json")
        assert found["words"]["devices"] == {"before": 8, "after": 16}
    code, _, err = run(capsys, "diff", "--against", "nowhere", "a.yaml")
    assert code == 2
    assert err.startswith("error: --against: git show nowhere:a.yaml: fatal:")
    assert run(capsys, "diff", "--against", "--output=x:a", "a.yaml")[0] == 2


def test_faults(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert (
        run(capsys, "diff", "a.yaml")[2]
        == "error: diff takes two plan files, or one and --against with a revision of git\n"
    )
    (folder / "many.yaml").write_text("- {model: a}\n- {model: b}\n", encoding="utf-8")
    assert "holds 2 plans; diff takes one of each" in run(capsys, "diff", "a.yaml", "many.yaml")[2]


@pytest.mark.parametrize(
    "command", [["diff", "a.yaml", "b.yaml"], ["estimate", "--plan", "b.yaml"], ["compare", "--plan", "b.yaml"]]
)
def test_the_gate_says_no_with_3(capsys: pytest.CaptureFixture[str], folder: Path, command: list[str]) -> None:
    assert run(capsys, *command, "--check")[0] == 0
    code, _, err = run(capsys, *command, "--check", "--limits", "min_mfu=0.99")
    assert code == 3
    assert "limit min_mfu 99.0% is not kept" in err
    assert run(capsys, *command, "--limits", "min_mfu=0.99")[0] == 0


@pytest.mark.parametrize(
    "command", [["diff", "a.yaml", "b.yaml"], ["estimate", "--plan", "b.yaml"], ["compare", "--plan", "b.yaml"]]
)
def test_a_workflow_gets_annotations_and_a_summary(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
    code, out, _ = run(capsys, *command, "--format", "github", "--limits", "min_mfu=0.99")
    assert code == 0
    assert any(line.startswith("::error file=b.yaml,line=1,") and "min_mfu" in line for line in out.splitlines())
    assert (folder / "summary.md").read_text("utf-8").startswith("| ")


def test_one_name_for_what_is_best(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    base = ["compare", "--plan", "a.yaml", "--hardware", "h100,h200", "--json"]
    assert result(capsys, *base, "--by", "step") == result(capsys, *base, "--objective", "step")
    assert result(capsys, *base, "--by", "memory") == result(capsys, *base, "--objective", "memory-headroom")
    fits = ["fit", "--plan", "a.yaml", "--json"]
    assert result(capsys, *fits, "--by", "step") == result(capsys, *fits, "--objective", "time")
