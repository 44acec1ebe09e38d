"""Finds the entry that a vendor's, a driver's or a hub's name means: the one whose id or alias is spelled alike.

Names are compared by their pieces, runs of letters and runs of digits, so that `Llama 3.1 8B`, `llama-3_1-8b` and
`Llama3.1-8B` are one, and `qwen2-57b` is not `qwen2.5-7b`. Words that tell nothing of a kind of entry
(`hardware_catalog/names.yaml`) do not count. Nothing here is loaded where an id or alias is given as it is written.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from llmplan.records import replace
from llmplan.schema import Source, Spec

Pieces = tuple[str, ...]
_PIECE = re.compile(r"[a-z]+|[0-9]+")
_WORD = re.compile(r"[^\s_/,()\[\]:|-]+")
_BRACKETS = re.compile(r"\[([^\[\]]+)\]")
_BITS = re.compile(r"(?<=\d)[\s_-]?bits?\b")
_DOTS = re.compile(r"(?<=[a-z])\.(?=[a-z])")
_LIKE = 0.6  # how alike a suggested name must be


class Quantized(Spec):
    """Words of a model's name that state the precision of its weights."""

    tools: dict[str, str] = {}
    """Of a tool, with its usual precision."""
    bits: dict[str, str] = {}
    """Of a precision; they win over the tool's."""
    ask: tuple[str, ...] = ()
    """That leave the precision open."""
    beside: tuple[str, ...] = ()
    """That stand beside them and tell nothing."""


class NameRules(Spec):
    """How names of one kind are read: an item of `hardware_catalog/names.yaml`."""

    any_order: bool = False
    drop: tuple[str, ...] = ()
    """Words that tell nothing."""
    read_as: dict[str, str] = {}
    release_date: str | None = None
    """A pattern of words that only date a release."""
    quantized: Quantized = Quantized()
    sources: tuple[Source, ...] = ()

    def words(self, name: str) -> list[str]:
        """The words of a name, in lower case, without those that tell nothing."""
        found = [self.read_as.get(word, word) for word in words_of(name)]
        dated = re.compile(self.release_date) if self.release_date else None
        return [word for word in found if word not in self.drop and not (dated and dated.fullmatch(word))]

    def key(self, name: str) -> Pieces:
        """The pieces that name an entry; empty where every word tells nothing.

        >>> NameRules(drop=("nvidia",), any_order=True).key("NVIDIA A100 80GB PCIe")
        ('100', '80', 'a', 'gb', 'pcie')
        """
        return self.joined(self.words(name))

    def may_be(self, name: str, key: Pieces) -> bool:
        """Whether a name may have that key, without taking it apart: it holds the pieces, or starts alike, or has words
        that are read otherwise."""
        text = name.lower()
        if self.any_order:
            return all(piece in text for piece in key) or any(word in text for word in self.read_as)
        if text.startswith(key[0]) or "[" in text:
            return True
        first = _WORD.search(text)
        word = first[0].strip(".") if first is not None else ""
        return word in self.drop or word in self.read_as or word[:1].isdigit()

    def joined(self, words: Iterable[str]) -> Pieces:
        """Words as a key."""
        pieces = _PIECE.findall(" ".join(words))
        return tuple(sorted(pieces) if self.any_order else pieces)


@lru_cache(maxsize=4096)
def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case; of a line of lspci, those of the name that it has in brackets."""
    inside = [part for part in _BRACKETS.findall(name) if "/" not in part]
    text = _DOTS.sub(" ", _BITS.sub("bit", (inside[-1] if inside else name).lower()))
    return tuple(word for word in (found.strip(".") for found in _WORD.findall(text)) if word)


def spelled_alike(name: str, known: Mapping[str, str], rules: NameRules) -> str | None:
    """The id whose name has the same pieces; None where there is none, or more than one.

    known: ids and aliases -> id. Names with all pieces the same win over those without the words that tell nothing,
    and those over names that differ in the date of a release.
    """
    undated = replace(rules, release_date=None)
    for how in (replace(undated, drop=()), undated, rules):
        key = how.key(name)
        found = {entry for other, entry in known.items() if key and how.may_be(other, key) and how.key(other) == key}
        if len(found) == 1:
            return found.pop()
    return None


def suggestion(name: str, known: Iterable[str], rules: NameRules) -> str:
    """Text about the nearest names, compared without the words that tell nothing; empty where none is near."""
    short: dict[str, str] = {}
    for other in sorted(known, key=len):
        short.setdefault("-".join(rules.words(other)), other)
    near = difflib.get_close_matches("-".join(rules.words(name)), short, n=3, cutoff=_LIKE)
    return f"; did you mean {' or '.join(short[found] for found in near)}?" if near else ""


def clashes(known: Mapping[str, str], rules: NameRules) -> list[str]:
    """Names of different entries that cannot be told apart, for `catalog check`."""
    seen: dict[Pieces, str] = {}
    found = []
    undated = replace(rules, release_date=None)
    for name, entry in known.items():
        other = seen.setdefault(undated.key(name), entry)
        if other != entry:
            found.append(f"{name!r} of {entry} is spelled like a name of {other}")
    return found
