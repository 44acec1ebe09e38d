"""A user's own runs as a stack entry: coefficients drawn to the parent's, and the band that the rows earn."""

from __future__ import annotations

import datetime
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmplan.answer.data import to_data
from llmplan.answer.rows import read_rows
from llmplan.answer.shown import Shown
from llmplan.calibration.bands import NARROWEST, band_name, reached
from llmplan.calibration.entries import render, replace_text
from llmplan.calibration.evaluate import Evaluator
from llmplan.calibration.fit import Fitted, Leaf, Problem, Tree, fit
from llmplan.calibration.further import further_run
from llmplan.calibration.runs import Dropped, Run, load_runs, predict, still
from llmplan.calibration.scale import Scale
from llmplan.catalog.catalog import Catalog
from llmplan.catalog.entries import ALIASES, ID, normal
from llmplan.catalog.inheritance import generic_of, numbers
from llmplan.errors import Fault, InputError
from llmplan.records import dataclass, fields_of, given, replace, to_plain
from llmplan.software.band import NO_BAND, Band
from llmplan.software.coefficients import NAMES, Coefficients
from llmplan.software.distance import Measured
from llmplan.software.stack import Release, Stack

MOST_VOTES = 8.0
"""Votes of the rows of one model on one device: more rows than these are measured better, and no more is learnt."""
_EARNED = 6.0  # own rows with which their errors count as much as the parent's band
_TOLD = 0.02  # relative change of a coefficient that is worth a line
_FOLDS = 8  # parts that are left out in turn for the band


@dataclass(frozen=True, slots=True)
class Change:
    """Errors of one quantity: of how many rows, by the parent, by the fit, and by fits without the row itself."""

    rows: int
    before: float
    after: float
    left_out: float


@dataclass(frozen=True, slots=True, repr=False)
class Calibration(Shown):
    """A stack that was fitted on runs: where its entry is, errors before and after, coefficients that moved.

    advice: the further run that would tell most, and how unsure it is now [1].
    """

    path: Path
    parent: str
    runs: list[Run]
    dropped: list[Dropped]
    changes: dict[str, Change]
    moved: dict[str, tuple[float, float]]
    advice: tuple[str, float] | None

    def headline(self) -> str:
        """The entry, how many runs it was fitted on, and the median errors before and after."""
        errors = ", ".join(f"{name} {one.before:.1%} -> {one.after:.1%}" for name, one in self.changes.items())
        return f"stack {self.path.stem} fitted on {len(self.runs)} runs; median error {errors}"

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, of the runs how many."""
        dropped = [{"id": one.row.id, "line": one.row.line, "why": one.why} for one in self.dropped]
        found = {"path": str(self.path), "parent": self.parent, "runs": len(self.runs), "dropped": dropped}
        return found | {"changes": to_data(self.changes), "moved": to_data(self.moved), "advice": to_data(self.advice)}

    def to_text(self) -> str:
        """What `llmplan calibrate` prints."""
        return "\n".join(tell(self))


def calibrate(file: Path, stack: str, parent: str | None, catalog: Catalog, folder: Path) -> Calibration:
    """Fits the runs of a file and writes the entry into a catalogue folder; raises InputError where nothing is left."""
    name = normal(stack)
    above = catalog.stack(parent or _common_stack(file, catalog))
    if not ID.match(name) or name == ALIASES:
        raise InputError(f"stack {stack!r} is no name for an entry: letters, digits, dots, plus and minus signs")
    if above.id == name:
        raise InputError(f"stack {name} cannot be its own parent: give the new entry another name (--stack)")
    runs, dropped = load_runs([file], catalog, under=above.id)
    if not any(run.moving for run in runs):
        why = dropped[0].why if dropped else "nothing was measured that a coefficient moves"
        raise InputError(Fault(f"none of its rows can be fitted on: {why}", str(file)))
    release, scale, leaf = above.at(None), Scale.of(numbers()), (name, "")
    runs = [replace(run, leaf=leaf) for run in runs]
    start = scale.point(release.coefficients)
    with Evaluator(runs, scale) as evaluator:
        fitted = fit_own(runs, evaluator, scale, leaf, start)
        values = scale.coefficients(fitted.points[leaf])
        unseen = dict(_left_out(runs, evaluator, scale, leaf, fitted, start))
    before, after = ({run.id: _errors(run, one) for run in runs} for one in (release.coefficients, values))
    changes = _changes(runs, before, after, unseen)
    path = folder / "stacks" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, _entry(stack, above, release, values, _bands(above, runs, unseen), runs, file))
    pairs = {word: (getattr(release.coefficients, word), getattr(values, word)) for word in NAMES}
    moved = {word: (old, new) for word, (old, new) in pairs.items() if abs(new - old) > _TOLD * old}
    advice = further_run(runs, fitted, scale, leaf, catalog, above.id)
    return Calibration(path, above.id, runs, dropped, changes, moved, advice)


def _common_stack(file: Path, catalog: Catalog) -> str:
    """The stack that most rows name, if the catalogue knows it."""
    rows = list(read_rows(file))
    counts = Counter(row.cells.get("stack", "") for row in rows)
    for name, _ in counts.most_common():
        if name and normal(name) in catalog.names("stacks"):
            return name
    return generic_of(Counter(row.cells.get("workload") for row in rows).most_common(1)[0][0])


def own_votes(runs: Sequence[Run]) -> dict[tuple[str, str], float]:
    """Weights of a user's rows: a vote each, up to so many a model and device."""
    sizes = Counter((run.group, name) for run in runs for name in run.measured)
    return {
        (run.id, name): min(1.0, MOST_VOTES / sizes[run.group, name]) for run in runs for name in run.measured
    }  # fmt: skip


def fit_own(runs: Sequence[Run], evaluator: Evaluator, scale: Scale, leaf: Leaf, above: Any) -> Fitted:
    """The point of one leaf on its own rows, drawn to `above`."""
    problem = Problem([run for run in runs if run.moving], evaluator, scale, own_votes(runs))
    return fit(problem, Tree({leaf: None}), {leaf: above}, above=above)


def _left_out(
    runs: Sequence[Run], evaluator: Evaluator, scale: Scale, leaf: Leaf, full: Fitted, above: Any
) -> Iterator[tuple[str, dict[str, float]]]:
    """Log ratios of every run, by a fit of the others in as many parts as there are rows, up to `_FOLDS`."""
    moving = [run for run in runs if run.moving]
    folds = min(_FOLDS, len(moving))
    for fold in range(folds):
        rest = [run for index, run in enumerate(moving) if index % folds != fold]
        points = fit_own(rest, evaluator, scale, leaf, above).points if rest else {leaf: above}
        for run in moving[fold::folds]:
            yield run.id, _errors(run, scale.coefficients(points[leaf]))
    for run in runs:
        if not run.moving:
            yield run.id, _errors(run, scale.coefficients(full.points[leaf]))


def _errors(run: Run, coefficients: Coefficients) -> dict[str, float]:
    """Logarithms of measured over predicted, of all that was measured."""
    found = {**(predict(run, coefficients) if run.moving else {}), **still(run)}
    return {name: math.log(value / found[name]) for name, value in run.measured.items() if found.get(name, 0.0) > 0}


def _changes(runs: Sequence[Run], *errors: dict[str, dict[str, float]]) -> dict[str, Change]:
    """Median errors of each quantity, before, after and left out."""
    found = {}
    for name in dict.fromkeys(name for run in runs for name in run.measured):
        sets = [[abs(math.expm1(-one[run.id][name])) for run in runs if name in one[run.id]] for one in errors]
        if sets[0]:
            found[name] = Change(len(sets[0]), *(float(np.median(some)) for some in sets))
    return found


def _bands(above: Stack, runs: Sequence[Run], unseen: dict[str, dict[str, float]]) -> dict[str, Band]:
    """The parent's bands, drawn to what the rows' own left-out errors ask for."""
    found = dict(above.bands)
    errors: dict[str, list[float]] = {}
    for run in runs:
        for name, value in unseen[run.id].items():
            errors.setdefault(band_name(name, run.row.cells.get("memory_kind", "")), []).append(abs(value))
    for name, some in errors.items():
        theirs = math.log(found.get(name, NO_BAND).high)
        own = max(reached(some, [1.0] * len(some)), NARROWEST)
        share = len(some) / (len(some) + _EARNED)
        width = theirs ** (1.0 - share) * own**share
        low, high = round(math.exp(-width), 3), round(math.exp(width), 3)
        found[name] = Band(low=low, high=high, rows=len(some))
    return found


def _entry(
    name: str, above: Stack, release: Release, values: Coefficients, bands: dict[str, Band], runs: Sequence[Run],
    file: Path,
) -> str:  # fmt: skip
    """The text of the entry: what it leaves out is the parent's."""
    head = [f"name: {_quoted(name)}", f"parent: {above.id}"]
    for word, whole, base in (("training", release.recipe, above.training), ("policy", release.policy, above.policy)):
        if whole is not None and whole != base:
            fields = {key: to_plain(value) for key, value in fields_of(whole).items() if key in whole.given}
            head += [f"{word}:", *(f"  {key}: {_quoted(value)}" for key, value in fields.items())]
    head += [
        "sources:", f"  - {{what: fitted and bands, where: {_quoted(str(file))}}}",
        f'date: "{datetime.date.today().isoformat()}"',
    ]  # fmt: skip
    made = {
        "fitted": {word: getattr(values, word) for word in NAMES},
        "bands": {key: given(band) for key, band in bands.items()},
        "measured": {
            key: list(some) for key, some in fields_of(Measured.of(run.plan.traits for run in runs)).items() if some
        },
        "fitted_on": [f"{file.name}: {len(runs)} rows"],
    }
    return "\n".join(head) + "\n" + render(made)


def _quoted(value: Any) -> str:
    """A value as YAML on one line."""
    return json.dumps(value, ensure_ascii=False)


def tell(found: Calibration) -> Iterable[str]:
    """The result as lines for people."""
    yield f"{len(found.runs)} runs fitted, drawn to {found.parent}; {len(found.dropped)} rows dropped"
    for one in found.dropped:
        yield f"  dropped {one.row.id or '-'} (line {one.row.line}): {one.why}"
    yield ""
    yield f"{'median error of':<28}{'rows':>6}{'before':>9}{'after':>9}{'left out':>10}"
    for name, change in found.changes.items():
        errors = f"{change.before:>9.1%}{change.after:>9.1%}{change.left_out:>10.1%}"
        yield f"{name:<28}{change.rows:>6}{errors}"
    yield ""
    for name, (old, new) in found.moved.items():
        yield f"  {name} {old:.3g} -> {new:.3g}"
    yield f"wrote {found.path}"
    if found.advice is not None:
        what, deviation = found.advice
        yield f"a further run would tell most: {what} (these runs leave its coefficients open to {deviation:.1%})"
