"""`llmplan calibrate`: own runs become an entry that every command reads."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmplan.catalog.catalog import open_catalog

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "docs" / "examples" / "my-runs.csv"
Command = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "catalog"


def slower(path: Path, factor: float, count: int = 8) -> Path:
    """The example's runs, all slower than they were."""
    with RUNS.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:count]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(row | {"measured_step_seconds": f"{float(row['measured_step_seconds']) * factor:.4g}"})
    return path


def test_an_entry_is_written_and_planned_with(llmplan: Command, folder: Path, tmp_path: Path) -> None:
    runs = slower(tmp_path / "runs.csv", 1.3)
    run = llmplan("calibrate", str(runs), "--stack", "My cluster", "--catalog", str(folder))
    assert run.code == 0, run.err
    assert "8 runs fitted, drawn to nemo; 0 rows dropped" in run.out
    assert "a further run would tell most" in run.out
    mine, nemo = (open_catalog([folder]).stack(name) for name in ("my-cluster", "nemo"))
    assert mine.training == nemo.training
    assert mine.measured.devices == ("h100-sxm-80gb",)
    assert mine.bands["step_seconds"].rows == 8
    seconds = {}
    for stack in ("nemo", "my-cluster"):
        words = "--model llama-3.1-8b --hardware h100 --devices 64 --workload pretrain --seq-len 8192"
        plan = llmplan("estimate", *words.split(), "--stack", stack, "--catalog", str(folder), "--json")
        assert plan.code == 0, plan.err
        seconds[stack] = json.loads(plan.out)["result"]["time"]["step_seconds"]
    assert _value(seconds["my-cluster"]) > 1.1 * _value(seconds["nemo"])


def _value(amount: Any) -> float:
    return float(amount["value"] if isinstance(amount, dict) else amount)


def test_the_fit_is_nearer_than_the_parent_on_rows_it_has_not_seen(
    llmplan: Command, folder: Path, tmp_path: Path
) -> None:
    few, all_ = slower(tmp_path / "few.csv", 1.3, 4), slower(tmp_path / "all.csv", 1.3)
    assert llmplan("calibrate", str(few), "--stack", "mine", "--catalog", str(folder)).code == 0
    error = {}
    for stack in ("nemo", "mine"):
        run = llmplan("validate", str(all_), "--stack", stack, "--catalog", str(folder), "--json")
        assert run.code == 0, run.err
        error[stack] = json.loads(run.out)["summary"]["all"]["step_seconds"]["median"]
    assert error["mine"] < error["nemo"] / 2


def test_rows_of_no_use_are_named(llmplan: Command, folder: Path, tmp_path: Path) -> None:
    lines = RUNS.read_text(encoding="utf-8").splitlines()
    broken = lines[1].replace("run-1", "run-0").replace("12.91", "0.2")
    (tmp_path / "runs.csv").write_text("\n".join([*lines, broken]) + "\n", encoding="utf-8")
    run = llmplan("calibrate", str(tmp_path / "runs.csv"), "--stack", "mine", "--catalog", str(folder))
    assert run.code == 0, run.err
    assert "dropped run-0 (line 10): it takes" in run.out
    check = llmplan("validate", str(tmp_path / "runs.csv"), "--summary")
    assert "no run can be as measured" in check.err
    assert "memory: 9 rows ran" in check.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--stack", "nemo", "--parent", "nemo"), "its own parent"), (("--stack", "../x"), "name"),
        (("--stack", "x", "--parent", "nenmo"), "did you mean"), (("--stack", ""), "name"),
    ],
)  # fmt: skip
def test_bad_names_are_refused(llmplan: Command, folder: Path, words: tuple[str, ...], says: str) -> None:
    run = llmplan("calibrate", str(RUNS), *words, "--catalog", str(folder))
    assert run.code == 2
    assert says in run.err.lower()
    assert not folder.exists() or not list(folder.rglob("*.yaml"))


def test_runs_without_a_measurement_are_refused(llmplan: Command, folder: Path, tmp_path: Path) -> None:
    text = "id,model,hardware,devices,workload\na,llama-3.1-8b,h100,8,pretrain\n"
    (tmp_path / "runs.csv").write_text(text, encoding="utf-8")
    run = llmplan("calibrate", str(tmp_path / "runs.csv"), "--stack", "mine", "--catalog", str(folder))
    assert run.code == 2
    assert "none of its rows can be fitted on" in run.err
