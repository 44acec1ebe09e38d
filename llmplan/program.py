"""The program `llmplan`, from its first line: an interrupt by the keyboard ends it with one line, at any moment.

Nothing that takes time is imported before that holds: `signal` would make enums first of what `_signal` has.
"""

import os
import sys
from _signal import SIG_IGN, SIGINT, default_int_handler, getsignal, signal  # type: ignore[import-not-found]

from llmplan.interrupts import InterruptedByUser, stop

INTERRUPTED = 130


def _interrupt(number: int, frame: object) -> None:
    stop(InterruptedByUser())


def _leave(number: int = SIGINT, frame: object = None) -> None:
    """Ends the program; what waits in buffers would be half an answer."""
    signal(SIGINT, SIG_IGN)
    try:
        os.write(2, b"interrupted\n")
    finally:
        os._exit(INTERRUPTED)


def _dropped(error: "sys.UnraisableHookArgs") -> None:
    """An interrupt that was raised where Python drops errors, as in a callback of an import, ends the program too."""
    if issubclass(error.exc_type, InterruptedByUser):
        _leave()
    sys.__unraisablehook__(error)


def run() -> None:
    """Entry point of the installed program."""
    ours = getsignal(SIGINT) is default_int_handler  # else whoever started it wants none
    if ours:
        signal(SIGINT, _leave)  # nothing is to be put back yet
        sys.unraisablehook = _dropped
    from llmplan.cli.main import run as begin

    try:
        if ours:
            signal(SIGINT, _interrupt)
        _end(begin())
    except (InterruptedByUser, KeyboardInterrupt):
        _leave()


def _end(code: int) -> None:
    """Ends the process as it stands: to take apart all that was imported is a twentieth of a cold start."""
    from contextlib import suppress
    from threading import active_count

    if active_count() > 1 or sys.getprofile() is not None:  # somebody has something left to do
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # closed by whoever started the program
            stream.flush()
    os._exit(code)
