"""Measured training runs as plans, by stack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llmplan.answer.rows import Group, Row, read_rows, row_plan
from llmplan.answer.validate import GENERIC
from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.errors import InputError
from llmplan.training.plan import TrainingPlan

MEASUREMENTS = Path("hardware_catalog/measurements/training.csv")
# A stack without rows of its own, and the stacks built on it whose rows stand in.
STANDS_ON = {"megatron-core": ("nemo", "megatron-bridge")}


@dataclass(frozen=True, slots=True)
class Run:
    """A measured run: its plan, what was measured, and the group that it shares a vote with.

    seconds: of a step [s], None where only memory was measured; peak_gib: [GiB], None where it was not;
    memory_kind: how memory was measured; group: publication, stack, model, hardware.
    """

    id: str
    plan: TrainingPlan
    seconds: float | None
    peak_gib: float | None
    memory_kind: str
    recompute_stated: bool
    group: Group
    stack: str
    version: str

    @property
    def model(self) -> str:
        """The model's label."""
        return self.group.model


def load_runs(path: Path = MEASUREMENTS) -> list[Run]:
    """Every row that can be planned under its own stack."""
    catalog = open_catalog()
    found = []
    for row in read_rows(path):
        run = _run(row, catalog, row.cells["stack"])
        if run is not None:
            found.append(run)
    return found


def runs_of(stack: str, path: Path = MEASUREMENTS) -> list[Run]:
    """The rows that a stack is fitted on: its own, those of the stacks built on it, or all for the generic one."""
    catalog = open_catalog()
    wanted = STANDS_ON.get(stack, (stack,))
    rows = [row for row in read_rows(path) if stack == GENERIC or _id(row.cells["stack"], catalog) in wanted]
    return [run for row in rows if (run := _run(row, catalog, stack)) is not None]


def _id(name: str, catalog: Catalog) -> str:
    try:
        return catalog.stack(name).id
    except InputError:
        return name


def _run(row: Row, catalog: Catalog, stack: str) -> Run | None:
    measured = row.measured()
    try:
        plan = row_plan(row, catalog, stack)
    except InputError:
        return None
    if not isinstance(plan, TrainingPlan):
        return None
    rate, peak = measured.get("tokens_per_second_per_device"), measured.get("peak_memory_gib")
    tokens = float(plan.workload.global_batch) * plan.workload.seq_len
    cells = row.cells
    return Run(
        row.id, plan, tokens / plan.devices / rate if rate else None, peak or None, cells.get("memory_kind", ""),
        bool(cells.get("recompute")), row.group, cells["stack"], cells.get("stack_version", ""),
    )  # fmt: skip
