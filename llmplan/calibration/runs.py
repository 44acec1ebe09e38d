"""Measured runs as plans with what was measured of them, and the rows that are of no use, with reasons."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmplan.answer.impossible import impossible
from llmplan.answer.rows import Group, Row, read_rows, row_plan
from llmplan.answer.validate import MEMORY_BANDS
from llmplan.catalog.catalog import Catalog
from llmplan.errors import InputError
from llmplan.formulas.numeric import real
from llmplan.records import dataclass, replace
from llmplan.serving.estimate import estimate_serving
from llmplan.serving.iteration import replica
from llmplan.serving.loads import BUSIEST, busy_replicas, respond
from llmplan.serving.memory import serving_memory
from llmplan.serving.plan import ServingPlan
from llmplan.serving.pools import pools_of, split
from llmplan.si import GIB
from llmplan.training.memory import training_memory
from llmplan.training.plan import TrainingPlan
from llmplan.training.step import training_time

if TYPE_CHECKING:
    from llmplan.answer.resolve import AnyPlan
    from llmplan.software.coefficients import Coefficients

_NAMES = ("training.csv", "serving.csv", "serving_split.csv", "kv_cache.csv")
FILES = tuple(Path("hardware_catalog/measurements") / name for name in _NAMES)
STEP, PEAK, OUTPUT = "step_seconds", "peak_memory_gib", "output_tokens_per_second"
RATE = "tokens_per_second_per_device"
MEASURED = (STEP, PEAK, "ttft_seconds", "tpot_seconds", "request_seconds", OUTPUT, "kv_tokens")
"""Quantities that are compared; tokens a second of a training count as its step time."""
STILL = (PEAK, "kv_tokens")
"""Of those, what no coefficient moves."""
WAITED = ("ttft_seconds", "request_seconds", OUTPUT)
"""Those that a wait for a place is part of."""
_CONTRADICTION = 0.1  # step time and tokens a second of one row may differ so much by rounding
_DECIDED = 0.05  # two layouts are told apart where one is so much faster
_MOST_PAIRS = 60  # of one job
JOB = "publication stack stack_version workload model layers hidden hardware devices precision seq_len global_batch"
LAYOUT = "tp pp vp cp ep dp zero micro_batch recompute sequence_parallel"


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run.

    leaf: the stack and the version whose coefficients it tells of; measured: by the names of `MEASURED`, SI or GiB;
    job, layout: what the layouts of one training are compared within, and by; None in serving.
    """

    row: Row
    plan: AnyPlan
    leaf: tuple[str, str]
    measured: dict[str, float]
    job: tuple[str, ...] | None
    layout: tuple[str, ...]
    resident: float = 0.0
    """Sequences that have room in a replica [1]."""
    steep: bool = False
    """Whether its requests come so fast that times hang on the last percents of a capacity, and are not fitted."""
    brimful: bool = False
    """Whether its requests take every place of several replicas and leave less than one a replica to wait: how long
    they do hangs on who sends them where, which no row says, and is not fitted."""

    @property
    def id(self) -> str:
        """The row's name."""
        return self.row.id

    @property
    def publication(self) -> str:
        """Where it was published."""
        return self.row.publication

    @property
    def group(self) -> Group:
        """The rows that it shares a vote with."""
        return self.row.group

    @property
    def moving(self) -> tuple[str, ...]:
        """Measured quantities that coefficients are fitted on."""
        if self.steep:
            return ()
        left = (*STILL, *WAITED) if self.brimful else STILL
        return tuple(name for name in self.measured if name not in left)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that is not fitted on, and why."""

    row: Row
    why: str


def load_runs(
    files: Iterable[Path], catalog: Catalog, *, only: str = "", under: str = ""
) -> tuple[list[Run], list[Dropped]]:
    """Every row that can be planned and compared.

    only: rows of this stack alone; under: plan all rows under this stack instead of their own.
    """
    runs: list[Run] = []
    dropped: list[Dropped] = []
    names = dict.fromkeys(row.cells.get("stack", "") for file in files for row in read_rows(file))
    wanted = {name for name in names if not only or _id(name, catalog) == only}
    for row in (row for file in files for row in read_rows(file)):
        if under or row.cells.get("stack", "") in wanted:
            found = run_of(row, catalog, under or row.cells.get("stack", ""))
            (runs if isinstance(found, Run) else dropped).append(found)  # type: ignore[arg-type]
    return runs, dropped


def _id(name: str, catalog: Catalog) -> str:
    """Id of a stack by any of its names."""
    try:
        return catalog.find("stacks", name).stem
    except InputError:
        return name


def run_of(row: Row, catalog: Catalog, stack: str) -> Run | Dropped:
    """One row as a run, or why it is none."""
    if not stack:
        return Dropped(row, "no stack is named")
    try:
        plan = row_plan(row, catalog, stack)
        measured = _measured(row, plan)
    except InputError as error:
        return Dropped(row, "; ".join(str(fault) for fault in error.faults))
    if not measured:
        fits = row.measured.get("fits")
        return Dropped(row, "it ran out of memory: nothing was measured" if fits is False else "nothing was measured")
    if why := impossible(plan, measured):
        return Dropped(row, why)
    version = plan.stack.at(row.cells.get("stack_version") or None).version if len(plan.stack.versions) > 1 else ""
    resident = places(plan) if isinstance(plan, ServingPlan) else 0.0
    cells = row.cells
    job_cells, layout = ([cells.get(name, "") for name in names.split()] for names in (JOB, LAYOUT))
    job = (row.publication, *job_cells[1:]) if STEP in measured else None
    run = Run(row, plan, (plan.stack.id, version), measured, job, tuple(layout), resident)
    predicted = {**predict(run, plan.coefficients), **still(run)}
    if isinstance(plan, ServingPlan):
        run = replace(run, steep=_steep(plan), brimful=_brimful(plan, resident))
    kept = {name: value for name, value in measured.items() if 0.0 < float(predicted[name]) < math.inf}
    return replace(run, measured=kept) if kept else Dropped(row, "nothing is predicted: it does not fit")


def _steep(plan: ServingPlan) -> bool:
    """As `Run.steep` has it."""
    rate = plan.workload.request_rate
    return rate is not None and rate > BUSIEST * float(estimate_serving(plan).capacity)


def _brimful(plan: ServingPlan, resident: float) -> bool:
    """As `Run.brimful` has it; resident: places of a replica [1]."""
    work, copies = plan.workload, float(plan.layout.dp)
    return work.load == "closed" and copies > 1.0 and 0.0 <= real(work.batch or 0) / copies - resident < 1.0


def _measured(row: Row, plan: AnyPlan) -> dict[str, float]:
    """What was measured, under the names of `MEASURED`; raises InputError where two cells contradict each other."""
    cells = {name: float(value) for name, value in row.measured.items() if name != "fits" and value}
    found = {name: value for name, value in cells.items() if name in MEASURED}
    if isinstance(plan, ServingPlan):
        if plan.workload.load == "open":
            found.pop(OUTPUT, None)  # what arrives is no prediction
        return found
    rate = cells.get(RATE)
    if rate:
        seconds = plan.workload.global_batch * plan.workload.seq_len / plan.devices / rate
        if abs(seconds / found.get(STEP, seconds) - 1.0) > _CONTRADICTION:
            raise InputError(
                f"step_seconds {found[STEP]:g} and tokens a second ({seconds:.3g} s) contradict each other"
            )
        found[STEP] = seconds
    return found


def places(plan: ServingPlan) -> float:
    """Sequences that have room in a replica, as an estimate takes them: one at least [1]."""
    return max(float(serving_memory(plan, plan.engine.policy).resident), 1.0)


def predict(run: Run, coefficients: Coefficients) -> dict[str, Any]:
    """What coefficients move of a run, as the planner says it, under the names of `MEASURED`.

    coefficients: numbers, or arrays of one length; so are the predictions then.
    """
    plan = replace(run.plan, coefficients=coefficients)
    if isinstance(plan, TrainingPlan):
        return {STEP: training_time(plan).step_seconds}
    work, policy, copies = plan.workload, plan.engine.policy, float(plan.layout.dp)
    at = replica(plan)
    pools = pools_of(plan, at)
    if pools is None:
        answer = respond(at, work, policy, copies, run.resident)
    else:
        answer = split(pools, work, policy, run.resident)
    return {
        "ttft_seconds": answer.ttft, "tpot_seconds": answer.tpot, "request_seconds": answer.request,
        OUTPUT: answer.output_tokens_per_second * busy_replicas(work, copies),
    }  # fmt: skip


def still(run: Run) -> dict[str, float]:
    """What no coefficient moves: memory."""
    plan = run.plan
    if isinstance(plan, ServingPlan):
        return {"kv_tokens": float(serving_memory(plan, plan.engine.policy).kv_tokens)}
    held = MEMORY_BANDS.get(run.row.cells.get("memory_kind", ""), "reserved_bytes")
    return {PEAK: float(getattr(training_memory(plan), held)) / GIB}


def votes(runs: Sequence[Run]) -> dict[tuple[str, str], float]:
    """Weight of every measured quantity of every run [1]: one vote a group and quantity, shared by its rows."""
    sizes = Counter((run.group, name) for run in runs for name in run.measured)
    return {(run.id, name): 1.0 / sizes[run.group, name] for run in runs for name in run.measured}


def pairs(runs: Sequence[Run]) -> list[tuple[int, int, float]]:
    """Pairs of layouts of one job that were told apart: (faster, slower, weight) by index; one vote a job."""
    jobs: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, run in enumerate(runs):
        if run.job is not None:
            jobs[run.job].append(index)
    found = []
    for members in jobs.values():
        ordered = sorted(members, key=lambda index: runs[index].measured[STEP])
        ordered_pairs = [
            (a, b) for a, b in itertools.combinations(ordered, 2)
            if runs[a].layout != runs[b].layout
            and runs[b].measured[STEP] > (1.0 + _DECIDED) * runs[a].measured[STEP]
        ]  # fmt: skip
        kept = ordered_pairs[:: -(-len(ordered_pairs) // _MOST_PAIRS)] if ordered_pairs else []
        found += [(a, b, 1.0 / len(kept)) for a, b in kept]
    return found
