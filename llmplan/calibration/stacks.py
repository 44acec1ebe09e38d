"""Fits the numbers of software stacks on measured training runs, and draws their error bands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from llmplan.plan.plan import Plan
from llmplan.plan.stack import Number, Stack, version_key
from llmplan.planner.training import StackNumbers, training_time

_OUTLIER = 0.06  # residuals of log throughput beyond this weigh linearly (soft L1), so that no single row decides
_RIDGE = 0.001  # weight of the priors against one group of rows
_EVALUATIONS = 40

Numbers = dict[str, float]
Meaning = dict[str, Number]


@dataclass(frozen=True, slots=True)
class Run:
    """A measured run: its plan, the step time, and the group (source, model, hardware) that it shares a vote with."""

    id: str
    plan: Plan
    seconds: float
    group: tuple[str, str, str]
    version: str = ""

    @property
    def model(self) -> str:
        """The model's label."""
        return self.group[1]


def parameters(stack: Stack) -> list[str]:
    """Names of everything that is fitted: the stack's numbers, and `name@version` for those of older versions."""
    older = [f"{name}@{item.before}" for item in stack.variants for name in item.fitted]
    return [*stack.fitted, *older]


def of_version(run: Run, values: Numbers, stack: Stack) -> Numbers:
    """The values that hold for the version of a run."""
    numbers = {name: value for name, value in values.items() if "@" not in name}
    wanted = version_key(run.version)
    for item in stack.variants:
        if wanted and wanted < version_key(item.before):
            return numbers | {name: values[f"{name}@{item.before}"] for name in item.fitted}
    return numbers


def weights(runs: Sequence[Run]) -> Any:
    """One vote a group, shared by its rows [1]."""
    sizes = Counter(run.group for run in runs)
    return np.array([1.0 / sizes[run.group] for run in runs])


def predict(run: Run, values: Numbers, stack: Stack) -> float:
    """Step time of a run under trial values [s]."""
    return float(training_time(run.plan, StackNumbers(**of_version(run, values, stack))).step_seconds)


def fit(
    runs: Sequence[Run], names: Sequence[str], meaning: Meaning, stack: Stack, start: Numbers | None = None
) -> Numbers:
    """The values of `names` that predict the runs best, drawn to their priors where the runs say nothing."""
    about = [meaning[name.partition("@")[0]] for name in names]
    root = np.sqrt(weights(runs))
    prior = np.array([item.prior for item in about])
    spread = np.array([item.prior * item.spread for item in about])
    low, high = np.array([item.range for item in about]).T
    measured = np.log([run.seconds for run in runs])

    def residuals(values: Any) -> Any:
        trial = dict(zip(names, map(float, values), strict=True))
        predicted = np.log([predict(run, trial, stack) for run in runs])
        loss = (predicted - measured) / _OUTLIER
        soft = np.sign(loss) * np.sqrt(2 * (np.sqrt(1 + loss**2) - 1))  # soft L1 on the rows, squares on the priors
        return np.concatenate([root * soft, np.sqrt(_RIDGE) * (values - prior) / spread / _OUTLIER])

    first = prior if start is None else np.array([start[name] for name in names])
    inside = np.clip(first, low + 1e-9 * (high - low), high - 1e-9 * (high - low))
    solution = least_squares(residuals, inside, bounds=(low, high), x_scale=spread, max_nfev=_EVALUATIONS, ftol=1e-5)
    return {name: float(f"{value:.3g}") for name, value in zip(names, solution.x, strict=True)}


def left_out(
    runs: Sequence[Run], names: Sequence[str], meaning: Meaning, stack: Stack, full: Numbers
) -> dict[str, float]:
    """Predicted step time of each run by numbers fitted on runs of other models only, by id [s]."""
    result = {}
    for model in sorted({run.model for run in runs}):
        others = [run for run in runs if run.model != model]
        values = fit(others, names, meaning, stack, start=full)
        result |= {run.id: predict(run, values, stack) for run in runs if run.model == model}
    return result


def weighted_quantile(values: Any, weight: Any, q: float) -> float:
    """The value below which a share q of the weight lies."""
    order = np.argsort(values)
    total = np.cumsum(np.asarray(weight)[order])
    return float(np.asarray(values)[order][np.searchsorted(total, q * total[-1])])
