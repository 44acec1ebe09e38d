"""Help fits on two screens and its examples run; a shell completes commands, options and names."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llmplan.cli.help import examples_of
from llmplan.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[2]
SCREEN = 50  # lines
GROUPS = {"catalog": ("list", "show", "check", "import-prices")}
ALL = [[name, *rest] for name in COMMANDS for rest in ([[one] for one in GROUPS[name]] if name in GROUPS else [[]])]
THE_ANSWER_MAY_BE_NO = (0, 3)


def help_of(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], *more: str) -> str:
    monkeypatch.setenv("COLUMNS", "100")
    assert main([*words, *(more or ("--help",))]) == 0
    return capsys.readouterr().out


def examples(text: str) -> list[str]:
    """Those of a help, lines that go on joined."""
    block = text.partition("Examples\n")[2].partition("\n\n")[0]
    return [" ".join(one.split()) for one in block.replace("\\\n", "").splitlines()]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_starts_with_three_examples_and_fits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    text = help_of(capsys, monkeypatch, words)
    shown = examples(text)
    assert len(shown) == 3
    assert all(one.startswith(f"llmplan {' '.join(words)}") for one in shown)
    assert len(text.splitlines()) <= 2 * SCREEN
    assert max(map(len, text.splitlines())) <= 100
    whole = help_of(capsys, monkeypatch, words, "--help-all")
    assert len(whole) > len(text) or words[0] not in ("estimate", "fit", "compare")


def test_the_long_help_has_every_option(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    short, whole = (help_of(capsys, monkeypatch, ["estimate"], one) for one in ("--help", "--help-all"))
    assert "--tp N" in short
    assert "--offload-parameters" not in short
    assert "--offload-parameters" in whole
    assert "more options" in short


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "docs" / "examples", tmp_path / "docs" / "examples")
    for name in ("tests", "hardware_catalog"):
        (tmp_path / name).symlink_to(ROOT / name, target_is_directory=True)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "docs"], ["commit", "-qm", "plans"]):
        subprocess.run([*git, *words], check=True, cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@pytest.mark.usefixtures("few_models")
@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_examples_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path, words: list[str]
) -> None:
    for example in examples(help_of(capsys, monkeypatch, words)):
        code = main(shlex.split(example)[1:])
        assert code in THE_ANSWER_MAY_BE_NO, (example, capsys.readouterr().err)


def test_examples_are_taken_out_of_a_docstring() -> None:
    assert examples_of("Fits.\n\nllmplan fit --x\n\nllmplan fit\n") == ("Fits.", ["llmplan fit --x", "llmplan fit"])


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **more}


OFFERED = {
    "llmplan expl": ["explain"],
    "llmplan estimate --mod": ["--model"],
    "llmplan estimate --model gpt3-17": ["gpt3-175b"],
    "llmplan estimate --stack vll": ["vllm"],
    "llmplan estimate --recompute ": ["none", "selective", "full"],
    "llmplan launch --for torcht": ["torchtitan", "torchtune"],
    "llmplan catalog im": ["import-prices"],
    "llmplan compare --by mf": ["mfu"],
    "llmplan fit --objective la": ["latency"],
}
ASK = """\
import os, sys
from llmplan.cli.main import main
for line in sys.argv[1:]:
    os.environ |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - (not line.endswith(" ")))}
    try:
        main([])
    except SystemExit:
        print("end of what is offered")
"""


def test_a_shell_completes() -> None:
    """As bash asks, through variables; all questions in one process."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, *OFFERED], capture_output=True, text=True, check=True,
        env=environment(_LLMPLAN_COMPLETE="complete_bash"),
    )  # fmt: skip
    assert done.stderr == ""
    said = [part.split() for part in done.stdout.split("end of what is offered\n")]
    assert dict(zip(OFFERED, said, strict=False)) == OFFERED


def test_completion_is_installed(tmp_path: Path) -> None:
    script = f"{shlex.quote(sys.executable)} -m llmplan --install-completion; exit $?"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False,
        env=environment(HOME=str(tmp_path), SHELL="/bin/bash"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "bash completion installed in" in done.stdout
    assert (tmp_path / ".bash_completions" / "llmplan.sh").is_file()
