"""Runs commands side by side; prints what each says, one after the other, and fails where one fails.

    python .ci/side_by_side.py SECONDS COMMAND [COMMAND ...]

After so many seconds whatever still runs is ended, and a Python in which `faulthandler` is on says where it was.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIMED_OUT = 124
LAST_WORDS = 5  # s between the signal that asks where a process is and the one that it cannot refuse
PAUSE = 0.5  # s


def started(command: str, output: Path) -> subprocess.Popen[bytes]:
    """A command in a session of its own, so that all it starts can be ended with it."""
    with output.open("wb") as file:
        return subprocess.Popen(
            shlex.split(command), stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )


def end(process: subprocess.Popen[bytes], *signals: int) -> None:
    """Sends signals to a command and all that it started."""
    for number in signals:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        time.sleep(LAST_WORDS if number != signal.SIGKILL else 0.0)


def followed(process: subprocess.Popen[bytes], output: Path, deadline: float) -> int:
    """Prints what a command says until it ends; its exit code."""
    code = None
    with output.open("rb") as file:
        while code is None:
            code = process.poll()
            if code is None and time.monotonic() > deadline:
                end(process, signal.SIGABRT, signal.SIGKILL)
                process.wait()
                code = TIMED_OUT
            sys.stdout.buffer.write(file.read())
            sys.stdout.flush()
            if code is None:
                time.sleep(PAUSE)
    return code


def main(limit: float, commands: list[str]) -> int:
    """Runs the commands; the exit code of the first that fails, 0 where none does."""
    # a shell's background jobs ignore Ctrl-C, and what they start would too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    start = time.monotonic()
    codes = []
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, str(number)) for number in range(len(commands))]
        processes = [started(command, output) for command, output in zip(commands, outputs, strict=True)]
        try:
            for command, process, output in zip(commands, processes, outputs, strict=True):
                print(f"==== {command}", flush=True)
                codes.append(followed(process, output, start + limit))
                print(f"==== {command}: exit code {codes[-1]}, {time.monotonic() - start:.0f} s", flush=True)
        finally:
            for process in processes:
                if process.poll() is None:
                    end(process, signal.SIGKILL)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
