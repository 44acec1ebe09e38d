"""Compact patterns of layers: `5 x sliding, full` and `3 x dense, rest moe`, to one word a layer.

Terms are separated by commas; `n x kind` stands for n equal layers. A pattern shorter than the
model repeats until the layers are full; a last term `rest kind` fills them instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_TERM = re.compile(r"(?:(?P<count>\d{1,6})\s*x\s+)?(?:(?P<rest>rest)\s+)?(?P<kind>[a-z0-9]+(?::\d{1,9})?)\Z")


def expand(pattern: str, layers: int) -> tuple[str, ...]:
    """One kind for each of `layers` layers; a ValueError where the pattern cannot be read or is too long.

    >>> expand("2 x sliding, full", 7)
    ('sliding', 'sliding', 'full', 'sliding', 'sliding', 'full', 'sliding')
    >>> expand("1 x dense, rest moe", 3)
    ('dense', 'moe', 'moe')
    """
    kinds: list[str] = []
    terms = [term.strip() for term in pattern.split(",")]
    for index, term in enumerate(terms):
        match = _TERM.match(term)
        if match is None or (match["rest"] and index != len(terms) - 1) or (match["rest"] and match["count"]):
            raise ValueError(f"pattern {pattern[:80]!r}: {term[:40]!r} is not '<n> x <kind>', '<kind>' or a last 'rest <kind>'")
        count = layers - len(kinds) if match["rest"] else int(match["count"] or 1)
        if len(kinds) + count > layers:
            raise ValueError(f"pattern {pattern[:80]!r} has more than {layers} layers")
        kinds += [match["kind"]] * count
    if not kinds:
        raise ValueError(f"pattern {pattern[:80]!r} has no layers")
    return tuple(kinds[index % len(kinds)] for index in range(layers))


def compact(kinds: Sequence[str]) -> str:
    """The shortest pattern that `expand` turns into `kinds` again.

    >>> compact(["sliding", "sliding", "full", "sliding"])
    '2 x sliding, full'
    >>> compact(["dense", "moe", "moe"])
    'dense, 2 x moe'
    """
    for period in range(1, len(kinds) + 1):
        if all(kind == kinds[index % period] for index, kind in enumerate(kinds)):
            kinds = kinds[:period]
            break
    runs: list[tuple[int, str]] = []
    for kind in kinds:
        if runs and runs[-1][1] == kind:
            runs[-1] = (runs[-1][0] + 1, kind)
        else:
            runs.append((1, kind))
    return ", ".join(kind if count == 1 else f"{count} x {kind}" for count, kind in runs)
