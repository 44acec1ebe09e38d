"""What a formula says of itself: sentence with the formula, unit of the result, its arguments, its references.

Read from its docstring, whose shape a test holds: the first paragraph says what it gives, with its
`[unit]`; `name: meaning [unit]` or `a, b [unit]` describes arguments; "as in `other`" hands over to
another formula of the same module; a sentence with a year, an arXiv number or a repository names a
source.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

_UNIT = re.compile(r"\[([^\[\]]{1,20})\]")
_ELSEWHERE = re.compile(r"\b[Aa]s (?:in )?`(\w+)`")
_SENTENCE = re.compile(r"(?<=[a-z0-9)])\. (?=[A-Z])")
_SOURCE = re.compile(r"\b(?:19|20)\d\d\b|arXiv|github\.com|[Mm]easured|[Ff]itted")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: what it means and its unit; both empty where the docstring does not say."""

    name: str
    meaning: str
    unit: str


@dataclass(frozen=True, slots=True)
class FormulaText:
    """A formula in words; says: its first paragraph; unit: of the result; references: sentences that name a source."""

    name: str
    module: str
    says: str
    unit: str
    arguments: tuple[Argument, ...]
    references: tuple[str, ...]


@lru_cache(maxsize=512)
def formula_text(function: Callable[..., Any]) -> FormulaText:
    """What the docstring of a function says; empty strings where it says nothing."""
    prose = _prose(function)
    says = " ".join(prose.split("\n\n")[0].split())
    unit = _UNIT.search(says) or _UNIT.search(prose)
    names = list(inspect.signature(function).parameters)
    described = _described(prose, names, sys.modules[function.__module__])
    arguments = tuple(Argument(name, *described.get(name, ("", ""))) for name in names)
    sentences = _SENTENCE.split(" ".join(prose.split()))
    references = tuple(sentence.strip() for sentence in sentences if _SOURCE.search(sentence))
    return FormulaText(function.__name__, function.__module__, says, unit[1] if unit else "", arguments, references)


def _prose(function: Callable[..., Any]) -> str:
    """The docstring without its example."""
    return (inspect.getdoc(function) or "").split(">>>")[0]


def _described(prose: str, names: Sequence[str], module: ModuleType) -> dict[str, tuple[str, str]]:
    """Argument to meaning and unit; those of a formula that is referred to count where nothing nearer is said."""
    found: dict[str, tuple[str, str]] = {}
    for other in _ELSEWHERE.findall(prose):
        target = getattr(module, other, None)
        if inspect.isfunction(target):
            found |= _own(_prose(target), names)
    return found | _own(prose, names)


def _own(prose: str, names: Sequence[str]) -> dict[str, tuple[str, str]]:
    if not names:
        return {}
    name = rf"\b(?:{'|'.join(map(re.escape, names))})\b"
    pattern = rf"({name}(?:, {name})*)(?::\s*([^\[\];]*?))?\s*\[([^\[\]]{{1,20}})\]"
    found: dict[str, tuple[str, str]] = {}
    for match in re.finditer(pattern, " ".join(prose.split())):
        for one in match[1].split(", "):
            found[one] = ((match[2] or "").strip(" ,."), match[3])
    return found
