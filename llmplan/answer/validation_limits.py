"""Limits that a validation must keep, for `validate --check`: how far off predictions may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from llmplan.answer.limits import LimitAnswer
from llmplan.documents import Document
from llmplan.rules import Within
from llmplan.schema import Spec, check
from llmplan.setup.limits import read_limits

if TYPE_CHECKING:
    from llmplan.answer.validate import Validation

Share = Annotated[float, Within(ge=0)]


class ValidationLimits(Spec):
    """Most (`max_`) or least (`min_`) of a score of any quantity, and of the rows."""

    max_median: Share | None = None
    """Of |predicted / measured - 1|."""
    max_p90: Share | None = None
    """Its 90th percentile."""
    max_bias: Share | None = None
    """Of |median of predicted / measured - 1|."""
    min_inside_band: Annotated[float, Within(ge=0, le=1)] | None = None
    """Share of the measurements inside the 80 % band."""
    max_wrong_verdicts: Annotated[int, Within(ge=0)] | None = None
    """Rows that ran and were said not to fit, or the other way round."""
    max_skipped: Annotated[int, Within(ge=0)] | None = None
    """Rows that could not be planned."""


def validation_limits(text: str | None) -> ValidationLimits:
    """`max_median=0.1, max_wrong_verdicts=0` as limits; InputError with what is wrong."""
    from llmplan.errors import InputError

    try:
        limits = read_limits(text) if text else {}
    except ValueError as error:
        raise InputError(f"--limits: {error}") from None
    return check(Document(limits, "--limits"), ValidationLimits)


def wrong_verdicts(found: Validation) -> list[str]:
    """Ids of rows whose memory verdict was wrong."""
    pairs = ((row.id, row.predicted.get("fits"), row.measured.get("fits")) for row in found.rows if not row.skipped)
    return [
        name
        for name, predicted, happened in pairs
        if None not in (predicted, happened) and bool(predicted) != bool(happened)
    ]


def limits_of(found: Validation, wanted: ValidationLimits) -> dict[str, LimitAnswer]:
    """Every limit with the figure that it is about: those of scores once for each quantity."""
    figures: dict[str, float] = {
        "max_wrong_verdicts": len(wrong_verdicts(found)), "max_skipped": found.summary.skipped,
    }  # fmt: skip
    for quantity, score in found.summary.all.items():
        figures |= {
            f"{quantity}.max_median": score.median, f"{quantity}.max_p90": score.p90,
            f"{quantity}.max_bias": abs(score.bias), f"{quantity}.min_inside_band": score.inside_band,
        }  # fmt: skip
    kept = {}
    for name, value in figures.items():
        limit = getattr(wanted, name.rpartition(".")[2])
        if limit is not None:
            most = name.rpartition(".")[2].startswith("max_")
            kept[name] = LimitAnswer(limit=float(limit), value=value, kept=value <= limit if most else value >= limit)
    return kept
