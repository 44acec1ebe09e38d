"""A predicted value with its 80 % band, and how wide that is for a stack and a quantity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from llmplan.schema import Spec
from llmplan.vocabulary import Amount

Verdict = Literal["fits", "marginal", "does-not-fit"]


class Band(Spec):
    """80 % of unseen runs lie within `low` .. `high` times the prediction."""

    low: Annotated[float, Field(gt=0, le=1)]
    high: Annotated[float, Field(ge=1)]
    rows: int = 0
    """Left-out rows it was drawn from; 0 = borrowed."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Interval:
    """A predicted value with its 80 % band."""

    value: Amount
    low: Amount
    high: Amount
    p95: Amount | None = None
    """95th percentile, where the figure is a mean over requests and its spread is known."""

    def __mul__(self, factor: float) -> Interval:
        return Interval(self.value * factor, self.low * factor, self.high * factor)


def with_band(
    value: float, bands: Mapping[str, Band], quantity: str, *, device: str, measured_on: Iterable[str]
) -> Interval:
    """The value with the band of that quantity, the wider one on a device that the stack was not measured on.

    Without a band the value stands alone.
    """
    band = bands.get(quantity)
    if device not in measured_on:
        band = bands.get(f"{quantity}_unmeasured_hardware", band)
    return Interval(value, value, value) if band is None else Interval(value, value * band.low, value * band.high)


def verdict(peak: Interval, usable: float) -> Verdict:
    """`fits` or `does-not-fit` where the whole band says so, `marginal` where the limit lies inside it."""
    if peak.high <= usable:
        return "fits"
    return "does-not-fit" if peak.low > usable else "marginal"
