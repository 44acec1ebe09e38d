"""How good drafts are where nothing is given: `hardware_catalog/drafts.yaml`."""

from __future__ import annotations

from typing import Annotated

from llmplan.rules import Within
from llmplan.schema import Source, Spec


class DraftTable(Spec):
    """Acceptance by what drafts."""

    acceptance: dict[str, Annotated[float, Within(gt=0, lt=1)]]
    """Share of drafted tokens that are right where those before them were [1]."""
    spread: Annotated[float, Within(gt=0, lt=1)]
    """How far one that nobody gave may be off either way, in 80 of 100 cases [1]."""
    sources: Annotated[tuple[Source, ...], Within(min_length=1)]
    date: str
