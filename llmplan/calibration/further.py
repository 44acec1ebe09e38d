"""The further run that would tell most about a user's coefficients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from llmplan.answer.resolve import AnyPlan, plan_from
from llmplan.calibration.fit import RUNS, Fitted, Leaf
from llmplan.calibration.least_squares import OUTLIER
from llmplan.calibration.runs import Run, places, predict
from llmplan.calibration.scale import Scale
from llmplan.catalog.catalog import Catalog
from llmplan.errors import InputError
from llmplan.records import replace
from llmplan.serving.plan import ServingPlan
from llmplan.software.coefficients import NAMES

_MOST_TRIED = 4  # measured runs, of different models or devices, that others are looked for near
_STEP = 0.01  # difference on the scale for a derivative
_LONGER = (("micro_batch", 2), ("seq_len", 4), ("devices", 4), ("tp", 2), ("pp", 2), ("batch", 8), ("input_tokens", 8))
"""Options of a run that another run might change, and how many times as large."""


def further_run(
    runs: Sequence[Run], fitted: Fitted, scale: Scale, leaf: Leaf, catalog: Catalog, stack: str
) -> tuple[str, float] | None:
    """The change of a measured run whose prediction is least sure, and the deviation of its logarithm."""
    curvature = np.diag(1.0 / scale.spread**2) + fitted.terms[leaf].curvature
    unsure = np.linalg.inv(curvature) * (RUNS * OUTLIER**2)  # in squares of log ratios a vote
    best: tuple[str, float] | None = None
    seen = {repr(sorted(run.plan.as_options().items())) for run in runs}
    for run in list({run.group: run for run in runs if run.moving}.values())[:_MOST_TRIED]:
        for what, plan in _changed(run, catalog, stack):
            if repr(sorted(plan.as_options().items())) in seen:
                continue
            trial = replace(
                run,
                plan=plan,
                measured=dict.fromkeys(run.moving, 1.0),
                resident=places(plan) if isinstance(plan, ServingPlan) else 0.0,
            )
            deviation = _deviation(trial, fitted.points[leaf], scale, unsure)
            if best is None or deviation > best[1]:
                best = f"{run.id} with {what}", deviation
    return best


def _changed(run: Run, catalog: Catalog, stack: str) -> Iterator[tuple[str, AnyPlan]]:
    """Other runs near one that was measured: one option larger, so much of it as can be planned."""
    options = run.plan.as_options() | {"stack": stack, "stack_version": None}
    for word, times in _LONGER:
        if options.get(word) is None:
            continue
        changed = dict(options) | {word: options[word] * times}
        if word in ("tp", "pp") or word == "devices":
            changed |= {"dp": None, "devices": options["devices"] * times}
        if word == "devices" and options.get("global_batch"):
            changed["global_batch"] = options["global_batch"] * times
        try:
            plan = plan_from({key: value for key, value in changed.items() if value is not None}, catalog=catalog,
                             model=run.plan.model)  # fmt: skip
        except (InputError, ValueError):
            continue
        yield f"{word} {changed[word]:g}", plan


def _deviation(run: Run, point: Any, scale: Scale, unsure: Any) -> float:
    """Deviation of the logarithm of what is least sure of a run [1]."""
    moved = predict(run, scale.coefficients(np.vstack([point, point + _STEP * np.eye(len(NAMES))])))
    found = 0.0
    for name in run.moving:
        values = np.broadcast_to(np.log(moved[name]), len(NAMES) + 1)
        slope = (values[1:] - values[0]) / _STEP
        found = max(found, float(slope @ unsure @ slope) ** 0.5)
    return found
