"""What a comparison sets side by side: every plan with every combination of the words that have several values."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmplan.documents import Document
from llmplan.errors import InputError
from llmplan.search.choices import COMPARED
from llmplan.search.comparison import Alternative
from llmplan.search.subjects import check_names
from llmplan.setup.request import Request, holds_many, request, requests

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog

MOST = 100_000  # all are held, to be ranked; `sweep` writes row by row

Source = tuple[str | None, list[Document] | None]
"""A plan file's path and what it holds; None and None where there is no file."""


def alternatives(plans: Sequence[Source], given: Mapping[str, Any], catalog: Catalog) -> Iterator[Alternative]:
    """Every plan with every combination of the lists; InputError for names that no catalogue knows."""
    lists = {name: _items(name, given[name]) for name in COMPARED if name in given}
    check_names(lists, catalog, download=bool(given.get("download")))
    many = {name for name, items in lists.items() if len(items) > 1}
    if math.prod(len(items) for items in lists.values()) * len(plans) > MOST:
        raise InputError(f"more than {MOST} alternatives are too many to rank; `sweep` writes row by row")
    seen: dict[str, int] = {}
    for path, documents in plans:
        for words in itertools.product(*lists.values()):
            chosen = dict(zip(lists, words, strict=True))
            said = {**given, **chosen}
            found = [request(said)] if documents is None else requests(documents, said)
            several = documents is not None and holds_many(documents)
            for number, one in enumerate(found, 1):
                label = {name: chosen[name] for name in chosen if name in many}
                name = _name(path, number if several else None, len(plans) > 1 or several, label, one)
                seen[name] = seen.get(name, 0) + 1
                yield Alternative(name if seen[name] == 1 else f"{name} ({seen[name]})", label, one)


def _items(name: str, value: Any) -> list[Any]:
    """`a,b` as two; a model's path with a comma is one, where it exists."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if not isinstance(value, str) or (name == "model" and os.path.exists(value)):
        return [value]
    return [item.strip() for item in value.split(",") if item.strip()] or [value]


def _name(path: str | None, number: int | None, by_plan: bool, label: Mapping[str, Any], one: Request) -> str:
    """What an alternative is called: its file where there are several, and the words that set it apart."""
    parts = []
    if path is not None and (by_plan or not label):
        stem = "standard input" if path == "-" else Path(path).stem
        parts.append(stem if number is None else f"{stem} {number}")
    texts = ((name, str(value)) for name, value in label.items())
    parts += [f"{name} {text}" if text.isdigit() else Path(text).stem if "/" in text else text for name, text in texts]
    return ", ".join(parts) or str(one.options.hardware or "plan")
