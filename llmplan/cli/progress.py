"""What is being worked on, and how far it is: on stderr, on a terminal, once it takes over a second."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

T = TypeVar("T")
PATIENCE = 1.0
"""Until something is shown [s]."""


class ProgressLine:
    """A line that appears when its time comes; it counts before too."""

    def __init__(self, what: str, total: int | None) -> None:
        self.what, self.total, self.done = what, total, 0
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._lock, self._ended = threading.Lock(), False
        self._timer = threading.Timer(PATIENCE, self._start)
        self._timer.daemon = True
        self._timer.start()

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        self.done += count
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = [SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
        if self.total is not None:
            columns.insert(2, MofNCompleteColumn())
        with self._lock:
            if self._ended:  # while rich was loaded
                return
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self.what, total=self.total, completed=self.done)
            self._bar.start()

    def stop(self) -> None:
        """Nothing is left on the terminal."""
        self._timer.cancel()
        with self._lock:
            self._ended = True
            if self._bar is not None:
                self._bar.stop()
                self._bar = None


@contextmanager
def progress(what: str, total: int | None = None, *, streams: bool = False) -> Iterator[ProgressLine | None]:
    """Says what goes on within it; None where nobody would see that. streams: answers are written meanwhile, and a line
    between them would be in the way where stdout is the same terminal."""
    if not sys.stderr.isatty() or (streams and sys.stdout.isatty()):
        yield None
        return
    shown = ProgressLine(what, total)
    try:
        yield shown
    finally:
        shown.stop()


def counted(things: Iterable[T], shown: ProgressLine | None) -> Iterator[T]:
    """The things, each of which is done when the next is asked for."""
    for thing in things:
        yield thing
        if shown is not None:
            shown.advance()
