"""What notebooks and services call: `llmplan.estimate` and `llmplan.validate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmplan.answer.answer import Answer, answer
from llmplan.answer.resolve import Plan, plan_from, resolve
from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.errors import Fault, InputError
from llmplan.setup.plan import Setup

if TYPE_CHECKING:
    from llmplan.answer.validate import Validation
    from llmplan.setup.options import PlanOptions


def estimate(
    plan: Plan | PlanOptions | Mapping[str, Any] | str | Path, *, catalog: Catalog | None = None
) -> Answer:  # fmt: skip
    """Memory, time, bottleneck and cost of a plan, given as such, as words, or as a file; InputError with every fault.

    `estimate({"model": "llama-3.1-8b", "hardware": "h100", "devices": 8}).result.memory.peak_bytes.value`
    """
    catalog = catalog or open_catalog()
    if isinstance(plan, (str, Path)):
        return answer(_read(str(plan), catalog), catalog)
    return answer(plan if isinstance(plan, Setup) else plan_from(plan, catalog=catalog), catalog)


def _read(path: str, catalog: Catalog) -> Plan:
    """The one plan of a file."""
    from llmplan.files import read_documents
    from llmplan.setup.request import requests

    found = requests(read_documents(path), {})
    if len(found) != 1:
        raise InputError(Fault(f"holds {len(found)} plans, and one is estimated at a time", path))
    return resolve(found[0], catalog)


def validate(path: str | Path, *, catalog: Catalog | None = None) -> Validation:
    """Predictions beside every measured run of a CSV (docs/measurements.md), and how far off they are."""
    from llmplan.answer.rows import read_rows
    from llmplan.answer.validate import validate as predict
    from llmplan.answer.validate import validation

    return validation(predict(read_rows(path), catalog or open_catalog()))
