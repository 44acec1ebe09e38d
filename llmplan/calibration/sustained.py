"""The energy of a FLOP, by which power holds a device's clock down: `product_energy`, fitted beside all coefficients.

A stack that was measured on one device alone tells next to nothing, for its own coefficients say the same; one that was
measured on several tells how they differ. Devices that are like each other share an energy, and differ by their power
limits. Steps of Gauss and Newton on the points of all stacks and the logarithms of the energies together; the order of
layouts, which no device changes, is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import yaml

from llmplan.calibration.evaluate import Evaluator
from llmplan.calibration.fit import Points, Problem, Terms, Tree, stiffness, system
from llmplan.calibration.runs import FILES, Run, load_runs
from llmplan.calibration.scale import Scale
from llmplan.calibration.study import stored, tree_of
from llmplan.catalog.catalog import Catalog
from llmplan.catalog.inheritance import numbers
from llmplan.records import dataclass, replace
from llmplan.software.coefficients import NAMES
from llmplan.units import parse_quantity

PICOJOULE = 1e-12
PRIOR, SPREAD = 1e-12, 0.2
"""Of chips in TSMC's 4N [J], and the deviation of its logarithm from chip to chip."""
LEAST, MOST = 0.4e-12, 2.5e-12
"""A chip that would draw half of its limit, and one that would keep two thirds of its clock, at an H100's rates [J]."""
_STEPS, _NUDGE, _FARTHEST = 4, 0.03, 0.3


@dataclass(frozen=True, slots=True)
class Sustained:
    """Energy of a FLOP of a device, as it stands and as fitted [J], and the votes of the runs that tell of it [1]."""

    device: str
    before: float
    after: float
    votes: float


def sustained(catalog: Catalog) -> list[Sustained]:
    """The energies of all devices that have one of their own, from all measured runs."""
    return fitted_energies(load_runs(FILES, catalog)[0], catalog)


def fitted_energies(runs: Sequence[Run], catalog: Catalog) -> list[Sustained]:
    """The same from some runs."""
    before = own_energies(catalog)
    owners = {device: _owner(device, catalog, before) for device in {run.plan.device.id for run in runs}}
    owner = {run.id: found for run in runs if (found := owners[run.plan.device.id])}
    scale, tree = Scale.of(numbers()), tree_of(catalog, [run.leaf for run in runs])
    points, logs = stored(catalog, tree, scale), {name: math.log(value) for name, value in before.items()}
    votes = dict.fromkeys(before, 0.0)
    for _ in range(_STEPS):
        points, logs, votes = _step(runs, owner, scale, tree, points, logs)
    return [Sustained(name, value, math.exp(logs[name]), votes[name]) for name, value in before.items()]


def own_energies(catalog: Catalog) -> dict[str, float]:
    """`product_energy` of the devices whose entries have one, rather than that of a like device."""
    entries = {name: _efficiency(name, catalog) for name in catalog.ids("devices")}
    return {
        name: parse_quantity(entry["product_energy"], "J")
        for name, entry in entries.items()
        if "product_energy" in entry
    }


def _owner(device: str, catalog: Catalog, known: Mapping[str, float]) -> str | None:
    """The device whose energy a device has: its own, or that of the one it is like."""
    name: str | None = device
    while name is not None and name not in known:
        name = _efficiency(name, catalog).get("like")
    return name


def _efficiency(device: str, catalog: Catalog) -> Mapping[str, Any]:
    """What the device's entry itself says."""
    return yaml.safe_load(catalog.find("devices", device).read_text(encoding="utf-8")).get("efficiency") or {}


def at_energy(run: Run, energy: float) -> Run:
    """The run on a device that whose FLOPs take so much [J]."""
    efficiency = replace(run.plan.device.efficiency, product_energy=energy)
    device = replace(run.plan.device, efficiency=efficiency)
    return replace(run, plan=replace(run.plan, device=device))


def _step(
    runs: Sequence[Run], owner: Mapping[str, str], scale: Scale, tree: Tree, points: Points, logs: Mapping[str, float]
) -> tuple[Points, dict[str, float], dict[str, float]]:
    """One step: points, logarithms of energies, and the votes of each."""

    def moved(nudge: float) -> list[Run]:
        return [at_energy(run, math.exp(logs[owner[run.id]] + nudge)) if run.id in owner else run for run in runs]

    with Evaluator(moved(0.0), scale) as evaluator:
        problem = Problem(runs, evaluator, scale)
        wanted = {index: points[leaf] for leaf, indices in problem.indices.items() for index in indices}
        ratios, slopes = evaluator.slopes(wanted)
    with Evaluator(moved(_NUDGE), scale) as evaluator:
        nudged = evaluator.ratios({index: point for index, point in wanted.items() if runs[index].id in owner})
    names, place = list(logs), {node: i for i, node in enumerate(tree.nodes)}
    size, votes, terms = len(NAMES), dict.fromkeys(logs, 0.0), {}
    cross = np.zeros((len(tree.nodes), size, len(names)))
    own_slope = np.array([(logs[name] - math.log(PRIOR)) / SPREAD**2 for name in names])
    own_curvature = np.full(len(names), 1.0 / SPREAD**2)
    for leaf, indices in problem.indices.items():
        gradient, curvature = np.zeros(size), np.zeros((size, size))
        for index in indices:
            for name, weight in problem.weights[index].items():
                value, slope = ratios[index][name], slopes[index][name]
                pull = stiffness(value, weight)
                gradient += pull * value * slope
                curvature += pull * np.outer(slope, slope)
                if index in nudged:
                    device = names.index(owner[runs[index].id])
                    by_log = (nudged[index][name] - value) / _NUDGE
                    own_slope[device] += pull * value * by_log
                    own_curvature[device] += pull * by_log**2
                    cross[place[leaf], :, device] += pull * slope * by_log
                    votes[names[device]] += weight
        terms[leaf] = Terms(points[leaf], 0.0, gradient, curvature)
    slope, curved = system(tree, points, scale, scale.prior, terms)
    beside = cross.reshape(-1, len(names))
    whole = np.block([[curved, beside], [beside.T, np.diag(own_curvature)]])
    step = np.linalg.solve(whole, -np.concatenate([slope, own_slope]))
    at_nodes = np.clip(step[: -len(names)], -1.0, 1.0).reshape(len(tree.nodes), -1)
    by_device = np.clip(step[-len(names) :], -_FARTHEST, _FARTHEST)
    found = {
        name: min(max(logs[name] + part, math.log(LEAST)), math.log(MOST))
        for name, part in zip(names, by_device, strict=True)
    }
    return {node: points[node] + at_nodes[i] for node, i in place.items()}, found, votes
