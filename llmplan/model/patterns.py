"""Compact patterns of layers: `5 x sliding, full` and `3 x dense, rest moe`, to one word a layer.

Terms are separated by commas; `n x kind` stands for n equal layers and `n x (a, b)` for n pairs.
A pattern shorter than the model repeats until the layers are full; a last term `rest kind` fills
them instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_TERM = re.compile(
    r"(?:(?P<count>\d{1,6})\s*x\s+)?(?:(?P<rest>rest)\s+)?(?P<kind>[a-z0-9_]+(?::\d{1,9}(?:/\d{1,9}){0,2})?)\Z"
)
_GROUP = re.compile(r"(\d{1,6})\s*x\s*\(([^()]*)\)")
MAX_LENGTH = 100_000  # characters, before and after groups are written out
LONGEST_GROUP = 10  # kinds in a group that `compact` looks for


def expand(pattern: str, layers: int) -> tuple[str, ...]:
    """One kind for each of `layers` layers; a ValueError where the pattern cannot be read or is too long.

    >>> expand("2 x sliding, full", 7)
    ('sliding', 'sliding', 'full', 'sliding', 'sliding', 'full', 'sliding')
    >>> expand("1 x dense, rest moe", 3)
    ('dense', 'moe', 'moe')
    >>> expand("2 x (mamba2, none), full", 5)
    ('mamba2', 'none', 'mamba2', 'none', 'full')
    """
    shown = f"pattern {pattern[:80]!r}"
    kinds: list[str] = []
    terms = [term.strip() for term in _ungroup(pattern).split(",")]
    for index, term in enumerate(terms):
        match = _TERM.match(term)
        if match is None or (match["rest"] and (match["count"] or index != len(terms) - 1)):
            raise ValueError(f"{shown}: {term[:40]!r} is not '<n> x <kind>', '<kind>' or a last 'rest <kind>'")
        count = layers - len(kinds) if match["rest"] else int(match["count"] or 1)
        if len(kinds) + count > layers:
            raise ValueError(f"{shown} has more than {layers} layers")
        kinds += [match["kind"]] * count
    if not kinds:
        raise ValueError(f"{shown} has no layers")
    return tuple(kinds[index % len(kinds)] for index in range(layers))


def _ungroup(pattern: str) -> str:
    """Groups written out."""
    if len(pattern) > MAX_LENGTH:
        raise ValueError(f"pattern {pattern[:80]!r} is too long")
    match = _GROUP.search(pattern)
    while match is not None:
        if int(match[1]) * len(match[2]) > MAX_LENGTH:
            raise ValueError(f"pattern {pattern[:80]!r} is too long")
        pattern = pattern[: match.start()] + ", ".join([match[2]] * int(match[1])) + pattern[match.end() :]
        match = _GROUP.search(pattern)
    return pattern


def numbers_of(word: str) -> tuple[int, ...]:
    """The numbers behind a kind.

    >>> numbers_of("full:24/4"), numbers_of("full")
    ((24, 4), ())
    """
    text = word.partition(":")[2]
    return tuple(int(number) for number in text.split("/")) if text else ()


def compact(kinds: Sequence[str]) -> str:
    """A short pattern that `expand` turns into `kinds` again.

    >>> compact(["sliding", "sliding", "full", "sliding"])
    '2 x sliding, full'
    >>> compact(["dense", "moe", "moe"])
    'dense, 2 x moe'
    >>> compact(["a", "b", "a", "b", "c", "a"])
    '2 x (a, b), c'
    """
    if not kinds:
        return ""
    period = next(n for n in range(1, len(kinds) + 1) if all(kinds[i] == kinds[i % n] for i in range(len(kinds))))
    terms, at = [], 0
    while at < period:
        size, times = max(
            ((size, _repeats(kinds, at, size, period)) for size in range(1, LONGEST_GROUP + 1)),
            key=lambda found: (found[0] * found[1] if found[1] > 1 else 1, -found[0]),
        )
        size = size if times > 1 else 1
        group = ", ".join(kinds[at : at + size])
        terms.append(group if times <= 1 else f"{times} x {group}" if size == 1 else f"{times} x ({group})")
        at += size * max(times, 1)
    return ", ".join(terms)


def _repeats(kinds: Sequence[str], at: int, size: int, end: int) -> int:
    """How often the `size` kinds at `at` follow each other before `end`."""
    times = 1
    while (
        at + (times + 1) * size <= end and kinds[at + times * size : at + (times + 1) * size] == kinds[at : at + size]
    ):
        times += 1
    return times if at + size <= end else 0
