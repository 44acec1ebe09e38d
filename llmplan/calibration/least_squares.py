"""Least squares of logarithms between bounds, few numbers and many rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

OUTLIER = 0.1
"""Log ratios beyond this weigh linearly (soft L1), so that no row decides."""
_STEPS, _ENOUGH, _STIFFEST = 60, 1e-7, 1e6
_DIFFERENCE = 1e-4  # of a number, or of its range, for derivatives


def soft(ratio: Any, outlier: float = OUTLIER) -> Any:
    """Soft L1 of a log ratio: near 0 half of the square of ratio / outlier, its size beyond.

    >>> round(float(soft(0.01)), 4), round(float(soft(10.0)), 1)
    (0.005, 99.0)
    """
    return np.sqrt(1.0 + (np.asarray(ratio) / outlier) ** 2) - 1.0


def fit(predicted: Callable[[Any], Any], seconds: Any, weights: Any, start: Any, low: Any, high: Any) -> Any:
    """The numbers between `low` and `high` at which the predicted times come nearest the measured ones.

    Minimised is the weighted sum of soft(ln predicted - ln measured), by the steps of Gauss and Newton, damped
    (Levenberg, Marquardt); a number that wants past its bound stays there. Derivatives are differences.
    predicted: times of all rows for an array of numbers [s]; seconds: measured [s]; weights: of rows [1].
    """
    low, high = np.asarray(low, float), np.asarray(high, float)
    x, logs, damping = np.clip(np.asarray(start, float), low, high), np.log(seconds), 1e-3
    ratio = np.log(predicted(x)) - logs
    loss = float(weights @ soft(ratio))
    for _ in range(_STEPS):
        slopes = _slopes(predicted, x, ratio + logs, low, high)
        pull = weights / OUTLIER**2 / np.sqrt(1.0 + (ratio / OUTLIER) ** 2)
        gradient, curvature = slopes.T @ (pull * ratio), slopes.T @ (pull[:, None] * slopes)
        free = ~(((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0)))
        accepted = False
        while not accepted and damping < _STIFFEST:
            step, at = np.zeros_like(x), np.ix_(free, free)
            stiff = curvature[at] + damping * np.diag(np.diag(curvature[at]) + 1e-12)
            step[free] = np.linalg.solve(stiff, -gradient[free])
            trial = np.clip(x + step, low, high)
            found = np.log(predicted(trial)) - logs
            value = float(weights @ soft(found))
            accepted = value < loss
            damping = damping / 5.0 if accepted else damping * 8.0
        if not accepted:
            break
        gained, loss, x, ratio = loss - value, value, trial, found
        if gained < _ENOUGH * loss:
            break
    return x


def _slopes(predicted: Callable[[Any], Any], x: Any, logs: Any, low: Any, high: Any) -> Any:
    """Derivatives of the logarithms by each number, towards the farther bound."""
    columns = []
    for i, value in enumerate(x):
        size = _DIFFERENCE * max(abs(value), 0.01 * (high[i] - low[i]))
        moved = x.copy()
        moved[i] += size if high[i] - value > value - low[i] else -size
        columns.append((np.log(predicted(moved)) - logs) / (moved[i] - value))
    return np.array(columns).T
