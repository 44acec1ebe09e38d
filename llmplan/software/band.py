"""A predicted value with its 80 % band, and how wide that is for a stack, a quantity and a distance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from llmplan.records import dataclass
from llmplan.rules import Within
from llmplan.schema import Spec
from llmplan.vocabulary import Amount, Guess

Verdict = Literal["fits", "marginal", "does-not-fit"]


class Band(Spec):
    """80 % of unseen runs lie within `low` .. `high` times the prediction, where nothing widens it."""

    low: Annotated[float, Within(gt=0, le=1)]
    high: Annotated[float, Within(ge=1)]
    rows: int = 0
    """Left-out rows of the stack among those that it was drawn from."""
    note: str = ""


_WIDEST = 1e6
_NARROWEST = 1e-9  # of a band's half width, on a logarithmic scale
NO_BAND = Band(low=0.5, high=2.0, note="the stack has no band for this quantity")


@dataclass(frozen=True, slots=True)
class Interval:
    """A predicted value with its 80 % band."""

    value: Amount
    low: Amount
    high: Amount
    p50: Amount | None = None
    """Median, where the figure is a mean over requests that were simulated one by one."""
    p95: Amount | None = None
    """95th percentile, where the figure is a mean over requests and its spread is known."""
    p99: Amount | None = None
    """99th percentile, where requests were simulated."""

    def __mul__(self, factor: float) -> Interval:
        return Interval(self.value * factor, self.low * factor, self.high * factor)


FAMILIES = ("training", "serving", "memory")
"""Quantities that widen alike."""


def family_of(quantity: str) -> str:
    """Quantities that widen alike: `memory`, `training` (its time), `serving`."""
    if quantity.endswith("_bytes") or quantity == "kv_tokens":
        return "memory"
    return "training" if quantity == "step_seconds" else "serving"


UnstatedWidths = Mapping[str, Mapping[Guess, float]]
"""Half widths by family of quantities and option that was not given [1]."""


def unstated_width(quantity: str, options: Iterable[Guess], widths: UnstatedWidths) -> float:
    """Half width that options which were not given add to a band, on a logarithmic scale: each is an error of its
    own, so squares add up [1].

    >>> widths = {"training": {"zero": 0.03, "vp": 0.04}}
    >>> unstated_width("step_seconds", ("zero", "vp"), widths), unstated_width("peak_bytes", ("zero",), widths)
    (0.05, 0.0)
    """
    own = widths.get(family_of(quantity), {})
    return math.hypot(*(own.get(option, 0.0) for option in options))


def band_of(
    bands: Mapping[str, Band], quantity: str, widening: Mapping[str, Mapping[str, float]], distances: Iterable[str],
    unstated: float = 0.0,
) -> Interval:  # fmt: skip
    """The band of that quantity around 1, widened for each distance of the plan from what was measured.

    widening: by family and distance, the factor on the band's ends on a logarithmic scale; unstated: half width there
    of what options would change that were not given, an error of its own, so that squares add up [1].
    No end is further than `_WIDEST` from 1 by distances.

    >>> band = {"step_seconds": Band(low=math.exp(-0.3), high=math.exp(0.3))}
    >>> found = band_of(band, "step_seconds", {}, (), 0.4)
    >>> round(math.log(found.low), 3), round(math.log(found.high), 3)
    (-0.5, 0.5)
    """
    band = bands.get(quantity, NO_BAND)
    factors = widening.get(family_of(quantity), {})
    ends = max(math.log(band.high), -math.log(band.low), _NARROWEST)
    factor = min(math.prod(factors.get(name, 1.0) for name in distances), math.log(_WIDEST) / ends)
    if not unstated:
        return Interval(1.0, band.low**factor, band.high**factor)
    down, up = (math.hypot(factor * math.log(end), unstated) for end in (band.low, band.high))
    return Interval(1.0, math.exp(-down), math.exp(up))


def verdict(peak: Interval, usable: float) -> Verdict:
    """`fits` or `does-not-fit` where the whole band says so, `marginal` where the limit lies inside it."""
    if peak.high <= usable:
        return "fits"
    return "does-not-fit" if peak.low > usable else "marginal"
