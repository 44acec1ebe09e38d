"""Which version of a stack a plan means: one rule for training stacks and serving engines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol, TypeVar

_FIRST_YEAR = 2000
"""From here on a version's first number is a year: no software has come so far."""
_HASH = re.compile(r"\b(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{7,40}\b")
_NUMBERS = re.compile(r"\d+(?:[.-]\d+)*")


class Dated(Protocol):
    """A version of an entry: its name, when it was current, what else it is called."""

    @property
    def version(self) -> str:
        """As its makers write it."""

    @property
    def date(self) -> str:
        """YYYY-MM."""

    @property
    def also(self) -> tuple[str, ...]:
        """Other names."""


V = TypeVar("V", bound=Dated)


def choose(versions: Sequence[V], asked: str | None) -> V | None:
    """The version of an entry that holds for what was asked; versions: the oldest first.

    The one of that name; else the newest that is not newer, by number, or by date where a date or a year is asked,
    of the same leading word (`MLPerf v5.0` takes `MLPerf v4.1`, and `0.9` never does); the oldest where all are
    newer; the newest where nothing is asked or the text has no number in it. None where the entry tells no versions
    apart.
    """
    if asked and (same := named(versions, asked)) is not None:
        return same
    word, numbers = version_key(asked or "")
    if word not in {version_key(one.version)[0] for one in versions}:
        word = ""  # no name of a series: `release 24.09`, `sglang:v0.5.12`
    series = [one for one in versions if version_key(one.version)[0] == word] or list(versions)
    if not series or not numbers:
        return series[-1] if series else None
    dated = not word and numbers[0] >= _FIRST_YEAR
    keys = [version_key(one.date)[1][: len(numbers)] if dated else version_key(one.version)[1] for one in series]
    older = [one for key, one in zip(keys, series, strict=True) if key <= numbers]
    return older[-1] if older else series[0]


def named(versions: Sequence[V], asked: str) -> V | None:
    """The version that is called so; an image (`name:tag`) may be called by its name, where tags count otherwise."""
    wanted = asked.strip().lower()
    for one in versions:
        names = (one.version.lower(), *(word.lower() for word in one.also))
        if wanted in names or (":" in wanted and wanted.partition(":")[0] in names):
            return one
    return None


def version_key(text: str) -> tuple[str, tuple[int, ...]]:
    """A version as its leading word and its numbers, for comparison; a commit's hash is no number.

    >>> version_key("0.14.0"), version_key("v25.04.02"), version_key("MLPerf v4.1"), version_key("nightly-5b8c30d6")
    (('', (0, 14, 0)), ('', (25, 4, 2)), ('mlperf', (4, 1)), ('nightly', ()))
    """
    clean = _HASH.sub("", text.strip().lower())
    match = _NUMBERS.search(clean)
    words = re.findall(r"[a-z]+", clean if match is None else clean[: match.start()])
    word = next((one for one in words if one != "v"), "")
    return word, () if match is None else tuple(int(part) for part in re.split(r"[.-]", match[0]))
