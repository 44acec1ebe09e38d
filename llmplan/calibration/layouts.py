"""The table of published layouts, from the measured trainings: what `estimate` and `fit` name beside their own."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from llmplan.answer.rows import Row, read_rows, row_plan
from llmplan.calibration.runs import FILES
from llmplan.catalog.catalog import Catalog
from llmplan.errors import InputError
from llmplan.training.plan import TrainingPlan
from llmplan.training.published import COLUMNS, FILE

PATH = Path("hardware_catalog") / FILE
_DEGREES = ("tp", "pp", "vp", "cp", "ep", "dp")
_BESIDE = ("zero", "micro_batch", "recompute")


def layouts_table(catalog: Catalog) -> str:
    """The CSV: of each model, device and number of devices the layout that took least time a token."""
    best: dict[tuple[int, str, int], tuple[float, list[str]]] = {}
    for row in read_rows(FILES[0]):
        plan, pace = _planned(row, catalog), _seconds_a_token(row)
        if plan is None or pace is None or plan.workload.workload == "lora":
            continue
        key = plan.model.parameters, plan.device.id, plan.devices
        if key not in best or pace < best[key][0]:
            best[key] = pace, [plan.stack.id, _said(row), row.publication]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows([*key, *layout] for key, (_, layout) in sorted(best.items()))
    return text.getvalue()


def _planned(row: Row, catalog: Catalog) -> TrainingPlan | None:
    try:
        plan = row_plan(row, catalog, catalog.stack(row.cells["stack"]).id)
    except InputError:
        return None
    return plan if isinstance(plan, TrainingPlan) else None


def _seconds_a_token(row: Row) -> float | None:
    """Of all devices together, up to a factor that is the same for the rows that are compared [s]."""
    measured, cells = row.measured, row.cells
    if rate := measured.get("tokens_per_second_per_device"):
        return 1.0 / float(rate)
    step, batch, length = (measured.get("step_seconds"), cells["global_batch"], cells["seq_len"])
    return float(step) * int(cells["devices"]) / (int(batch) * int(length)) if step and batch and length else None


def _said(row: Row) -> str:
    """Degrees that are more than one, and what else the row says of its layout."""
    degrees = [f"{name} {row.cells[name]}" for name in _DEGREES if row.cells[name] not in ("", "1")]
    return ", ".join([*degrees, *(f"{name} {row.cells[name]}" for name in _BESIDE if row.cells[name])])
