"""Exit codes as a shell sees them: the program itself, not `main` called in this process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = ("--model", "small.yaml", "--hardware", "test-gpu", "--devices", "1")
TOO_LARGE = (*SMALL, "--micro-batch", "4096", "--global-batch", "4096")


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        (("estimate", *SMALL, "--check"), 0, "fits", ""),
        (("estimate", *TOO_LARGE), 0, "does not fit", ""),
        (("estimate", *TOO_LARGE, "--check"), 3, "does not fit", ""),
        (("estimate", *SMALL, "--devises", "8"), 2, "", "error: No such option"),
        (("estimate", "--devices", "8"), 2, "", "error: model is missing"),
        (("estmate",), 2, "", "error: "),
        (("--version",), 0, "llmplan ", ""),
        (("estimate", "--help"), 0, "--micro-batch", ""),
    ],
)
def test_exit_code_and_streams(here: Path, words: tuple[str, ...], code: int, out: str, err: str) -> None:
    """A version of Typer once took every command for `--version` and ended with 0, a check that failed too."""
    run = subprocess.run(
        [sys.executable, "-m", "llmplan", *words], capture_output=True, text=True, check=False, cwd=here,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert run.returncode == code
    assert out in run.stdout
    assert bool(run.stdout) == bool(out)
    assert err in run.stderr
