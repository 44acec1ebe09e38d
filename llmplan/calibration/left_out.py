"""Predictions of every publication from a fit that has not seen it: a user's run is one that nobody fitted on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from llmplan.calibration.evaluate import Evaluator
from llmplan.calibration.fit import MEAN, Fitted, Points, Problem, fit
from llmplan.calibration.runs import Run, predict, still
from llmplan.calibration.scale import Scale
from llmplan.records import dataclass, replace
from llmplan.software.coefficients import Coefficients
from llmplan.software.distance import OPEN_LOAD, Measured
from llmplan.training.plan import TrainingPlan
from llmplan.vocabulary import Guess

_STEPS = 4  # from the full fit, which is near


@dataclass(frozen=True, slots=True)
class Unseen:
    """One run as it is predicted without its publication; distances: what it is of that its stack did not see."""

    run: Run
    predicted: dict[str, float]
    distances: tuple[str, ...]
    unstated: tuple[Guess, ...] = ()
    """Options that it does not give, and the rows of its stack that were seen all do."""


def fits_without(
    runs: Sequence[Run], fitted: Fitted, evaluator: Evaluator, scale: Scale
) -> Iterator[tuple[list[Run], list[Run], Points]]:
    """For every publication its runs, other runs of its stacks, and the points of a fit that has not seen it.

    Stacks of which it has rows are fitted anew, and the mean.
    """
    publications: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        publications[run.publication].append(run)
    for publication, part in publications.items():
        stacks = {run.leaf[0] for run in part}
        near = [run for run in runs if run.publication != publication and run.leaf[0] in stacks]
        frozen = {leaf: terms for leaf, terms in fitted.terms.items() if leaf[0] not in stacks}
        again = fit(Problem(near, evaluator, scale), fitted.tree, fitted.points, frozen=frozen, steps=_STEPS)
        yield part, near, again.points


def left_out(runs: Sequence[Run], fitted: Fitted, evaluator: Evaluator, scale: Scale) -> Iterator[Unseen]:
    """Every run predicted from the others."""
    for part, near, points in fits_without(runs, fitted, evaluator, scale):
        for run in part:
            known = [other for other in near if other.leaf[0] == run.leaf[0]]
            coefficients = scale.coefficients(points.get(run.leaf, points[MEAN]))
            found = {**predict(run, coefficients), **still(run)}
            values = {name: float(value) for name, value in found.items()}
            yield Unseen(run, values, distances(run, known), unstated(run, known))


def foreign(runs: Iterable[Run], stacks: Mapping[str, tuple[str, str]], coefficients: Coefficients) -> Iterator[Unseen]:
    """Every run, planned under `generic`, as of a stack that has no entry.

    stacks: the leaf of each by its id, which its vote goes to; coefficients: the mean over all stacks.
    """
    for run in runs:
        found = {**predict(run, coefficients), **still(run)}
        values = {name: float(value) for name, value in found.items()}
        yield Unseen(
            replace(run, leaf=stacks.get(run.id, run.leaf)), values, (OPEN_LOAD,) if run.plan.traits.open_load else ()
        )


def unstated(run: Run, known: Sequence[Run]) -> tuple[Guess, ...]:
    """Options that a run leaves to the recipe and no known one does; none where nothing is known of the stack."""
    usual = {option for other in known for option in _guessed(other)}
    return tuple(option for option in _guessed(run) if option not in usual) if known else ()


def _guessed(run: Run) -> tuple[Guess, ...]:
    return run.plan.guessed if isinstance(run.plan, TrainingPlan) else ()


def distances(run: Run, known: Sequence[Run]) -> tuple[str, ...]:
    """What sets a run apart from the rows of its stack that were fitted on."""
    version_known = any(other.leaf == run.leaf for other in known)
    seen = Measured.of(other.plan.traits for other in known)
    return tuple(seen.distances(run.plan.traits, version_known=version_known))
