"""Fits all serving stacks, leaves out models, hardware and stacks in turn for the bands, writes the catalogue.

Numbers are drawn in three steps, so that a variant with few rows leans on its stack and a stack on all others:
all stacks together towards `numbers.yaml`, a stack towards all, a variant towards its stack.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from llmplan.calibrate.bands import Residuals, band
from llmplan.calibrate.meanings import meanings
from llmplan.calibrate.serving import (
    MEASUREMENTS,
    QUANTITIES,
    Numbers,
    Run,
    fit,
    log_ratios,
    read_runs,
    weights,
)
from llmplan.calibrate.serving_accuracy import write_left_out
from llmplan.calibrate.serving_files import write_serving
from llmplan.catalog import catalog
from llmplan.software.band import Band
from llmplan.software.stack import Number

ONLY_OWN = ("layer_seconds", "request_seconds", "group_seconds", "stream_seconds", "prefill_interference")
"""Numbers whose prior is never drawn from other stacks: they tell of one engine's host, server and scheduler."""
SHARED = ("low_precision_efficiency",)
"""Numbers that a variant draws from all stacks, not its own: kernels in few bits changed from version to version."""

Ratios = Mapping[str, Mapping[str, float]]
"""Log of predicted over measured, by row and quantity."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Numbers of everybody together, and by (stack, variant); variant None = all of the stack's."""

    everybody: Numbers
    own: dict[tuple[str, str | None], Numbers]

    def of(self, run: Run) -> Numbers:
        """The numbers for a run: its variant's, else its stack's, else everybody's; only those the variant has."""
        found = self.own.get((run.stack, run.variant)) or self.own.get((run.stack, None)) or self.everybody
        return {name: value for name, value in (self.everybody | found).items() if name in names(run)}


def names(run: Run) -> tuple[str, ...]:
    """Numbers that the run's variant has."""
    return tuple(run.plan.engine.fitted)


def fit_stacks(
    runs: Sequence[Run], meaning: Mapping[str, Number], start: Fitted | None = None, only: Container[str] | None = None
) -> Fitted:
    """Numbers of everybody, of every stack and of every variant; only: stacks to fit, all by default.

    start: numbers near by, to start from.
    """
    priors = {name: item.prior for name, item in meaning.items()}
    before = None if start is None else start.everybody
    shared = {name: value for name, value in priors.items() if name not in ONLY_OWN}

    def fixed(run: Run) -> Numbers:
        return {name: priors[name] for name in names(run) if name in ONLY_OWN}

    everybody = priors | fit(runs, shared, meaning, before, fixed)
    own: dict[tuple[str, str | None], Numbers] = {}
    for stack, part in grouped(runs, lambda run: run.stack).items():
        if only is not None and stack not in only:
            continue
        variants = grouped(part, lambda run: run.variant)
        known = list(dict.fromkeys(name for run in part for name in names(run) if name not in ONLY_OWN))
        old = start.own if start else {}
        whole = everybody | fit(part, {name: everybody[name] for name in known}, meaning, old.get((stack, None)), fixed)
        own[stack, None] = whole
        for variant, mine in variants.items():
            first = {name: (everybody if name in SHARED else whole)[name] for name in names(mine[0])}
            own[stack, variant] = fit(mine, first, meaning, old.get((stack, variant)))
    return Fitted(everybody, own)


def grouped(runs: Iterable[Run], key: Callable[[Run], str]) -> dict[str, list[Run]]:
    """Runs by a key."""
    parts: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        parts[key(run)].append(run)
    return dict(parts)


def left_out(
    runs: Sequence[Run], key: Callable[[Run], str], meaning: Mapping[str, Number], start: Fitted
) -> dict[str, dict[str, float]]:
    """Log of predicted over measured of every run, by a fit that has not seen any run with its key."""
    parts = grouped(runs, key)
    rests = [[run for run in runs if key(run) != value] for value in parts]
    with ProcessPoolExecutor() as pool:
        one = partial(_unseen, meaning=meaning, start=start)
        return {name: ratios for found in pool.map(one, parts.values(), rests) for name, ratios in found.items()}


def _unseen(
    part: Sequence[Run], rest: Sequence[Run], meaning: Mapping[str, Number], start: Fitted
) -> dict[str, dict[str, float]]:
    """Log of predicted over measured of some runs, by a fit on others."""
    fitted = fit_stacks(rest, meaning, start, {run.stack for run in part})
    return {run.id: log_ratios(run, fitted.of(run)) for run in part}


def residuals(runs: Sequence[Run], ratios: Ratios, quantity: str) -> Residuals:
    """Measured over predicted of one quantity, with votes."""
    part = [run for run in runs if quantity in run.measured]
    votes = weights(part)
    return Residuals(
        np.exp([-ratios[run.id][quantity] for run in part]), np.array([votes[run.id, quantity] for run in part])
    )


def bands_of(stack: str | None, runs: Sequence[Run], models: Ratios, hardware: Ratios) -> dict[str, Band]:
    """The bands of a stack, drawn from models (and for new hardware, devices) that were left out."""
    found: dict[str, Band] = {}
    for quantity in QUANTITIES:
        everybody = residuals(runs, models, quantity)
        mine = [run for run in runs if run.stack == stack and quantity in run.measured]
        own = residuals(mine, models, quantity) if mine else None
        found[quantity] = band(own, everybody, "" if mine else "borrowed from all stacks")
        away = band(None, residuals(runs, hardware, quantity))
        wider = Band(low=min(away.low, found[quantity].low), high=max(away.high, found[quantity].high))
        found[f"{quantity}_unmeasured_hardware"] = wider
    return found


def main() -> None:
    """Fits and writes every serving stack, and stores what numbers without a row's model predict for it."""
    runs, meaning = read_runs(MEASUREMENTS), meanings("serving")
    fitted = fit_stacks(runs, meaning)
    models = left_out(runs, lambda run: run.model, meaning, fitted)
    hardware = left_out(runs, lambda run: run.plan.device.id, meaning, fitted)
    stacks = left_out(runs, lambda run: run.stack, meaning, fitted)
    write_all(runs, fitted, models, hardware, stacks)


def write_all(runs: Sequence[Run], fitted: Fitted, models: Ratios, hardware: Ratios, stacks: Ratios) -> None:
    """Writes numbers and bands of every stack, and the left-out predictions."""
    for stack, part in grouped(runs, lambda run: run.stack).items():
        numbers = {variant: fitted.own[stack, variant] for variant in {run.variant for run in part}}
        write_serving(stack, part, numbers, bands_of(stack, runs, models, hardware))
    generic = catalog.stack("generic").serving
    assert generic is not None
    write_serving(
        "generic", runs, {generic.variants[0].version: fitted.everybody}, bands_of(None, runs, stacks, hardware)
    )
    ratios = {name: {quantity: float(np.exp(value)) for quantity, value in row.items()} for name, row in models.items()}
    write_left_out(ratios, {run.id: run.measured for run in runs})
