"""Tables and styled text of rich on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def on_stdout(width_of_pipe: int = 0) -> Iterator[Console]:
    """A console whose lines go to stdout at the end, without the blanks that rich pads them with.

    width_of_pipe: the least number of columns where no terminal limits them.
    """
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, width_of_pipe)
    with console.capture() as captured:
        yield console
    for line in captured.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")
