"""A few cases of the fuzzer, each time the same: `make fuzz` runs thousands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fuzz import cases

ROOT = Path(__file__).parents[2]


def test_nothing_breaks_on_what_is_hostile_and_no_answer_breaks_a_rule(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--n", "40", "--seed", "1", "--jobs", "1", "--out", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_case_hangs_on_its_seed_and_number_alone_and_can_be_kept() -> None:
    case = cases.make("1", 7, [])
    cases.make("2", 1, [])
    assert cases.make("1", 7, []) == case
    assert cases.Case.read(case.text()) == case
    assert cases.make("1", 8, []) != case
