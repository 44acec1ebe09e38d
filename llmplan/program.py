"""The program `llmplan`, from its first line: an interrupt by the keyboard ends it with one line, at any moment.

Little is imported here before that holds.
"""

import os
import signal

INTERRUPTED = 130


class InterruptedByUser(BaseException):
    """Raised by Ctrl-C; not a KeyboardInterrupt, to which libraries have answers of their own."""


def _interrupt(number: int, frame: object) -> None:
    raise InterruptedByUser


def run() -> None:
    """Entry point of the installed program."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else whoever started it wants none
            signal.signal(signal.SIGINT, _interrupt)
        from llmplan.cli.main import run as begin

        begin()
    except (InterruptedByUser, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            os.write(2, b"interrupted\n")
        finally:
            os._exit(INTERRUPTED)  # what waits in buffers would be half an answer
