"""How far off predictions are: medians, percentiles, bias, the share inside the band; groups weigh equally."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import field

from llmplan.answer.rows import Row
from llmplan.records import dataclass
from llmplan.software.band import Interval, Verdict
from llmplan.vocabulary import Amount


@dataclass(frozen=True, slots=True)
class Result:
    """One row with what was predicted for it; units are in the names.

    skipped: why it could not be planned, else None; remarks: what was assumed that the row does not say.
    """

    row: Row
    predicted: dict[str, Interval] = field(default_factory=dict)
    fits: bool | None = None
    skipped: str | None = None
    remarks: tuple[str, ...] = ()
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How far predictions of one quantity are off; rows of one publication, stack, model and hardware share a vote."""

    rows: int
    median: Amount
    """Of |predicted / measured - 1|."""
    p90: Amount
    """Its 90th percentile."""
    bias: float
    """Median of predicted / measured - 1."""
    inside_band: Amount
    """Share of the measurements inside the 80 % band."""


def score(results: Sequence[Result], quantity: str) -> Score | None:
    """The score of one quantity over the rows that measured and predicted it; None where there is none."""
    compared = []
    for result in results:
        measured = result.row.measured.get(quantity) if result.predicted else None
        if measured and quantity in result.predicted:
            compared.append((result, float(measured), result.predicted[quantity]))
    if not compared:
        return None
    sizes = Counter(result.row.group for result, _, _ in compared)
    weights = [1.0 / sizes[result.row.group] for result, _, _ in compared]
    errors = [predicted.value / measured - 1.0 for _, measured, predicted in compared]
    inside = sum(w for w, (_, m, p) in zip(weights, compared, strict=True) if p.low <= m <= p.high)
    return Score(
        rows=len(compared),
        median=weighted_quantile([abs(error) for error in errors], weights, 0.5),
        p90=weighted_quantile([abs(error) for error in errors], weights, 0.9),
        bias=weighted_quantile(errors, weights, 0.5),
        inside_band=inside / sum(weights),
    )


def weighted_quantile(values: Sequence[float], weights: Sequence[float], share: float) -> float:
    """The smallest value with at least `share` of the weight at or below it [as values].

    >>> weighted_quantile([3.0, 1.0, 2.0], [1.0, 1.0, 1.0], 0.5)
    2.0
    """
    pairs = sorted(zip(values, weights, strict=True))
    wanted, total = share * sum(weights), 0.0
    for value, weight in pairs:
        total += weight
        if total >= wanted:
            return value
    return pairs[-1][0]
