"""The folder that documented commands run in, and a way to run them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import EXAMPLES, ROOT

from llmplan.cli.main import main

UPDATE = "LLMPLAN_UPDATE_DOCS"
_CLOCK = re.compile(r"\d[\d.]* m?s, \d+ a second\b")  # how long this machine took for a search: no figure of an answer
_SHELL = set("|<>;&$`*")


@pytest.fixture
def update() -> bool:
    """Whether stale parts are written anew instead of being complained about."""
    return bool(os.environ.get(UPDATE))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of docs/examples, with `docs` and `hardware_catalog` reachable as they are in the repository.

    Its name is what a config.json in it is called by.
    """
    folder = tmp_path / "my-model"
    shutil.copytree(EXAMPLES, folder)
    for name in ("docs", "hardware_catalog"):
        (folder / name).symlink_to(ROOT / name, target_is_directory=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("LLMPLAN_CATALOG", raising=False)
    for key, value in {"XDG_CONFIG_HOME": str(tmp_path / "none"), "COLUMNS": "100", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(key, value)
    return folder


@pytest.fixture
def run(folder: Path, capfd: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, str]]:
    """`run("llmplan estimate ...")`: exit code, and what a terminal would show, without folders of this machine."""

    def run(text: str) -> tuple[int, str]:
        code, out = _in_shell(text, folder) if _SHELL & set(_bare(text)) else _in_process(text, capfd)
        out = out.replace(f"{folder}{os.sep}", "").replace(f"{ROOT}{os.sep}", "")
        return code, _CLOCK.sub("...", out)

    return run


def _bare(text: str) -> str:
    """The text without what stands in quotes."""
    lexer = shlex.shlex(text, posix=False, punctuation_chars=True)
    lexer.whitespace_split = True
    return " ".join(token for token in lexer if not token.startswith(("'", '"')))


def _in_process(text: str, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capfd.readouterr()
    code = main(shlex.split(text)[1:])
    captured = capfd.readouterr()
    return code, captured.out + captured.err


def _in_shell(text: str, folder: Path) -> tuple[int, str]:
    """For pipes and redirections; `llmplan` is a script that calls this Python."""
    program = folder / "llmplan"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} -m llmplan "$@"\n'
    )
    program.chmod(0o755)
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        ["sh", "-c", text], capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    return done.returncode, done.stdout + done.stderr
