"""The name under which a model of the catalogue is published."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from llmplan.answer.resolve import AnyPlan
from llmplan.catalog.catalog import Catalog
from llmplan.catalog.entries import read_entry
from llmplan.files import builtin


@lru_cache(maxsize=1)
def checkpoints() -> dict[str, str]:
    """Id of the catalogue -> id of the Hub."""
    data: Any = read_entry(builtin() / "checkpoints.yaml").data
    found: dict[str, str] = data["checkpoints"]
    return found


def checkpoint(plan: AnyPlan, catalog: Catalog) -> tuple[str, bool]:
    """What a framework loads, and whether it surely exists: the Hub's id, the path or id that was given."""
    model = plan.options.model
    if isinstance(model, str):
        entry = catalog.plain("models", model)
        if entry is None:
            return model, True
        return (known, True) if (known := checkpoints().get(entry.stem)) else (entry.stem, False)
    return plan.model.name or "MODEL", False
