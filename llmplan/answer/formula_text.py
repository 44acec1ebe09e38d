"""What a formula says of itself: sentence with the formula, unit of the result, its arguments, its references.

Read from its docstring, whose shape a test holds: the first paragraph says what it gives, with its
`[unit]`; `name: meaning [unit]` or `a, b [unit]` describes arguments; "as in `other`" hands over to
another formula of the same module; a sentence with a year, an arXiv number or a repository names a
source.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile
from textwrap import dedent
from types import FunctionType, ModuleType

from llmplan.records import dataclass

_UNIT = re.compile(r"\[([^\[\]]{1,20})\]")
_ELSEWHERE = re.compile(r"\b[Aa]s (?:in )?`(\w+)`")
_OPENING = re.compile(r"(?:^|(?<=[.;)] ))(\w+(?:, \w+)*)(?::| \[)")
_LISTED = re.compile(r"\b(\w+(?:, \w+)*):")
_BARE = re.compile(r"(?<=[.;,:\]\n]) ?(\w+(?:, \w+)*)\s*\[([^\[\]]{1,20})\]")
_MEANING = re.compile(r"\s*([^\[\];]*?)\s*\[([^\[\]]{1,20})\]")
_SENTENCE = re.compile(r"(?<=[a-z0-9)\]])\. (?=[A-Z])|\n\n")
_SOURCE = re.compile(r"\b(?:19|20)\d\d\b|arXiv|github\.com|[Mm]easured (?:on|with|by|kernels)|[Ff]itted on")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: what it means and its unit; both empty where the docstring does not say."""

    name: str
    meaning: str
    unit: str


@dataclass(frozen=True, slots=True)
class FormulaText:
    """A function in words.

    says: its first paragraph; formula: the second, where that is no description of arguments; unit: of the result;
    references: sentences that name a source.
    """

    name: str
    module: str
    says: str
    formula: str
    unit: str
    arguments: tuple[Argument, ...]
    references: tuple[str, ...]


@lru_cache(maxsize=512)
def formula_text(function: FunctionType) -> FormulaText:
    """The docstring of a function, parsed; empty strings for what it leaves out."""
    prose = _prose(function)
    says, *more = [" ".join(part.split()) for part in prose.split("\n\n") if part.strip()] or [""]
    names = parameters(function)
    formula = _before_arguments(more[0], names) if more else ""
    units = _UNIT.findall(says.partition("; ")[0]) or _UNIT.findall(says) or _UNIT.findall(formula)
    described = _described(prose, names, sys.modules[function.__module__])
    arguments = tuple(Argument(name, *described.get(name, ("", ""))) for name in names)
    sentences = _SENTENCE.split("\n\n".join([says, *more]))
    cited = (_before_arguments(sentence.strip(), names) for sentence in sentences)
    references = tuple(sentence.rstrip(":") for sentence in cited if _SOURCE.search(sentence))
    unit = units[-1] if units else ""
    return FormulaText(function.__name__, function.__module__, says, formula, unit, arguments, references)


def parameters(function: FunctionType) -> list[str]:
    """Names of its parameters."""
    code = function.__code__
    return list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def _prose(function: FunctionType) -> str:
    """The docstring without its example."""
    first, _, rest = (function.__doc__ or "").partition("\n")
    return f"{first.strip()}\n{dedent(rest)}".split(">>>")[0]


def _described(prose: str, names: Sequence[str], module: ModuleType) -> dict[str, tuple[str, str]]:
    """Argument to meaning and unit; those of a formula that is referred to count where nothing nearer is said."""
    found: dict[str, tuple[str, str]] = {}
    for other in _ELSEWHERE.findall(prose):
        target = getattr(module, other, None)
        if isinstance(target, FunctionType):
            found |= _own(_prose(target), names)
    return found | _own(prose, names)


def _before_arguments(paragraph: str, names: Sequence[str]) -> str:
    """A paragraph up to where it begins to describe arguments."""
    for match in _OPENING.finditer(paragraph):
        if set(match[1].split(", ")) <= set(names):
            return paragraph[: match.start()].strip()
    return paragraph.strip()


def _last_of(listing: str, names: Sequence[str]) -> list[str]:
    """The words at the end of a list that are names of arguments."""
    words = listing.split(", ")
    return list(takewhile(lambda word: word in names, reversed(words)))[::-1]


def _own(prose: str, names: Sequence[str]) -> dict[str, tuple[str, str]]:
    text = "\n" + "\n".join(" ".join(part.split()) for part in prose.split("\n\n"))
    bare = [(_last_of(match[1], names), "", match[2]) for match in _BARE.finditer(text)]
    starts = [(each, match) for match in _LISTED.finditer(text) if (each := _last_of(match[1], names))]
    meanings = []
    for number, (each, start) in enumerate(starts):  # a meaning goes up to its unit, and not into the next argument
        end = starts[number + 1][1].end() if number + 1 < len(starts) else len(text)
        last = end if number + 1 == len(starts) else end - 1 - len(", ".join(starts[number + 1][0]))
        if match := _MEANING.match(text, start.end(), last):
            meanings.append((each, match[1], match[2]))
    found: dict[str, tuple[str, str]] = {}
    for each, says, of in [*bare, *meanings]:
        for one in each:
            symbol = len(each) > 1 and len(says) <= 1  # `pp, vp, micro_batches: m` names the last one's symbol
            found[one] = ("" if symbol and one != each[-1] else says.strip(" ,."), of)
    return found
