"""The whole calibration: all stacks fitted, every publication left out, the bands, and what stands in the entries."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from llmplan.calibration.bands import (
    BandModel,
    Point,
    band_name,
    fit_bands,
    foreign_bands,
    known_distances,
    points,
    unstated,
)
from llmplan.calibration.entries import rewrite
from llmplan.calibration.evaluate import Evaluator
from llmplan.calibration.fit import FAMILY, IN_A_FAMILY, MEAN, OF_A_FAMILY, Fitted, Leaf, Points, Problem, Tree, fit
from llmplan.calibration.left_out import Unseen, foreign, left_out
from llmplan.calibration.runs import FILES, PEAK, RATE, STEP, Dropped, Run, load_runs
from llmplan.calibration.scale import Scale
from llmplan.catalog.catalog import Catalog
from llmplan.catalog.inheritance import GENERIC, GENERICS, generic_of, numbers
from llmplan.records import dataclass, fields_of, given
from llmplan.software.band import Band, UnstatedWidths, unstated_width
from llmplan.software.coefficients import NAMES, Coefficients
from llmplan.software.distance import UNKNOWN_STACK, Measured, StatedDistances
from llmplan.training.plan import TrainingPlan
from llmplan.vocabulary import Guess

LEFT_OUT = Path("tests/measurements/left_out")
_SAME = 0.01  # relative difference below which a version has its stack's number
_MOST_SOURCES = 12


@dataclass(frozen=True, slots=True)
class Study:
    """A fit of all stacks with its bands."""

    runs: list[Run]
    dropped: list[Dropped]
    scale: Scale
    fitted: Fitted
    unseen: list[Unseen]
    errors: list[Point]
    bands: BandModel
    generic: dict[str, dict[str, Band]]
    """Bands of the generic stacks, used for a stack without an entry, by id."""


def study(catalog: Catalog, *, refit: bool) -> Study:
    """Everything from the measured rows; refit: fit anew, or take the entries' coefficients as they stand."""
    runs, dropped = load_runs(FILES, catalog)
    scale = Scale.of(numbers())
    tree = tree_of(catalog, [run.leaf for run in runs])
    with Evaluator(runs, scale) as evaluator:
        problem = Problem(runs, evaluator, scale)
        start = stored(catalog, tree, scale)
        fitted = fit(problem, tree, start) if refit else fit(problem, tree, start, steps=0)
        unseen = list(left_out(runs, fitted, evaluator, scale))
    return _with_bands(catalog, runs, dropped, scale, fitted, unseen)


def from_stored(catalog: Catalog) -> Study:
    """The entries as they stand and the left-out predictions that are stored, for bands made anew."""
    runs, dropped = load_runs(FILES, catalog)
    scale, tree = Scale.of(numbers()), tree_of(catalog, [run.leaf for run in runs])
    fitted = Fitted(tree, stored(catalog, tree, scale), {}, 0.0)
    rows = {
        row["id"]: row for path in sorted(LEFT_OUT.glob("*.json"))
        for row in json.loads(path.read_text(encoding="utf-8"))["rows"]
    }  # fmt: skip
    unseen = [
        Unseen(run, (row := rows[run.id])["predicted"], tuple(row["distances"]), tuple(row.get("unstated", ())))
        for run in runs if run.id in rows
    ]  # fmt: skip
    return _with_bands(catalog, runs, dropped, scale, fitted, unseen)


def _with_bands(
    catalog: Catalog, runs: list[Run], dropped: list[Dropped], scale: Scale, fitted: Fitted, unseen: list[Unseen]
) -> Study:
    widths = unstated_widths(catalog)
    errors = points(unseen, widths)
    bands = fit_bands(errors)
    generic, named = {}, {run.id: run.leaf for run in runs}
    for name in GENERICS:
        under, _ = load_runs(FILES, catalog, under=name)
        its = [run for run in under if generic_of(run.row.cells["workload"]) == name]
        found = list(foreign(its, named, scale.coefficients(fitted.points[MEAN])))
        generic[name] = foreign_bands(bands, points(found, widths))
    return Study(runs, dropped, scale, fitted, unseen, errors, bands, generic)


def unstated_widths(catalog: Catalog) -> UnstatedWidths:
    """Half widths by family and option that a run does not give."""
    return catalog.table("distances", StatedDistances).unstated


def tree_of(catalog: Catalog, leaves: Sequence[Leaf]) -> Tree:
    """The tree above some leaves, with the families of their stacks."""
    families = {stack: family for stack, _ in leaves if (family := catalog.stack(stack).family)}
    return Tree.of(leaves, families)


def stored(catalog: Catalog, tree: Tree, scale: Scale) -> Points:
    """The coefficients of the entries as points of a tree."""
    mean = scale.point(Coefficients.of(catalog.stack(GENERIC).fitted))
    found: Points = {}
    for stack, version in tree.nodes:
        if not stack:
            found[stack, version] = mean
        elif version != FAMILY:
            entry = catalog.stack(stack)
            fitted = Coefficients.of(entry.fitted) if not version else entry.at(version).coefficients
            found[stack, version] = scale.point(fitted)
    return found | {node: above_of(node[0], catalog, scale) for node in tree.nodes if node[1] == FAMILY}


def above_of(family: str | None, catalog: Catalog, scale: Scale) -> Any:
    """The point that stacks of a family are drawn to: where its own draws, to the mean and to them, are in balance."""
    entries = [entry for name in catalog.ids("stacks") if (entry := catalog.stack(name)).family == family]
    around = [scale.point(Coefficients.of(entry.fitted)) for entry in entries] if family else []
    mean, each = scale.point(Coefficients.of(catalog.stack(GENERIC).fitted)), (OF_A_FAMILY / IN_A_FAMILY) ** 2
    return (mean + each * sum(around)) / (1.0 + each * len(around))


def write_entries(found: Study, catalog: Catalog) -> None:
    """Coefficients, bands and their sources into every stack's entry; those without rows have the mean."""
    widths = unstated_widths(catalog)
    for name in catalog.ids("stacks"):
        path = catalog.find("stacks", name)
        entry = catalog.stack(name)
        made = coefficients_of(name, found.fitted, found.scale, yaml.safe_load(path.read_text(encoding="utf-8")))
        families = ["training"] * (entry.training is not None) + ["serving"] * (entry.policy is not None)
        in_bands = (UNKNOWN_STACK,) if name in GENERICS else ()
        widening = {family: found.bands.widening(family, but=in_bands) for family in (*families, "memory")}
        made_for = found.generic.get(name) or found.bands.bands(name)
        bands = {band: given(value) for band, value in made_for.items() if _has(band, families)}
        kept = {band: given(value) for band, value in entry.bands.items() if value.note}
        mine = [run for run in found.runs if run.leaf[0] == name]
        made |= {
            "bands": kept | bands,
            "widening": {family: factors for family, factors in widening.items() if factors},
            "unstated": stated_by_all(mine, found.runs, widths),
            "measured": {
                key: list(value)
                for key, value in fields_of(Measured.of(run.plan.traits for run in mine)).items()
                if value
            },
            "fitted_on": sources(mine) if mine else ["nothing: the mean over all stacks"],
        }
        if name == GENERIC:
            made["fitted_on"] = [f"the mean over {len({leaf[0] for leaf in found.fitted.tree.nodes}) - 1} stacks"]
        rewrite(path, made)


def stated_by_all(mine: Sequence[Run], every: Sequence[Run], widths: UnstatedWidths) -> dict[str, dict[Guess, float]]:
    """Half widths of options that all runs of a stack give, by family: of memory those whose memory was measured, of
    all stacks where the stack has none, for its band is theirs. None where no run is a training."""
    measured = {"training": [run for run in mine if STEP in run.measured]}
    measured["memory"] = [run for run in mine if PEAK in run.measured] or [run for run in every if PEAK in run.measured]
    found = {}
    for family, own in widths.items():
        plans = [run.plan for run in measured[family] if isinstance(run.plan, TrainingPlan)]
        left = {option for plan in plans for option in plan.guessed}
        known = {option: width for option, width in own.items() if option not in left}
        if known and plans and any(isinstance(run.plan, TrainingPlan) for run in mine):
            found[family] = known
    return found


def _has(band: str, families: Sequence[str]) -> bool:
    """Whether a stack of these families has that band."""
    trains = band in (STEP, "peak_bytes", "allocated_bytes", "reserved_bytes")
    return "training" in families if trains else "serving" in families


def coefficients_of(name: str, fitted: Fitted, scale: Scale, old: Mapping[str, Any]) -> dict[str, Any]:
    """`fitted` and `versions` of an entry: the stack's coefficients complete, of versions those that differ."""
    nearest = next(node for node in ((name, ""), (old.get("family"), FAMILY), MEAN) if node in fitted.points)
    mine = scale.coefficients(fitted.points[nearest])
    versions = []
    for one in old.get("versions") or []:
        kept = {key: value for key, value in one.items() if key != "fitted"}
        point = fitted.points.get((name, one["version"]))
        if point is not None:
            values = scale.coefficients(point)
            kept["fitted"] = {
                word: getattr(values, word) for word in NAMES
                if abs(getattr(values, word) / getattr(mine, word) - 1.0) > _SAME
            }  # fmt: skip
        versions.append(kept)
    return {"fitted": {word: getattr(mine, word) for word in NAMES}, "versions": versions}


def sources(runs: Iterable[Run]) -> list[str]:
    """The publications of the rows and how many rows of each, the most first."""
    counts = Counter(run.publication for run in runs)
    lines = [f"{source}: {count} rows" for source, count in counts.most_common(_MOST_SOURCES)]
    return [*lines, f"and {len(counts) - _MOST_SOURCES} more"] if len(counts) > _MOST_SOURCES else lines


def write_left_out(found: Study, catalog: Catalog, folder: Path = LEFT_OUT) -> list[Path]:
    """Left-out predictions as `validate --json` has them, one file for each file of measurements."""
    kinds: dict[str, list[Unseen]] = defaultdict(list)
    files = {row_id: path.stem for path in FILES for row_id in _ids(path)}
    for one in found.unseen:
        kinds[files[one.run.id]].append(one)
    widths = unstated_widths(catalog)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, part in kinds.items():
        path = folder / f"{kind}.json"
        rows = ",\n".join(json.dumps(_row(one, found.bands, widths)) for one in part)
        path.write_text(f'{{"rows": [\n{rows}\n]}}\n', encoding="utf-8")
        written.append(path)
    return written


def _ids(path: Path) -> list[str]:
    from llmplan.answer.rows import read_rows

    return [row.id for row in read_rows(path)]


def _row(one: Unseen, model: BandModel, widths: UnstatedWidths) -> dict[str, Any]:
    """One left-out prediction with its band."""
    run, predicted, interval = one.run, {}, {}
    for name in run.measured:
        value = one.predicted.get(name)
        if not value:
            continue
        band = band_name(name, run.row.cells.get("memory_kind", ""))
        width = model.width(band, run.leaf[0], known_distances(band, one.distances))
        width = math.hypot(width, unstated_width(band, unstated(band, one.unstated), widths))
        low, high = value * math.exp(-width), value * math.exp(width)
        if name == STEP and isinstance(run.plan, TrainingPlan):
            tokens = run.plan.workload.global_batch * run.plan.workload.seq_len / run.plan.devices
            predicted[RATE], interval[RATE] = _short(tokens / value), [_short(tokens / high), _short(tokens / low)]
        predicted[name], interval[name] = _short(value), [_short(low), _short(high)]
    found = {"id": run.id, "predicted": predicted, "interval": interval, "distances": list(one.distances)}
    return found | ({"unstated": list(one.unstated)} if one.unstated else {})


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def fit_stack(name: str, catalog: Catalog) -> tuple[dict[str, Any], list[Run], list[Dropped]]:
    """Fits one stack alone, drawn to the mean, or its family's; what its entry then has, its runs, what was dropped."""
    entry = catalog.stack(name)
    runs, dropped = load_runs(FILES, catalog, only=entry.id)
    scale = Scale.of(numbers())
    tree = tree_of(catalog, [(entry.id, ""), *(run.leaf for run in runs)]).below(entry.id)
    with Evaluator(runs, scale) as evaluator:
        problem = Problem(runs, evaluator, scale)
        fitted = fit(problem, tree, stored(catalog, tree, scale), above=above_of(entry.family, catalog, scale))
    old = yaml.safe_load(catalog.find("stacks", name).read_text(encoding="utf-8"))
    return coefficients_of(entry.id, fitted, scale, old), runs, dropped
