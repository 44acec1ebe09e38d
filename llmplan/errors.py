"""The one exception that a user may see, and the faults it carries."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from llmplan.records import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with the input, and what to do about it."""

    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        if self.file is None:
            return self.message
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"


class InputError(Exception):
    """Input that cannot be planned: carries every fault found, not only the first.

    The command line prints the faults on stderr, one a line, and exits with 2.
    """

    def __init__(self, faults: str | Fault | Iterable[Fault]) -> None:
        if isinstance(faults, str):
            faults = Fault(faults)
        if isinstance(faults, Fault):
            faults = (faults,)
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


def did_you_mean(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Text to append to an error about an unknown word: the nearest known ones, or nothing.

    likeness: how alike they must be, between 0 and 1 (`difflib.SequenceMatcher.ratio`).
    """
    near = difflib.get_close_matches(word.lower(), list(known), n=3, cutoff=likeness)
    return f"; did you mean {' or '.join(near)}?" if near else ""
