"""What notebooks and services call: `llmplan.estimate`, `estimate_many`, `to_columns` and `validate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmplan.answer.answer import Answer, answer
from llmplan.answer.data import to_data
from llmplan.answer.resolve import Plan, plan_from, resolve
from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.errors import Fault, InputError
from llmplan.setup.options import PlanOptions
from llmplan.setup.plan import Setup
from llmplan.setup.request import Request, request, requests

if TYPE_CHECKING:
    from llmplan.answer.summary import PlanSummary
    from llmplan.answer.validate import Validation

BATCH = 4096
"""Plans that are worked out at once."""


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


def estimate_many(
    plans: Iterable[Plan | PlanOptions | Mapping[str, Any]], *, catalog: Catalog | None = None, summary: bool = False
) -> Iterator[Answer | PlanSummary | InputError]:
    """The answers to many plans, in their order, a batch at a time: what shares model and machine goes together.

    A plan that cannot be answered has its InputError in its place. summary: the main figures alone, ten times as fast.
    """
    from llmplan.answer.many import answers

    opened, waiting = catalog or open_catalog(), iter(plans)
    while batch := list(islice(waiting, BATCH)):
        yield from answers([_wanted(one) for one in batch], opened, summary=summary)


def _wanted(plan: Plan | PlanOptions | Mapping[str, Any]) -> Request | Plan | InputError:
    if isinstance(plan, Setup):
        return plan
    try:
        return Request(plan) if isinstance(plan, PlanOptions) else request(plan)
    except InputError as error:
        return error


def to_columns(answers: Iterable[Any]) -> dict[str, list[Any]]:
    """Answers as a table, for a data frame: `pandas.DataFrame(llmplan.to_columns(answers))`.

    A column for each figure, named by the keys that lead to it in JSON, joined by dots; None where a row has none. A
    plan that was refused has its faults under `error`. What is a list (assumptions, warnings) is left out.
    """
    rows = [dict(_cells(one)) for one in answers]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _cells(answer: Any) -> Iterator[tuple[str, Any]]:
    waiting = [("", {"error": str(answer)} if isinstance(answer, InputError) else to_data(answer))]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{path}.{name}" if path else name, part) for name, part in reversed(value.items())]
        elif not isinstance(value, list):
            yield path, value


def _read(path: str, catalog: Catalog) -> Plan:
    """The one plan of a file."""
    from llmplan.files import read_documents

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
