"""What a comparison sets side by side: every plan with every combination of the options that have several values."""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmplan.documents import Document
from llmplan.records import dataclass
from llmplan.search.choices import COMPARED
from llmplan.search.comparison import Alternative
from llmplan.search.subjects import check_names
from llmplan.setup.request import Request, holds_many, parts_of, request, requests

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog

Source = tuple[str | None, list[Document] | None]
"""A plan file's path and what it holds; None and None where there is no file."""


@dataclass(frozen=True, slots=True)
class _Plans:
    """A plan file, part by part, or the options alone; start: number of its first alternative."""

    path: str | None
    parts: Sequence[Document | None]
    many: bool
    start: int


class EveryAlternative:
    """Every plan with every combination of the lists, each made when it is asked for: there may be a million.

    Raises InputError for names that no catalogue knows, and with the faults of the first combination that has some.
    """

    def __init__(self, plans: Sequence[Source], given: Mapping[str, Any], catalog: Catalog) -> None:
        self._given = given
        self._lists = {name: _items(name, given[name]) for name in COMPARED if name in given}
        check_names(self._lists, catalog, download=bool(given.get("download")))
        self._combinations = math.prod(len(items) for items in self._lists.values())
        self._plans: list[_Plans] = []
        self._by_plan, self._count = len(plans) > 1, 0
        self._again: dict[int, int] = {}  # which of several that are called the same
        seen: dict[str, int] = {}
        for path, documents in plans:
            parts = [None] if documents is None else [part for one in documents for part in parts_of(one)]
            many = documents is not None and holds_many(documents)
            own = _Plans(path, parts, many, self._count)
            self._plans.append(own)
            for combination in range(self._combinations):
                own_options = self._words(combination)
                options = {**self._given, **own_options}
                found = [request(options)] if documents is None else requests(documents, options)
                for number, one in enumerate(found, 1):
                    name = self._name(own, number, own_options, one)
                    seen[name] = seen.get(name, 0) + 1
                    if seen[name] > 1:
                        self._again[self._count] = seen[name]
                    self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Alternative]:
        return map(self.__getitem__, range(self._count))

    def __getitem__(self, place: int, /) -> Alternative:
        own = self._plans[bisect_right(self._plans, place, key=lambda one: one.start) - 1]
        combination, number = divmod(place - own.start, len(own.parts))
        own_options, part = self._words(combination), own.parts[number]
        options = {**self._given, **own_options}
        one = request(options) if part is None else requests([part], options)[0]
        name, again = self._name(own, number + 1, own_options, one), self._again.get(place)
        return Alternative(name if again is None else f"{name} ({again})", self._label(own_options), one)

    def _words(self, combination: int) -> dict[str, Any]:
        """The options of a combination, the last list running fastest."""
        found: dict[str, Any] = {}
        for name, items in reversed(self._lists.items()):
            combination, item = divmod(combination, len(items))
            found[name] = items[item]
        return {name: found[name] for name in self._lists}

    def _label(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that set it apart."""
        return {name: value for name, value in options.items() if len(self._lists[name]) > 1}

    def _name(self, own: _Plans, number: int, options: Mapping[str, Any], one: Request) -> str:
        """What an alternative is called: its file where there are several, and the options that set it apart."""
        label, parts = self._label(options), []
        if own.path is not None and (self._by_plan or own.many or not label):
            stem = "standard input" if own.path == "-" else Path(own.path).stem
            parts.append(f"{stem} {number}" if own.many else stem)
        texts = ((name, str(value)) for name, value in label.items())
        parts += [
            f"{name} {text}" if text.isdigit() else Path(text).stem if "/" in text else text for name, text in texts
        ]
        return ", ".join(parts) or str(one.options.hardware or "plan")


def _items(name: str, value: Any) -> list[Any]:
    """`a,b` as two; a model's path with a comma is one, where it exists."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if not isinstance(value, str) or (name == "model" and os.path.exists(value)):
        return [value]
    return [item.strip() for item in value.split(",") if item.strip()] or [value]
