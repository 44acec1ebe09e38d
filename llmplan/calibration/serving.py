"""Fits the serving numbers of stack variants on measured runs, and draws their error bands."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from llmplan import catalog
from llmplan.plan.layout import Layout, Workload
from llmplan.plan.load_model import model_from_columns
from llmplan.plan.plan import Plan
from llmplan.plan.serving import ServingPolicy, ServingWorkload
from llmplan.plan.serving_defaults import activation_precision, first_with_room, kv_precision, layouts, lengths, weight_precision
from llmplan.plan.stack import Number
from llmplan.planner.serving_loads import respond
from llmplan.planner.serving_memory import ServingMemory, serving_memory, weight_bytes
from llmplan.planner.serving_shapes import Shapes, shapes
from llmplan.planner.serving_step import ServingNumbers, deployment

QUANTITIES = ("ttft_seconds", "tpot_seconds", "output_tokens_per_second", "request_seconds")
_OUTLIER = 0.1  # residuals of a log ratio beyond this weigh linearly (soft L1), so that no single row decides
_RIDGE = 0.003  # weight of the priors against one group of rows
_EVALUATIONS = 30

Numbers = dict[str, float]


@dataclass(frozen=True, slots=True)
class Run:
    """A measured row: its plan, what an engine's variant makes of it, what was measured."""

    id: str
    plan: Plan
    variant: str
    policy: ServingPolicy
    shapes: Shapes
    memory: ServingMemory
    measured: dict[str, float]
    group: tuple[str, str, str]

    @property
    def stack(self) -> str:
        """Id of the stack."""
        return self.plan.stack.id

    @property
    def model(self) -> str:
        """The model's label."""
        return self.group[1]


def read_runs(path: Path) -> list[Run]:
    """The rows of a file in the format of the measurements."""
    with path.open(newline="") as file:
        return [run_of(row) for row in csv.DictReader(file)]


def run_of(row: Mapping[str, str]) -> Run:
    """One row as a run; what it leaves out is filled in as for a user."""
    plan = plan_of_row(row)
    assert plan.stack.serving is not None and plan.serving is not None
    variant = plan.stack.serving.variant(row["stack_version"], plan.serving.load, row["source"])
    policy = plan.stack.serving.policy_of(variant)
    measured = {name: float(row[f"measured_{name}"]) for name in QUANTITIES if row[f"measured_{name}"]}
    return Run(
        id=row["id"], plan=plan, variant=variant.version, policy=policy, shapes=shapes(plan.model, plan.layout),
        memory=serving_memory(plan, policy), measured=measured, group=(row["source"], row["model"], row["hardware"]),
    )  # fmt: skip


def plan_of_row(row: Mapping[str, str]) -> Plan:
    """The plan of one row."""
    model, device = model_from_columns(row), catalog.device(row["hardware"])
    assert device.cluster is not None
    cluster, stack = catalog.cluster(device.cluster), catalog.stack(row["stack"])
    assert stack.serving is not None
    load = row["load"]
    policy = stack.serving.policy_of(stack.serving.variant(row["stack_version"], load, row["source"]))
    weights = row["weight_precision"] or weight_precision(model, device)
    activations = row["activation_precision"] or activation_precision(weights, device)
    inputs, outputs = lengths(_number(row["input_tokens"]), _number(row["output_tokens"]))
    work = ServingWorkload(
        load=load, batch=_whole(row["batch"]), request_rate=_number(row["request_rate"]), input_tokens=inputs,
        output_tokens=outputs, weight_precision=weights, activation_precision=activations,
        kv_precision=row["kv_precision"] or kv_precision(model, activations, policy, device),
        memory_fraction=_number(row["memory_fraction"]),
    )  # fmt: skip
    plan = Plan(model, device, cluster, Layout(), Workload(workload="serve"), stack, serving=work)
    devices = int(row["devices"])
    if row["tp"]:
        names = ("tp", "pp", "cp", "ep", "dp")
        return plan.with_layout(Layout(**{name: _whole(row[name]) or 1 for name in names}))
    plans = [plan.with_layout(layout) for layout in layouts(devices)]
    usable = device.memory.capacity - device.memory.reserved
    return plans[first_with_room([float(weight_bytes(one, work)) for one in plans], usable)]


def _number(text: str) -> float | None:
    return float(text) if text else None


def _whole(text: str) -> int | None:
    return int(float(text)) if text else None


def predict(run: Run, numbers: Numbers) -> dict[str, float]:
    """What the planner says of a run with these numbers."""
    work = run.plan.serving
    assert work is not None
    at = deployment(run.plan, ServingNumbers.of(numbers), run.shapes)
    answer = respond(at, work, run.policy, float(run.plan.layout.dp), run.memory.resident)
    return {
        "ttft_seconds": float(answer.ttft), "tpot_seconds": float(answer.tpot),
        "request_seconds": float(answer.request),
        "output_tokens_per_second": float(answer.output_tokens_per_second) * run.plan.layout.dp,
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
    return {
        (run.id, name): most / groups[name] / rows[run.group, name] for run in runs for name in run.measured
    }


def fit(runs: Sequence[Run], priors: Numbers, meaning: Mapping[str, Number], start: Numbers | None = None) -> Numbers:
    """The numbers that fit the runs best, drawn to the priors where the runs say little."""
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
            for name, ratio in log_ratios(run, numbers).items():
                vote = np.sqrt(votes[run.id, name])
                soft = _OUTLIER * np.sign(ratio) * np.sqrt(2.0 * (np.sqrt(1.0 + (ratio / _OUTLIER) ** 2) - 1.0))
                found.append(vote * soft)
        return np.concatenate([found, np.sqrt(_RIDGE) * x])

    first = np.zeros(len(names))
    if start is not None:
        first = np.array([np.log(max(start[name], 1e-12) / priors[name]) for name in names]) / scale
    first = np.clip(first, bounds[0] + 1e-6, bounds[1] - 1e-6)
    solution = least_squares(residuals, first, bounds=bounds, max_nfev=_EVALUATIONS, diff_step=1e-3)
    return values(solution.x)
