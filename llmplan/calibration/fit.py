"""The fit: coefficients of versions, stacks and their mean together, from measured runs.

Minimised is, over the points z of all nodes of a tree (the mean over stacks, stacks, versions of stacks),

    RUNS x [sum of votes x soft(ln predicted - ln measured) + RANKING x sum of votes x soft(what a pair lacks)]
        + 1/2 x sum over nodes and coefficients ((z - z of the parent) / spread)^2

where the mean's parent is the prior of each meaning. Steps are those of Gauss and Newton, damped (Levenberg and
Marquardt); derivatives are differences, all of a run in one evaluation of arrays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from llmplan.calibration.evaluate import Evaluator
from llmplan.calibration.least_squares import OUTLIER, soft
from llmplan.calibration.runs import STEP, Run, pairs, votes
from llmplan.calibration.scale import Scale
from llmplan.records import dataclass
from llmplan.software.coefficients import NAMES
from llmplan.software.versions import version_key

RUNS = 2.0
"""Weight of a vote against the draw to the parent."""
RANKING = 2.0
"""Weight of a job's vote on the order of its layouts against that of a group."""
_MARGIN = 0.1  # log ratio of two layouts up to which a pair that was told apart should be told apart
_OF_A_VERSION = 0.5  # spread from version to version of a stack, of that from stack to stack
OF_A_FAMILY, IN_A_FAMILY = 0.5, 0.75**0.5  # of a family from the mean, and of a stack from its family: 1 in all
_STEPS, _ENOUGH, _LONGEST, _STIFFEST = 60, 1e-5, 1.5, 1e4
MEAN = ("", "")
"""The node above all stacks."""
FAMILY = "*"
"""In place of a version: the node above stacks that share their kernels."""

Leaf = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Tree:
    """Nodes by (stack, version), version "" for the stack itself; each with its parent and its spread from it [1]."""

    parents: Mapping[Leaf, Leaf | None]
    """None: the prior, or a parent that is held fixed."""
    related: frozenset[Leaf] = frozenset()
    """Families, and stacks of one."""

    @property
    def nodes(self) -> tuple[Leaf, ...]:
        """In the order in which they were found."""
        return tuple(self.parents)

    @classmethod
    def of(cls, leaves: Sequence[Leaf], families: Mapping[str, str] | None = None) -> Tree:
        """The tree above some leaves: a version is drawn to the one before it of its series, the first to its stack, a
        stack to its family.

        families: by stack; without one it is drawn to the mean.
        """
        parents: dict[Leaf, Leaf | None] = {MEAN: None}
        last: dict[Leaf, Leaf] = {}
        related: set[Leaf] = set()
        for stack, version in sorted(set(leaves), key=lambda leaf: (leaf[0], version_key(leaf[1]))):
            above = MEAN
            if family := (families or {}).get(stack):
                above = family, FAMILY
                parents.setdefault(above, MEAN)
                related |= {above, (stack, "")}
            parents.setdefault((stack, ""), above)
            if version:
                series = stack, version_key(version)[0]
                parents[stack, version] = last.get(series, (stack, ""))
                last[series] = stack, version
        return cls(parents, frozenset(related))

    def below(self, stack: str) -> Tree:
        """The part of one stack, whose own node is on top."""
        mine = {node: parent for node, parent in self.parents.items() if node[0] == stack}
        return Tree({node: parent if parent in mine else None for node, parent in mine.items()}, self.related)

    def spread(self, node: Leaf) -> float:
        """Deviation from the parent, of that from stack to stack."""
        if node in self.related:
            return OF_A_FAMILY if node[1] == FAMILY else IN_A_FAMILY
        return _OF_A_VERSION if node[1] else 1.0


Points = dict[Leaf, Any]


@dataclass(frozen=True, slots=True)
class Terms:
    """What the runs of one leaf add to the loss around a point: its value, gradient and curvature there."""

    at: Any
    loss: float
    gradient: Any
    curvature: Any

    def value(self, z: Any) -> float:
        """The loss at another point, by its curvature."""
        step = z - self.at
        return float(self.loss + self.gradient @ step + step @ self.curvature @ step / 2.0)

    def slope(self, z: Any) -> Any:
        """The gradient there."""
        return self.gradient + self.curvature @ (z - self.at)


@dataclass(frozen=True, slots=True)
class Fitted:
    """The result: points of all nodes, what each leaf's runs said there, the value of the loss."""

    tree: Tree
    points: Points
    terms: dict[Leaf, Terms]
    loss: float


def stiffness(ratio: float, weight: float) -> float:
    """Slope of the loss of one log ratio over the ratio [1], which a step takes for its curvature."""
    return float(RUNS * weight / OUTLIER**2 / np.sqrt(1.0 + (ratio / OUTLIER) ** 2))


class Problem:
    """Some runs, and the leaves that they tell of."""

    def __init__(
        self,
        runs: Sequence[Run],
        evaluator: Evaluator,
        scale: Scale,
        weight: Mapping[tuple[str, str], float] | None = None,
    ) -> None:
        self.scale, self.evaluator = scale, evaluator
        weight = votes(runs) if weight is None else weight
        self.indices: dict[Leaf, list[int]] = defaultdict(list)  # in the evaluator
        self.weights: dict[int, dict[str, float]] = {}
        place = [evaluator.index[run.id] for run in runs]
        for index, run in zip(place, runs, strict=True):
            if run.moving:
                self.indices[run.leaf].append(index)
                self.weights[index] = {name: weight[run.id, name] for name in run.moving}
        self.pairs: dict[Leaf, list[tuple[int, int, float]]] = defaultdict(list)
        for a, b, share in pairs(runs):
            self.pairs[runs[a].leaf].append((place[a], place[b], share))

    def losses(self, points: Points, leaves: Sequence[Leaf]) -> dict[Leaf, float]:
        """What the runs of each leaf lose at its point."""
        wanted = {index: points[leaf] for leaf in leaves for index in self.indices[leaf]}
        ratios = self.evaluator.ratios(wanted)
        return {leaf: self._loss(leaf, ratios) for leaf in leaves}

    def _loss(self, leaf: Leaf, ratios: Mapping[int, Mapping[str, float]]) -> float:
        total = sum(
            weight * float(soft(ratios[index][name]))
            for index in self.indices[leaf] for name, weight in self.weights[index].items()
        )  # fmt: skip
        for a, b, weight in self.pairs[leaf]:
            lacking = self._lacking(a, b, ratios)
            total += RANKING * weight * float(soft(max(lacking, 0.0)))
        return RUNS * total

    def _lacking(self, a: int, b: int, ratios: Mapping[int, Mapping[str, float]]) -> float:
        """Log ratio by which two layouts should be told apart further, the faster first; 0 and less: they are."""
        measured = np.log(self.evaluator.runs[b].measured[STEP] / self.evaluator.runs[a].measured[STEP])
        return float(min(measured, _MARGIN) - (measured + ratios[b][STEP] - ratios[a][STEP]))

    def terms(self, points: Points, leaves: Sequence[Leaf]) -> dict[Leaf, Terms]:
        """Loss, gradient and curvature of each leaf at its point."""
        wanted = {index: points[leaf] for leaf in leaves for index in self.indices[leaf]}
        ratios, slopes = self.evaluator.slopes(wanted)
        found = {}
        for leaf in leaves:
            pulls = [
                (ratios[index][name], slopes[index][name], weight)
                for index in self.indices[leaf] for name, weight in self.weights[index].items()
            ]  # fmt: skip
            for a, b, weight in self.pairs[leaf]:
                if (lacking := self._lacking(a, b, ratios)) > 0:
                    pulls.append((lacking, slopes[a][STEP] - slopes[b][STEP], RANKING * weight))
            gradient, curvature = np.zeros(len(NAMES)), np.zeros((len(NAMES), len(NAMES)))
            for value, slope, weight in pulls:
                pull = stiffness(value, weight)
                gradient += pull * value * slope
                curvature += pull * np.outer(slope, slope)
            found[leaf] = Terms(points[leaf], self._loss(leaf, ratios), gradient, curvature)
        return found


def fit(
    problem: Problem,
    tree: Tree,
    start: Points,
    *,
    above: Any | None = None,
    frozen: Mapping[Leaf, Terms] | None = None,
    steps: int = _STEPS,
) -> Fitted:
    """The points of least loss.

    above: what the top nodes are drawn to, the priors by default; frozen: leaves whose runs are not predicted anew,
    with what they said before.
    """
    scale, frozen = problem.scale, frozen or {}
    above = scale.prior if above is None else above
    active = [leaf for leaf in problem.indices if leaf not in frozen]
    points, damping = dict(start), 1e-3
    terms = problem.terms(points, active) | dict(frozen)
    loss = _drawn(tree, points, scale, above) + sum(terms[leaf].value(points[leaf]) for leaf in terms)
    for _ in range(steps):
        gradient, curvature = system(tree, points, scale, above, terms)
        accepted = False
        while not accepted and damping < _STIFFEST:
            step = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), -gradient)
            step = np.clip(step, -_LONGEST, _LONGEST).reshape(len(tree.nodes), -1)
            trial = {node: points[node] + step[i] for i, node in enumerate(tree.nodes)}
            found = problem.losses(trial, active)
            value = _drawn(tree, trial, scale, above) + sum(found.values())
            value += sum(frozen[leaf].value(trial[leaf]) for leaf in frozen)
            accepted = value < loss
            damping = damping / 5.0 if accepted else damping * 8.0
        if not accepted:
            break
        gained, loss, points = loss - value, value, trial
        if gained < _ENOUGH * max(loss, 1.0):
            break
        terms = problem.terms(points, active) | dict(frozen)
    return Fitted(tree, points, terms, loss)


def _drawn(tree: Tree, points: Points, scale: Scale, above: Any) -> float:
    """What the distances of nodes from their parents cost."""
    total = 0.0
    for node, parent in tree.parents.items():
        away = (points[node] - (above if parent is None else points[parent])) / (scale.spread * tree.spread(node))
        total += float(away @ away) / 2.0
    return total


def system(tree: Tree, points: Points, scale: Scale, above: Any, terms: Mapping[Leaf, Terms]) -> tuple[Any, Any]:
    """Gradient and curvature of the whole loss, nodes one after the other."""
    k, place = len(NAMES), {node: i for i, node in enumerate(tree.nodes)}
    gradient, curvature = np.zeros((len(place), k)), np.zeros((len(place), k, len(place), k))
    every = np.arange(k)
    for node, parent in tree.parents.items():
        i, stiff = place[node], 1.0 / (scale.spread * tree.spread(node)) ** 2
        pull = stiff * (points[node] - (above if parent is None else points[parent]))
        gradient[i] += pull
        curvature[i, every, i, every] += stiff
        if parent is not None:
            j = place[parent]
            gradient[j] -= pull
            curvature[j, every, j, every] += stiff
            curvature[i, every, j, every] -= stiff
            curvature[j, every, i, every] -= stiff
    for leaf, one in terms.items():
        i = place[leaf]
        gradient[i] += one.slope(points[leaf])
        curvature[i, :, i, :] += one.curvature
    return gradient.reshape(-1), curvature.reshape(len(place) * k, -1)
