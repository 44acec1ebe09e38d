"""The model of the bands, drawn from predictions with the publication left out.

The logarithm of measured over predicted lies within +- w for 80 % of the votes, where

    w = width of the quantity x factor of the stack x product of the factors of the distances, none of these below 1

Factors are drawn to 1 with the weight of `OWN` groups, widths to that of their family: training, serving, memory, which
have factors of their own. Distances are those of `software/distance.py`. All are 0.8 quantiles (means of those
around it) of what the others leave, in turn until none moves. Options that a run does not give, and its stack's other
runs do, add a half width that is stated (`hardware_catalog/distances.yaml`), squares to squares: it is taken off the
errors that the rest is drawn from.

A stack without an entry is planned as `generic`, whose recipe is another one too. Its bands are those of all runs
planned so (`foreign_bands`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from llmplan.answer.validate import MEMORY_BANDS
from llmplan.calibration.left_out import Unseen
from llmplan.calibration.runs import PEAK, votes
from llmplan.calibration.scale import weighted_quantile
from llmplan.records import dataclass
from llmplan.software.band import Band, UnstatedWidths, family_of, unstated_width
from llmplan.software.distance import DISTANCES, UNKNOWN_STACK
from llmplan.vocabulary import Guess

AROUND = (0.76, 0.78, 0.8, 0.82, 0.84)
"""Shares whose quantiles are averaged: a single one moves by a tenth where two groups change places."""
OWN = 6.0
"""Groups of a stack's own with which its factor counts half."""
_ROUNDS = 30
NARROWEST, _WIDEST = 0.02, 3.0  # of a band's half width [1]: no measurement repeats better, no prediction says more


@dataclass(frozen=True, slots=True)
class Point:
    """How far off one left-out prediction is, and what it may depend on; vote [1]."""

    error: float
    vote: float
    band: str
    family: str
    stack: str
    distances: tuple[str, ...]
    unstated: float = 0.0
    """Half width that options add which the run does not give [1]."""


@dataclass(frozen=True, slots=True)
class BandModel:
    """Half widths of bands on a logarithmic scale.

    widths: by band; stacks: factors by (family, stack); distances: factors by (family, distance); groups: votes by
    (band, stack).
    """

    widths: Mapping[str, float]
    stacks: Mapping[tuple[str, str], float]
    distances: Mapping[tuple[str, str], float]
    rows: Mapping[tuple[str, str], int]

    def width(self, band: str, stack: str, distances: Sequence[str]) -> float:
        """Half width of one prediction's band."""
        family = family_of(band)
        factor = 1.0 if UNKNOWN_STACK in distances else self.stacks.get((family, stack), 1.0)
        for name in distances:
            factor *= self.distances.get((family, name), 1.0)
        return min(self.widths[band] * factor, _WIDEST)

    def bands(self, stack: str) -> dict[str, Band]:
        """The bands of a stack's entry, which distances of a plan widen (that it has no rows, too).

        A stack of which other things were measured, but no memory, say, is an unknown one there.
        """
        seen = {family_of(band) for band, name in self.rows if name == stack}
        found = {}
        for name in self.widths:
            half = self.width(name, stack, (UNKNOWN_STACK,) if seen and family_of(name) not in seen else ())
            low, high = round(math.exp(-half), 3), round(math.exp(half), 3)
            found[name] = Band(low=low, high=high, rows=self.rows.get((name, stack), 0))
        return found

    def widening(self, family: str, but: Sequence[str] = ()) -> dict[str, float]:
        """Factors by distance of one family; but: distances that are in the bands already."""
        found = {name: self.distances.get((family, name)) for name in DISTANCES if name not in but}
        return {name: round(factor, 2) for name, factor in found.items() if factor is not None}


def band_name(quantity: str, memory_kind: str) -> str:
    """The band of a measured quantity; memory has one for each way to measure it."""
    return MEMORY_BANDS.get(memory_kind, "reserved_bytes") if quantity == PEAK else quantity


def known_distances(band: str, distances: Sequence[str]) -> tuple[str, ...]:
    """The distances that the error of a left-out prediction tells of.

    None of memory: no coefficient moves it, so that a run is predicted alike whether its publication is seen or not.
    """
    return () if family_of(band) == "memory" else tuple(distances)


def unstated(band: str, options: Sequence[Guess]) -> tuple[Guess, ...]:
    """Options whose silence the error of a left-out prediction tells of: none of memory, whose runs say what the
    stack's entry takes as given.

    >>> unstated("peak_bytes", ("vp",)), unstated("step_seconds", ("vp",))
    ((), ('vp',))
    """
    return () if family_of(band) == "memory" else tuple(options)


def points(found: Sequence[Unseen], widths: UnstatedWidths) -> list[Point]:
    """Errors of left-out predictions with their votes; widths: by family and option that was not given."""
    weight = votes([one.run for one in found])
    return [
        Point(
            abs(math.log(one.predicted[name] / value)), weight[one.run.id, name],
            band := band_name(name, one.run.row.cells.get("memory_kind", "")), family_of(band), one.run.leaf[0],
            known_distances(band, one.distances), unstated_width(band, unstated(band, one.unstated), widths),
        )
        for one in found for name, value in one.run.measured.items() if one.predicted.get(name, 0.0) > 0
    ]  # fmt: skip


def fit_bands(some: Sequence[Point]) -> BandModel:
    """The model of some left-out errors."""
    widths = dict.fromkeys(sorted({one.band for one in some}), 0.2)
    shared = {family_of(name): 0.2 for name in widths}
    stacks: dict[tuple[str, str], float] = {}
    distances: dict[tuple[str, str], float] = {}

    def over(keys: Callable[[Point], Iterable[Any]]) -> dict[Any, list[tuple[float, float]]]:
        """Errors over half widths, with their votes, by what they may depend on."""
        model, parts = BandModel(widths, stacks, distances, {}), defaultdict(list)
        for one in some:
            for key in keys(one):
                error = math.sqrt(max(0.0, one.error**2 - one.unstated**2))
                parts[key].append((error / model.width(one.band, one.stack, one.distances), one.vote))
        return parts

    for _ in range(_ROUNDS):
        for key, part in over(lambda one: [one.band]).items():
            groups, own = sum(vote for _, vote in part), max(widths[key] * _quantile(part), NARROWEST)
            widths[key] = shared[family_of(key)] * (own / shared[family_of(key)]) ** (groups / (groups + OWN))
        for key, part in over(lambda one: [one.family]).items():
            shared[key] *= _quantile(part)
        for key, part in over(lambda one: [] if UNKNOWN_STACK in one.distances else [(one.family, one.stack)]).items():
            stacks[key] = _drawn(stacks.get(key, 1.0) * _quantile(part), part)
        for name in DISTANCES:
            far = over(lambda one: [(one.family, name) for name in one.distances])
            for key, part in far.items():
                if key[1] == name:
                    distances[key] = max(1.0, _drawn(distances.get(key, 1.0) * _quantile(part), part))
    # Of memory no distance is known: an unknown stack errs like all stacks together, without factors of their own.
    bare = BandModel(widths, {}, {}, {})
    unknown = [(one.error / bare.width(one.band, "", ()), one.vote) for one in some if one.family == "memory"]
    if unknown:
        distances["memory", UNKNOWN_STACK] = max(1.0, _quantile(unknown))
    rows: dict[tuple[str, str], int] = defaultdict(int)
    for one in some:
        rows[one.band, one.stack] += 1
    return BandModel(widths, stacks, distances, rows)


def foreign_bands(model: BandModel, foreign: Sequence[Point]) -> dict[str, Band]:
    """Bands of `generic`, from the errors of every run planned under it: what a stack without an entry has.

    Another stack is another draw, so that each has one vote. Those stacks are in its coefficients, each one of all that
    it is the mean of.
    """
    votes: dict[tuple[str, str], float] = defaultdict(float)
    for one in foreign:
        votes[one.band, one.stack] += one.vote
    parts: dict[str, list[tuple[float, float]]] = defaultdict(list)  # of bands, and of families
    for one in foreign:
        factor = math.prod(model.distances.get((one.family, name), 1.0) for name in one.distances)
        for key in (one.band, one.family):
            vote = one.vote / votes[one.band, one.stack]
            parts[key].append((one.error / (model.widths[one.band] * factor), vote))
    bands = {}
    for name in sorted(model.widths.keys() & parts.keys()):
        shared, part = _quantile(parts[family_of(name)]), parts[name]
        factor = max(1.0, shared * _drawn(_quantile(part) / shared, part))  # nothing is better known of it
        half = min(model.widths[name] * factor, _WIDEST)
        bands[name] = Band(low=round(math.exp(-half), 3), high=round(math.exp(half), 3), rows=len(part))
    return bands


def _quantile(part: Sequence[tuple[float, float]]) -> float:
    """The quantile that a band is to reach, of errors over half widths; of few votes never far from 1."""
    return min(max(reached([value for value, _ in part], [vote for _, vote in part]), 0.2), 5.0)


def reached(errors: Sequence[float], votes: Sequence[float]) -> float:
    """The error below which 80 % of the votes lie, the mean of the quantiles around it."""
    return math.fsum(weighted_quantile(errors, votes, share) for share in AROUND) / len(AROUND)


def _drawn(factor: float, part: Sequence[tuple[float, float]]) -> float:
    """A factor, drawn to 1 where it has few votes."""
    groups = sum(vote for _, vote in part)
    return float(factor ** (groups / (groups + OWN)))


def coverage(model: BandModel, some: Sequence[Point]) -> float:
    """Share of the votes inside their bands [1]."""
    width = {one: math.hypot(model.width(one.band, one.stack, one.distances), one.unstated) for one in some}
    inside = sum(one.vote for one in some if one.error <= width[one])
    return inside / sum(one.vote for one in some)
