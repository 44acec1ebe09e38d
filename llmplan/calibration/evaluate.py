"""Predicts many runs at once, in as many processes as there are processors, with derivatives by differences."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Any

import numpy as np

from llmplan.calibration.runs import Run, predict
from llmplan.calibration.scale import Scale
from llmplan.software.coefficients import NAMES

_NUDGE = 0.01  # difference on the scale for a derivative: over rounding, under a kink's width
_FEW = 200  # runs below which processes are not worth their start

Ratios = dict[int, dict[str, float]]
"""Logarithm of predicted over measured, by run and quantity."""

_shared: list[tuple[Sequence[Run], Scale]] = []  # what forked processes see


class Evaluator:
    """Predictions of a set of runs at points of the scale; a context manager, which ends its processes."""

    def __init__(self, runs: Sequence[Run], scale: Scale) -> None:
        self.runs, self.scale = runs, scale
        self.index = {run.id: index for index, run in enumerate(runs)}
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Evaluator:
        if len(self.runs) >= _FEW and "fork" in multiprocessing.get_all_start_methods():
            _shared[:] = [(self.runs, self.scale)]
            self._pool = ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def ratios(self, points: Mapping[int, Any]) -> Ratios:
        """Log ratios of some runs, each at its point."""
        return dict(self._all(list(points.items())))

    def slopes(self, points: Mapping[int, Any]) -> tuple[Ratios, dict[int, dict[str, Any]]]:
        """Log ratios of some runs, and their derivatives by the coordinates of the point."""
        moved = [(index, np.vstack([point, point + _NUDGE * np.eye(len(NAMES))])) for index, point in points.items()]
        ratios: Ratios = {}
        slopes: dict[int, dict[str, Any]] = {}
        for index, found in self._all(moved):
            ratios[index] = {name: float(values[0]) for name, values in found.items()}
            slopes[index] = {name: (values[1:] - values[0]) / _NUDGE for name, values in found.items()}
        return ratios, slopes

    def _all(self, wanted: Sequence[tuple[int, Any]]) -> Iterable[tuple[int, dict[str, Any]]]:
        if self._pool is None or len(wanted) < _FEW // 10:
            return [_at(self.runs[index], self.scale, index, points) for index, points in wanted]
        return self._pool.map(_in_process, wanted, chunksize=max(1, len(wanted) // 32))


def _in_process(one: tuple[int, Any]) -> tuple[int, dict[str, Any]]:
    runs, scale = _shared[0]
    return _at(runs[one[0]], scale, *one)


def _at(run: Run, scale: Scale, index: int, points: Any) -> tuple[int, dict[str, Any]]:
    """Log ratios of a run at a point, or at many (one a row) as arrays."""
    predicted = predict(run, scale.coefficients(points))
    found = {name: np.log(predicted[name] / run.measured[name]) for name in run.moving}
    if points.ndim == 1:
        return index, {name: float(value) for name, value in found.items()}
    return index, {name: np.broadcast_to(value, len(points)) for name, value in found.items()}
