"""How well measured layouts of one job, engines and devices are told apart, as a planner is used: to choose."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

from llmplan.answer.scores import Result
from llmplan.calibration.runs import JOB, LAYOUT, OUTPUT, RATE
from llmplan.records import dataclass

_DECIDED = 0.05  # pairs are compared where the faster is so much faster
SERVED = ("model", "weight_precision", "devices", "load", "batch", "request_rate", "input_tokens", "output_tokens")
"""What one job of serving is, beside the engine and the device."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Pairs of layouts of one job: the share ranked rightly, its mean over jobs, what the predicted best loses."""

    pairs: int
    jobs: int
    right: float
    job_mean: float
    regret: float


def ranking(results: Iterable[Result], choice: str = "") -> Ranking | None:
    """Of two measured layouts of one job, how often the faster one is predicted to be; None where no pair is.

    choice: only pairs that differ in this option of the layout.
    """
    jobs: dict[tuple[str, ...], dict[tuple[str, ...], list[tuple[float, float]]]] = defaultdict(dict)
    for result in results:
        cells = result.row.cells
        measured, predicted = cells.get(f"measured_{RATE}"), result.predicted.get(RATE)
        if measured and predicted is not None:
            job, layout = (tuple(cells.get(name, "") for name in names.split()) for names in (JOB, LAYOUT))
            jobs[job].setdefault(layout, []).append((float(measured), predicted.value))
    at = LAYOUT.split().index(choice) if choice else None
    right, shares, regrets = [], [], []
    for layouts in jobs.values():
        points = {key: (fmean(m for m, _ in some), fmean(p for _, p in some)) for key, some in layouts.items()}
        hits = [
            _hit(points[a], points[b]) for a, b in itertools.combinations(points, 2)
            if abs(points[a][0] / points[b][0] - 1.0) > _DECIDED and (at is None or a[at] != b[at])
        ]  # fmt: skip
        if len(points) > 1:
            best = max(measured for measured, _ in points.values())
            regrets.append(1.0 - max(points.values(), key=lambda point: point[1])[0] / best)
        if hits:
            right += hits
            shares.append(fmean(hits))
    return Ranking(len(right), len(shares), fmean(right), fmean(shares), fmean(regrets)) if right else None


def _hit(a: Sequence[float], b: Sequence[float]) -> float:
    """1 where two layouts are predicted in the order in which they were measured, half where they are alike."""
    return 0.5 if a[1] == b[1] else float((a[0] > b[0]) == (a[1] > b[1]))


@dataclass(frozen=True, slots=True)
class Choosing:
    """Pairs of engines, or of devices, that did one job: the share of which the faster one is predicted, and its mean
    over jobs."""

    pairs: int
    jobs: int
    right: float
    job_mean: float


def choosing(results: Iterable[Result], word: str, quantity: str) -> Choosing | None:
    """Of two that were measured on one job, how often the better one is predicted to be; None where no pair is.

    word: `stack` or `hardware`, in which a pair differs, with all else of `SERVED` and the other option alike;
    quantity: by which they are compared, times or the output rate. Several runs of a job (layouts, versions) count as
    their mean.
    """
    same = (*SERVED, *(other for other in ("stack", "hardware") if other != word))
    jobs: dict[tuple[str, ...], dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        cells = result.row.cells
        measured, predicted = cells.get(f"measured_{quantity}"), result.predicted.get(quantity)
        given = quantity == OUTPUT and cells["load"] == "open"  # what arrives
        if measured and predicted is not None and not given:
            jobs[tuple(cells.get(name, "") for name in same)][cells[word]].append((float(measured), predicted.value))
    right, shares = [], []
    for candidates in jobs.values():
        points = [(fmean(m for m, _ in some), fmean(p for _, p in some)) for some in candidates.values()]
        hits = [
            _hit(a, b) for a, b in itertools.combinations(points, 2)
            if abs(a[0] / b[0] - 1.0) > _DECIDED
        ]  # fmt: skip
        if hits:
            right += hits
            shares.append(fmean(hits))
    return Choosing(len(right), len(shares), fmean(right), fmean(shares)) if right else None
