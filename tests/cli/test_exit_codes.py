"""Exit codes as a shell sees them: the program itself, not `main` called in this process."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmplan import interrupts
from llmplan.cli import main as cli

SMALL = ("--model", "small.yaml", "--hardware", "test-gpu", "--devices", "1")
TOO_LARGE = (*SMALL, "--micro-batch", "4096", "--global-batch", "4096")


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        (("estimate", *SMALL, "--check"), 0, "fits", ""),
        (("estimate", *TOO_LARGE, "--check"), 3, "does not fit", ""),
        (("estimate", "--devices", "8"), 2, "", "error: model is missing"),
        (("estmate",), 2, "", "error: "),
        (("--version",), 0, "llmplan ", ""),
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


PROGRAM = [sys.executable, "-m", "llmplan"]
PLAN = ["--model", "small.yaml", "--hardware", "test-gpu", "--devices", "8"]


def started(here: Path, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | more.pop("variables", {})
    return subprocess.run(
        [*PROGRAM, *words], stderr=subprocess.PIPE, text=True, check=False, cwd=here, env=environment, **more
    )  # fmt: skip


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
@pytest.mark.parametrize("words", [("estimate", *PLAN), ("estimate", *PLAN, "--json"), ("--help",)])
def test_a_full_disk(here: Path, words: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = started(here, *words, stdout=full)
    assert (done.returncode, done.stderr) == (2, "error: cannot be written: No space left on device\n")


def test_closed_streams(here: Path) -> None:
    shell = f'{" ".join(PROGRAM)} "$@"'
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for closed, words, code, says in (
        (">&-", ["estimate", *PLAN], 2, "error: standard output is closed: the answer cannot be written\n"),
        ("<&-", ["estimate", "--plan", "-"], 2, "error: standard input: is closed\n"),
        ("2>&-", ["estimate", "--model", "none"], 2, ""),
    ):
        done = subprocess.run(["sh", "-c", f"{shell} {closed}", "sh", *words], capture_output=True, text=True,
                              check=False, cwd=here, env=environment)  # fmt: skip
        assert (done.returncode, done.stderr) == (code, says), closed


def test_an_interrupt_ends_with_one_line(here: Path) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "estimate", "--plan", "-", "--format", "jsonl"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=here, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (no threads; a shell's background jobs ignore it)
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write('{"model": "small.yaml", "hardware": "test-gpu"}\n')
    process.stdin.flush()
    assert process.stdout.readline().startswith("{")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, "", "interrupted\n")


def test_an_interrupt_that_a_library_made_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """pydantic does, of one that comes while it builds a class: it was told as an internal error."""

    def called(**_: Any) -> None:
        try:
            interrupts.stop(interrupts.InterruptedByUser())
        except interrupts.InterruptedByUser as error:
            raise ValueError("cannot be built") from error

    monkeypatch.setattr(cli, "_app", lambda _: called)
    with pytest.raises(interrupts.InterruptedByUser):
        cli.main(["estimate"])
    assert interrupts.stopped() is None


def test_the_same_input_gives_the_same_bytes(here: Path) -> None:
    """Whatever the hash seed, the locale, the time zone; how long it took goes to stderr."""
    answered = [["fit", *PLAN, "--json"], ["estimate", *PLAN], ["sweep", *PLAN, "--vary", "tp=1,2"],
                ["compare", *PLAN[:-1], "4,8", "--json"], ["explain", *PLAN, "--term", "all"]]  # fmt: skip
    code = f"from llmplan.cli.main import main; raise SystemExit(max(map(main, {answered})))"
    surroundings = ({"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"}, {"PYTHONHASHSEED": "2", "LC_ALL": "tr_TR.UTF-8"})
    one, two = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=here,
                       env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | each)
        for each in surroundings
    )  # fmt: skip
    assert one.stdout == two.stdout
    plain, timed = (started(here, "estimate", *PLAN, *more, stdout=subprocess.PIPE) for more in ((), ("--timings",)))
    assert plain.stdout in one.stdout
    assert timed.stdout == plain.stdout
    assert re.fullmatch(r"timings: [\d.]+ s, [\d.]+ s of processor time\n", timed.stderr)


def test_a_plan_that_is_written_keeps_the_mode_of_the_file(here: Path) -> None:
    (here / "kept.yaml").write_text("old")
    (here / "kept.yaml").chmod(0o640)
    for name in ("kept.yaml", "new.yaml"):
        assert started(here, "fit", *PLAN, "--write-plan", name, stdout=subprocess.PIPE).returncode == 0
    assert stat.S_IMODE((here / "kept.yaml").stat().st_mode) == 0o640
    (here / "usual").touch()
    assert (here / "new.yaml").stat().st_mode == (here / "usual").stat().st_mode
    assert [path.name for path in here.iterdir() if path.name.startswith(".")] == []


def test_a_time_limit(here: Path) -> None:
    endless = ["sweep", *PLAN, "--vary", "seq_len=1..100000+1", "--vary", "global_batch=1..100000+1", "--format", "csv"]
    done = started(here, "--time-limit", "2", *endless, stdout=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (2, "error: no answer in 2 s (--time-limit)\n")
    assert started(here, "--time-limit", "inf", "estimate", *PLAN, stdout=subprocess.DEVNULL).returncode == 0
    assert started(here, "--time-limit", "0", "estimate", *PLAN, stdout=subprocess.DEVNULL).returncode == 2
