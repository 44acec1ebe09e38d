"""Fits the serving numbers of stack variants on measured runs, and draws their error bands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from llmplan.answer.rows import Group, Row, read_rows, row_plan
from llmplan.catalog import catalog
from llmplan.errors import InputError
from llmplan.serving.loads import busy_replicas, respond
from llmplan.serving.memory import ServingMemory, serving_memory
from llmplan.serving.plan import ServingPlan
from llmplan.serving.shapes import Shapes, shapes
from llmplan.serving.step import ServingNumbers, deployment
from llmplan.software.engine import ServingPolicy
from llmplan.software.stack import Number

MEASUREMENTS = Path("hardware_catalog/measurements/serving.csv")
QUANTITIES = ("ttft_seconds", "tpot_seconds", "output_tokens_per_second", "request_seconds")
_OUTLIER = 0.1  # residuals of a log ratio beyond this weigh linearly (soft L1), so that no single row decides
_RIDGE = 0.003  # weight of the priors against one group of rows
_EVALUATIONS = 30

Numbers = dict[str, float]


@dataclass(frozen=True, slots=True)
class Run:
    """A measured row: its plan, what an engine's variant makes of it, what was measured."""

    id: str
    plan: ServingPlan
    variant: str
    policy: ServingPolicy
    shapes: Shapes
    memory: ServingMemory
    measured: dict[str, float]
    group: Group

    @property
    def stack(self) -> str:
        """Id of the stack."""
        return self.plan.stack.id

    @property
    def model(self) -> str:
        """The model's label."""
        return self.group.model


def read_runs(path: Path) -> list[Run]:
    """The rows of a file in the format of the measurements, each under its own stack."""
    opened = catalog.open_catalog()
    return [run_of(row, opened) for row in read_rows(path)]


def run_of(row: Row, opened: catalog.Catalog) -> Run:
    """One row as a run; what it leaves out is filled in as for a user."""
    plan = row_plan(row, opened, row.cells["stack"])
    if not isinstance(plan, ServingPlan):
        raise InputError(f"{row.id} is no deployment")
    engine = plan.engine
    measured = {name: float(value) for name, value in row.measured().items() if name in QUANTITIES}
    return Run(
        id=row.id, plan=plan, variant=engine.version, policy=engine.policy, shapes=shapes(plan.model, plan.layout),
        memory=serving_memory(plan, engine.policy), measured=measured, group=row.group,
    )  # fmt: skip


def predict(run: Run, numbers: Numbers) -> dict[str, float]:
    """What the planner says of a run with these numbers."""
    work = run.plan.workload
    at = deployment(run.plan, run.policy, ServingNumbers.of(numbers), run.shapes)
    copies = float(run.plan.layout.dp)
    answer = respond(at, work, run.policy, copies, run.memory.resident)
    return {
        "ttft_seconds": float(answer.ttft), "tpot_seconds": float(answer.tpot),
        "request_seconds": float(answer.request),
        "output_tokens_per_second": float(answer.output_tokens_per_second) * float(busy_replicas(work, copies)),
    }  # fmt: skip


def log_ratios(run: Run, numbers: Numbers) -> dict[str, float]:
    """Logarithm of predicted over measured, by quantity."""
    predicted = predict(run, numbers)
    return {name: float(np.log(predicted[name] / value)) for name, value in run.measured.items()}


def weights(runs: Sequence[Run]) -> dict[tuple[str, str], float]:
    """Votes by row and quantity: one a group, shared by its rows, and as many in all for each quantity.

    All quantities weigh alike, so that a handful of
    times to first token is not outvoted by a hundred throughputs.
    """
    rows = Counter((run.group, name) for run in runs for name in run.measured)
    groups = Counter(name for _, name in rows)
    most = max(groups.values(), default=1)
    return {(run.id, name): most / groups[name] / rows[run.group, name] for run in runs for name in run.measured}


def fit(
    runs: Sequence[Run],
    priors: Numbers,
    meaning: Mapping[str, Number],
    start: Numbers | None = None,
    fixed: Callable[[Run], Numbers] = lambda _: {},
) -> Numbers:
    """The numbers that fit the runs best, drawn to the priors where the runs say little.

    fixed: numbers of a run that are not fitted and not neutral either.
    """
    names = list(priors)
    votes = weights(runs)
    scale = np.array([meaning[name].spread for name in names])
    low = np.array([max(meaning[name].range[0], priors[name] * 0.02) for name in names])
    high = np.array([meaning[name].range[1] for name in names])
    at = np.array([priors[name] for name in names])
    # everything is fitted on a logarithmic scale, in units of the ordinary spread
    bounds = (np.log(low / at) / scale, np.log(high / at) / scale)

    def values(x: Any) -> Numbers:
        return dict(zip(names, map(float, at * np.exp(x * scale)), strict=True))

    def residuals(x: Any) -> Any:
        numbers = values(x)
        found = []
        for run in runs:
            for name, ratio in log_ratios(run, fixed(run) | numbers).items():
                vote = np.sqrt(votes[run.id, name])
                soft = _OUTLIER * np.sign(ratio) * np.sqrt(2.0 * (np.sqrt(1.0 + (ratio / _OUTLIER) ** 2) - 1.0))
                found.append(vote * soft)
        return np.concatenate([found, np.sqrt(_RIDGE) * x])

    first = np.zeros(len(names))
    if start is not None:
        first = np.array([np.log(max(start[name], 1e-12) / priors[name]) for name in names]) / scale
    first = np.clip(first, bounds[0] + 1e-6, bounds[1] - 1e-6)
    solution = least_squares(residuals, first, bounds=bounds, max_nfev=_EVALUATIONS, diff_step=np.array([1e-3]))
    return values(solution.x)
