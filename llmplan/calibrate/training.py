"""Fits every training stack, draws its bands, and writes both into its file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from llmplan.answer.validate import GENERIC, GIB
from llmplan.calibrate.bands import Residuals, band, joined
from llmplan.calibrate.meanings import meanings
from llmplan.calibrate.runs import MEASUREMENTS, STANDS_ON, Run, runs_of
from llmplan.calibrate.stack_files import render, rewrite
from llmplan.calibrate.stacks import Meaning, Numbers, fit, left_out, predict, weights
from llmplan.catalog import catalog
from llmplan.software.band import Band
from llmplan.software.stack import Stack
from llmplan.work.memory import training_memory

LEFT_OUT = Path("tests/measurements/training_left_out.csv")
STEP, PEAK, UNMEASURED = "step_seconds", "peak_bytes", "unmeasured_hardware"


@dataclass(frozen=True, slots=True)
class Fit:
    """One fitted stack: its values, and residuals by what was left out."""

    stack: Stack
    runs: list[Run]
    values: Numbers
    left_out: dict[str, float]
    by_model: Residuals | None
    by_hardware: Residuals | None
    memory: Residuals | None


def main(names: Sequence[str]) -> None:
    """Fits the named stacks, or all that train; bands are pooled over all of them, so all are fitted either way."""
    meaning = meanings("training")
    ids = [name for name in catalog.ids("stacks") if catalog.stack(name).training is not None]
    fits = {name: fit_stack(name, meaning) for name in ids}
    for name, one in fits.items():
        if not one.runs and name != GENERIC:  # nothing was measured: the average stands in
            values = {number: fits[GENERIC].values[number] for number in one.values}
            fits[name] = replace(one, values=values)
    own = [one for name, one in fits.items() if name != GENERIC and name not in STANDS_ON]
    models = joined([one.by_model for one in own if one.by_model])
    hardware = joined([one.by_hardware for one in own if one.by_hardware])
    # Where a source does not say what is recomputed, the residual measures its silence, not the model.
    stated = {name: _memory_residuals([r for r in runs_of(name) if r.peak_gib and r.recompute_stated]) for name in ids}
    memory = joined([part for one in own if (part := stated[one.stack.id]) is not None])
    fits[GENERIC] = replace(fits[GENERIC], memory=stated[GENERIC])
    _write_left_out([one for one in own if one.left_out])
    for name in names or ids:
        one = fits[name]
        bands = _bands(one, models, hardware, memory)
        devices = sorted({run.plan.device.id for run in one.runs})
        rewrite(catalog.find("stacks", name), render(one.stack, one.values, bands, devices, _sources(one.runs)))
        print(_line(one, bands))


def _write_left_out(fits: Sequence[Fit]) -> None:
    """Step times predicted for models that the numbers were not fitted on, for `accuracy`."""
    lines = ["id,step_seconds"]
    lines += [f"{run_id},{seconds:.6g}" for one in fits for run_id, seconds in one.left_out.items()]
    LEFT_OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")


def fit_stack(name: str, meaning: Meaning) -> Fit:
    """Fits one stack and predicts each of its runs from the others."""
    stack, everything = catalog.stack(name), runs_of(name)
    runs = [run for run in everything if run.seconds]
    memory = _memory_residuals([run for run in everything if run.peak_gib])
    if not runs:
        return Fit(stack, [], {number: meaning[number].prior for number in stack.fitted}, {}, None, None, memory)
    values = fit(runs, meaning, stack)
    # The generic stack stands for software that is not in the catalogue: leave out a stack, not a model.
    models = left_out(
        runs, meaning, stack, values, (lambda run: run.stack) if name == GENERIC else (lambda run: run.model)
    )
    devices = left_out(runs, meaning, stack, values, lambda run: run.plan.device.id) if name != GENERIC else {}
    return Fit(stack, runs, values, models, _residuals(runs, models), _residuals(runs, devices), memory)


def _residuals(runs: Sequence[Run], predicted: dict[str, float]) -> Residuals | None:
    if not predicted:
        return None
    return Residuals(np.array([(run.seconds or 0.0) / predicted[run.id] for run in runs]), weights(runs))


def _memory_residuals(runs: Sequence[Run]) -> Residuals | None:
    if not runs:
        return None
    ratios = [(run.peak_gib or 0.0) / predicted_gib(run) for run in runs]
    return Residuals(np.array(ratios), weights(runs))


def predicted_gib(run: Run) -> float:
    """Predicted memory, as the row's source measured it [GiB]."""
    memory = training_memory(run.plan)
    held = {"allocated": memory.allocated_bytes, "nvidia-smi": memory.peak_bytes}
    return float(held.get(run.memory_kind, memory.reserved_bytes)) / GIB


def _bands(one: Fit, models: Residuals, hardware: Residuals, memory: Residuals) -> dict[str, Band]:
    """Bands of the step and the memory, and of the step on hardware that the stack was not measured on."""
    if one.stack.id == GENERIC and one.by_model is not None:
        step = band(one.by_model, one.by_model)
        unknown = band(None, joined([one.by_model, hardware]))
    else:
        step = band(one.by_model, models)
        unknown = band(one.by_hardware, hardware)
    unknown = unknown.model_copy(update={"low": min(unknown.low, step.low), "high": max(unknown.high, step.high)})
    alone = one.stack.id == GENERIC and one.memory is not None
    peak = band(one.memory, one.memory if alone and one.memory else memory)
    return {STEP: step, f"{STEP}_{UNMEASURED}": unknown, PEAK: peak}


def _sources(runs: Sequence[Run]) -> list[str]:
    """The publications of the rows and how many rows of each; the file that holds them where they are many."""
    counts = Counter(run.group.publication for run in runs)
    most = 12
    lines = [f"{source.replace(chr(34), chr(39))}: {count} rows" for source, count in counts.most_common(most)]
    if len(counts) > most:
        lines.append(f"and {len(counts) - most} more publications in {MEASUREMENTS}")
    return lines or ["nothing: numbers of the generic stack"]


def _line(one: Fit, bands: dict[str, Band]) -> str:
    error: Any = ""
    if one.runs:
        errors = [abs((run.seconds or 0) / predict(run, one.values, one.stack) - 1) for run in one.runs]
        error = f"median {np.median(errors):.1%} of rows"
    step = bands[STEP]
    return f"{one.stack.id}: {len(one.runs)} runs, {error}, band {step.low:g} .. {step.high:g}"
