"""What devices keep of their kernels' rates in continuous work, from stacks that were measured on several devices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from llmplan.calibration.runs import Run, load_runs
from llmplan.calibration.stacks import weights
from llmplan.planner.training.step import training_time

_TRIED = np.round(np.arange(0.5, 1.001, 0.01), 2)
_OUTLIER = 0.1


def main() -> None:
    """Prints, for each device with measured runs, the `sustained_fraction` that fits them best as the stacks stand now.

    A stack's numbers and its devices' fractions share one scale; the A100, whose power limit does not bind, holds it.
    Fit the stacks and the devices in turn until neither moves.
    """
    found: dict[str, list[Run]] = defaultdict(list)
    for run in load_runs():
        if run.seconds:
            found[run.plan.device.id].append(run)
    for device, runs in sorted(found.items()):
        losses = [loss(runs, float(value)) for value in _TRIED]
        now = runs[0].plan.device.efficiency.sustained_fraction
        print(f"{device}: {len(runs)} runs, sustained_fraction {now} now, {_TRIED[int(np.argmin(losses))]} fits best")


def loss(runs: Sequence[Run], sustained: float) -> float:
    """Mean soft error of the step times when the device keeps that fraction [1]."""
    errors = []
    for run in runs:
        efficiency = run.plan.device.efficiency.model_copy(update={"sustained_fraction": sustained})
        device = run.plan.device.model_copy(update={"efficiency": efficiency})
        seconds = float(training_time(replace(run.plan, device=device)).step_seconds)
        errors.append(np.log(seconds / (run.seconds or 1.0)))
    soft = np.sqrt(1.0 + (np.array(errors) / _OUTLIER) ** 2)
    return float(np.average(soft, weights=weights(runs)))
