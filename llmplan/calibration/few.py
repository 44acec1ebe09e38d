"""What a few of a user's own runs are worth: the rest of a publication, once three of its rows were calibrated on.

The parent is the stack as it is fitted without the publication. The three rows are the first, the middle and the last
of it in the order of the file, so that no choice of ours is in the figure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from llmplan.calibration.evaluate import Evaluator
from llmplan.calibration.fit import MEAN, Fitted, Points, Problem, fit
from llmplan.calibration.left_out import fits_without
from llmplan.calibration.own import fit_own
from llmplan.calibration.runs import FILES, STEP, Run, load_runs, predict, votes
from llmplan.calibration.scale import Scale, weighted_quantile
from llmplan.calibration.study import stored, tree_of
from llmplan.catalog.catalog import Catalog
from llmplan.catalog.inheritance import numbers
from llmplan.records import dataclass, replace

GIVEN = 3
"""Rows of a publication and stack that are given."""


@dataclass(frozen=True, slots=True)
class Rest:
    """One run beside those that were given: the error of its step time before and after [1]."""

    run: Run
    before: float
    after: float


def few(catalog: Catalog) -> list[Rest]:
    """Every publication and stack that has more runs of training than are given; entries are taken as they are."""
    runs = [run for run in load_runs(FILES[:1], catalog)[0] if STEP in run.measured]
    scale, tree = Scale.of(numbers()), tree_of(catalog, [run.leaf for run in runs])
    with Evaluator(runs, scale) as evaluator:
        fitted = fit(Problem(runs, evaluator, scale), tree, stored(catalog, tree, scale), steps=0)
        return list(_few(runs, fitted, evaluator, scale))


def _few(runs: Sequence[Run], fitted: Fitted, evaluator: Evaluator, scale: Scale) -> Iterator[Rest]:
    for part, _, points in fits_without(runs, fitted, evaluator, scale):
        stacks: dict[str, list[Run]] = defaultdict(list)
        for run in part:
            stacks[run.leaf[0]].append(run)
        for stack, own in stacks.items():
            if len(own) > GIVEN:
                yield from rest(own, stack, points, evaluator, scale)


def rest(own: Sequence[Run], stack: str, points: Points, evaluator: Evaluator, scale: Scale) -> Iterator[Rest]:
    """Runs of one publication and stack beside those that are given, as `llmplan calibrate` would have them."""
    leaf, versions = (stack, ""), own[0].plan.stack.versions
    newest = (stack, versions[-1].version) if versions else leaf
    above = points.get(newest, points.get(leaf, points[MEAN]))
    given = given_of(len(own))
    learned = [replace(own[index], leaf=leaf) for index in given]
    after = fit_own(learned, evaluator, scale, leaf, above).points[leaf]
    for index, run in enumerate(own):
        if index not in given:
            yield Rest(run, *(_error(run, scale, point) for point in (above, after)))


def given_of(count: int) -> list[int]:
    """Places of the rows that are given, of so many.

    >>> given_of(4), given_of(75)
    ([0, 1, 3], [0, 37, 74])
    """
    return [index * (count - 1) // (GIVEN - 1) for index in range(GIVEN)]


def _error(run: Run, scale: Scale, point: Any) -> float:
    rate = run.measured[STEP] / float(predict(run, scale.coefficients(point))[STEP])
    return abs(rate - 1.0)


def median(found: Sequence[Rest]) -> tuple[float, float]:
    """Medians of the errors before and after, groups weighing equally."""
    weight = votes([one.run for one in found])
    share = [weight[one.run.id, STEP] for one in found]
    before = weighted_quantile([one.before for one in found], share, 0.5)
    return before, weighted_quantile([one.after for one in found], share, 0.5)


def tell(found: Sequence[Rest]) -> Iterator[str]:
    """The result as lines for people, by stack."""
    yield f"tokens a second, {GIVEN} rows of a publication and stack given to `llmplan calibrate`, median of the rest"
    yield f"{'':<20}{'rows':>6}{'before':>9}{'after':>9}"
    for name in (*sorted({one.run.leaf[0] for one in found}), "all"):
        some = [one for one in found if name in ("all", one.run.leaf[0])]
        before, after = median(some)
        yield f"{name:<20}{len(some):>6}{before:>9.1%}{after:>9.1%}"
