"""Runs a case in this process, within limits, and says what is wrong with what came out."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import typer.main

from llmplan.cli.main import main
from llmplan.errors import InputError
from tests.fuzz import rules
from tests.fuzz.cases import Case

PROCESSOR, WALL, MEMORY = 5.0, 60.0, 2**30  # s, s, bytes of address space
ANSWERED, BAD_INPUT, NEGATIVE = 0, 2, 3
SHOWN = 3000


class Fault(NamedTuple):
    """What is wrong with a case; kind and where are its class."""

    kind: str
    where: str
    details: str


@dataclass
class Outcome:
    """answered: whether a plan was, or an entry or a table read."""

    code: Any
    answered: bool
    seconds: float
    fault: Fault | None


class OutOfTime(BaseException):
    """Raised where a limit of time is passed; nothing on the way catches it."""


class Stdin(io.TextIOWrapper):
    def fileno(self) -> int:
        raise OSError  # there is none to select


def prepare() -> Path:
    """A folder to work in, limits, and a home that is not the user's."""
    folder = Path(tempfile.mkdtemp(prefix="llmplan-fuzz-"))
    os.environ |= {
        "HOME": str(folder / "home"),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "PYDANTIC_DISABLE_PLUGINS": "__all__",
    }
    for name in ("XDG_CONFIG_HOME", "LLMPLAN_CATALOG", "GITHUB_STEP_SUMMARY", "HF_HOME"):
        os.environ.pop(name, None)
    typer.main.get_command = _kept(typer.main.get_command)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, _stop)
    signal.signal(signal.SIGALRM, _stop)
    return folder


def _kept(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Commands made once: a hundred options are what a run costs most. What one run was given is taken out of them."""
    found: dict[int, tuple[Any, dict[str, Any]]] = {}

    def given(command: Any) -> dict[str, Any]:
        cells = dict(zip(command.callback.__code__.co_freevars, command.callback.__closure__ or (), strict=True))
        return cells["use_params"].cell_contents if "use_params" in cells else {}

    def get(app: Any) -> Any:
        if id(app) not in found:
            command = make(app)
            if hasattr(command, "commands") or not given(command):
                return command
            found[id(app)] = command, dict(given(command))
        command, fresh = found[id(app)]
        given(command).update(fresh)
        return copy.copy(command)  # a run takes away options that it does not need

    return get


def _stop(number: int, frame: Any) -> None:
    raise OutOfTime


@contextlib.contextmanager
def limited() -> Iterator[None]:
    signal.setitimer(signal.ITIMER_PROF, PROCESSOR, 0.5)  # again: what is raised in a callback of C code is lost
    signal.setitimer(signal.ITIMER_REAL, WALL)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def run(case: Case, folder: Path) -> Outcome:
    """Runs a case in an empty folder."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for name, raw in case.files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(raw)
    os.chdir(work)
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", write_through=True) for _ in range(2))
    kept = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = Stdin(io.BytesIO(case.stdin), "utf-8"), out, err
    code, fault, start = None, None, time.process_time()
    try:
        with limited():
            code = main([*case.args, "--debug"])
    except SystemExit as error:
        code = error.code
    except BaseException as error:
        fault = _raised(error)
    finally:
        sys.stdin, sys.stdout, sys.stderr = kept
    seconds = time.process_time() - start
    said, complaint = (one.buffer.getvalue().decode("utf-8", "replace") for one in (out, err))  # type: ignore[attr-defined]
    answered = code in (ANSWERED, NEGATIVE) or '"result"' in said or '"llmplan.summary' in said
    return Outcome(code, answered, seconds, fault or _judged(case, code, said, complaint))


def _raised(error: BaseException) -> Fault:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/llmplan/" in frame.filename] or frames
    where = f"{ours[-1].filename.rpartition('/llmplan/')[2]}:{ours[-1].lineno} ({type(error).__name__})"
    return Fault("hang" if isinstance(error, OutOfTime) else "crash", where, traceback.format_exc()[-SHOWN:])


def _judged(case: Case, code: Any, said: str, complaint: str) -> Fault | None:
    """What is wrong with the way a run ended, and with its answer."""
    fault = None
    if code not in (ANSWERED, BAD_INPUT, NEGATIVE):
        fault = Fault("exit code", str(code), complaint[-SHOWN:])
    elif code == BAD_INPUT and not complaint.strip():
        fault = Fault("silent", "exit code 2 without a message", said[:SHOWN])
    elif "\x1b[31m" in said + complaint:
        fault = Fault("terminal", "an escape sequence of the input is passed on", (said + complaint)[:SHOWN])
    elif said.strip() and (code != BAD_INPUT or "jsonl" in case.args):
        try:
            with limited():
                broken = sorted(set(_broken(case, code, list(_answers(case.args, said)))))
            fault = Fault("rule", broken[0], "\n".join([*broken, str(case.words), said[:SHOWN]])) if broken else None
        except ValueError as error:
            fault = Fault("json", str(error)[:40], said[:SHOWN])
        except BaseException as error:
            fault = _raised(error)
    return fault


def _broken(case: Case, code: Any, found: list[Any]) -> Iterator[str]:
    """Rules that the answers break."""
    yield from rules.judge(found)
    if case.words is not None and code == ANSWERED:
        try:
            yield from (rules.of_ways if case.kind == "ways" else rules.of_physics)(case.words, found[0])
        except InputError as error:
            yield f"refused when asked in another way: {error}"[:90]


def _answers(args: list[str], said: str) -> Iterator[Any]:
    """What stands in JSON on stdout; a ValueError where it should and does not, or is not finite."""

    def refuse(token: str) -> Any:
        raise ValueError(f"JSON holds {token}")

    if {"--help", "--help-all", "--version"} & set(args):
        return
    if "--json" in args or ("--format" in args and args[args.index("--format") + 1] == "json"):
        yield json.loads(said, parse_constant=refuse)
    elif "jsonl" in args or ("--summary" in args and "estimate" in args):
        yield from (json.loads(line, parse_constant=refuse) for line in said.splitlines())
