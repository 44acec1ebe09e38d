"""What devices keep of their kernels' rates in continuous work, from stacks that were measured on several devices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from llmplan.calibrate.runs import Run, load_runs
from llmplan.calibrate.serving import MEASUREMENTS, log_ratios, read_runs
from llmplan.calibrate.serving import Run as Deployed
from llmplan.calibrate.serving import weights as serving_weights
from llmplan.calibrate.stacks import weights
from llmplan.search.rank import PlanT
from llmplan.training.step import training_time

_TRIED = np.round(np.arange(0.3, 1.001, 0.01), 2)
_OUTLIER = 0.1
_WRITTEN = "output_tokens_per_second"


def main() -> None:
    """Prints, for each device with measured runs, the `sustained_fraction` that fits them best as the stacks stand now.

    Training decides where a device has any, throughput of deployments else. A stack's numbers and its devices'
    fractions share one scale; the A100, whose power limit does not bind, holds it.
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
    served: dict[str, list[Deployed]] = defaultdict(list)
    for one in read_runs(MEASUREMENTS):
        if _WRITTEN in one.measured and one.plan.workload.load != "open":  # there the rate is given, not found
            served[one.plan.device.id].append(one)
    for device, deployed in sorted(served.items()):
        losses = [serving_loss(deployed, float(value)) for value in _TRIED]
        now, best = deployed[0].plan.device.efficiency.sustained_fraction, _TRIED[int(np.argmin(losses))]
        print(f"{device}: {len(deployed)} deployments, sustained_fraction {now} now, {best} fits best")


def kept(plan: PlanT, sustained: float) -> PlanT:
    """The plan on a device that keeps that fraction of its kernels' rates."""
    efficiency = plan.device.efficiency.model_copy(update={"sustained_fraction": sustained})
    return replace(plan, device=plan.device.model_copy(update={"efficiency": efficiency}))


def loss(runs: Sequence[Run], sustained: float) -> float:
    """Mean soft error of the step times when the device keeps that fraction [1]."""
    errors = []
    for run in runs:
        seconds = float(training_time(kept(run.plan, sustained)).step_seconds)
        errors.append(np.log(seconds / (run.seconds or 1.0)))
    return _soft(errors, weights(runs))


def serving_loss(runs: Sequence[Deployed], sustained: float) -> float:
    """Mean soft error of the tokens a second that deployments write when the device keeps that fraction [1]."""
    votes, errors = serving_weights(runs), []
    for run in runs:
        moved = replace(run, plan=kept(run.plan, sustained))
        errors.append(log_ratios(moved, dict(run.plan.engine.fitted))[_WRITTEN])
    return _soft(errors, [votes[run.id, _WRITTEN] for run in runs])


def _soft(errors: Sequence[float], votes: Sequence[float] | NDArray[np.float64]) -> float:
    return float(np.average(np.sqrt(1.0 + (np.array(errors) / _OUTLIER) ** 2), weights=votes))
