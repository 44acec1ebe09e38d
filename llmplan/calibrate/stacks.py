"""Fits the numbers of software stacks on measured training runs, leaving one model out in turn for their bands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from llmplan.calibrate.runs import Run
from llmplan.software.stack import Number, Stack
from llmplan.training.step import StackNumbers, training_time

_OUTLIER = 0.06  # residuals of log time beyond this weigh linearly (soft L1), so that no single row decides
_RIDGE = 0.001  # weight of the priors against one group of rows
_EVALUATIONS = 40

Numbers = dict[str, float]
Meaning = dict[str, Number]


def parameters(stack: Stack) -> list[str]:
    """Names of everything that is fitted: the stack's numbers, and `name@version` for those of older versions."""
    older = [f"{name}@{item.before}" for item in stack.variants for name in item.fitted]
    return [*stack.fitted, *older]


def of_version(run: Run, values: Numbers, stack: Stack) -> Numbers:
    """The values that hold for the version of a run."""
    numbers = {name: value for name, value in values.items() if "@" not in name}
    older = stack.variant(run.version)
    if older is not None:
        numbers |= {name: values[f"{name}@{older.before}"] for name in older.fitted}
    return numbers


def predict(run: Run, values: Numbers, stack: Stack) -> float:
    """Step time of a run under trial values [s]."""
    return float(training_time(run.plan, StackNumbers(**of_version(run, values, stack))).step_seconds)


def weights(runs: Sequence[Run]) -> Any:
    """One vote a group, shared by its rows [1]."""
    sizes = Counter(run.group for run in runs)
    return np.array([1.0 / sizes[run.group] for run in runs])


def fit(runs: Sequence[Run], meaning: Meaning, stack: Stack, start: Numbers | None = None) -> Numbers:
    """The values that predict the runs' step times best, drawn to their priors where the runs say nothing."""
    names = parameters(stack)
    about = [meaning[name.partition("@")[0]] for name in names]
    prior = np.array([item.prior for item in about])
    spread = np.array([item.prior * item.spread for item in about])
    low, high = np.array([item.range for item in about]).T
    root = np.sqrt(weights(runs))
    measured = np.log([run.seconds or np.nan for run in runs])

    def residuals(values: Any) -> Any:
        trial = dict(zip(names, map(float, values), strict=True))
        loss = (np.log([predict(run, trial, stack) for run in runs]) - measured) / _OUTLIER
        soft = np.sign(loss) * np.sqrt(2 * (np.sqrt(1 + loss**2) - 1))  # soft L1 on the rows, squares on the priors
        return np.concatenate([root * soft, np.sqrt(_RIDGE) * (values - prior) / spread / _OUTLIER])

    first = prior if start is None else np.array([start[name] for name in names])
    inside = np.clip(first, low + 1e-6 * (high - low), high - 1e-6 * (high - low))
    solution = least_squares(residuals, inside, bounds=(low, high), x_scale=spread, max_nfev=_EVALUATIONS, ftol=1e-5)
    return {name: float(f"{value:.3g}") for name, value in zip(names, solution.x, strict=True)}


def left_out(
    runs: Sequence[Run], meaning: Meaning, stack: Stack, full: Numbers, key: Callable[[Run], str]
) -> dict[str, float]:
    """Step time of each run predicted by numbers fitted without the runs that share its `key`, by id [s].

    Empty where all runs share one key: nothing can be left out.
    """
    kinds = sorted({key(run) for run in runs})
    result: dict[str, float] = {}
    for kind in kinds if len(kinds) > 1 else ():
        values = fit([run for run in runs if key(run) != kind], meaning, stack, start=full)
        result |= {run.id: predict(run, values, stack) for run in runs if key(run) == kind}
    return result


def weighted_quantile(values: Any, weight: Any, share: float) -> float:
    """The value below which a share of the weight lies, interpolated."""
    order = np.argsort(values)
    ordered, total = np.asarray(values, float)[order], np.cumsum(np.asarray(weight, float)[order])
    middle = (total - np.asarray(weight, float)[order] / 2) / total[-1]
    return float(np.interp(share, middle, ordered))
