"""Tables and styled text of rich on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
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


def print_rows(console: Console, rows: Iterable[tuple[str, str]], *, gap: int = 2, style: str | None = None) -> None:
    """A line for each name and its text; what is too long is wrapped beside the name."""
    from rich.table import Table

    grid = Table.grid(padding=(0, gap, 0, 0))
    grid.add_column(no_wrap=True, style=style)
    grid.add_column()
    for row in rows:
        grid.add_row(*row)
    console.print(grid)
