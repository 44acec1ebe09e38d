"""The scale that coefficients are fitted on: without ends, where ceilings hold by themselves.

A coefficient c between its floor F and ceiling C is z = ln((c - F) / (C - c)), which is its logarithm far below the
ceiling. Draws towards a parent are normal on that scale, with the deviation that the meaning's `spread` has at the
prior.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from llmplan.records import dataclass, fields_of
from llmplan.software.coefficients import NAMES, Coefficients, Number

_MARGIN = 1e-3  # of the range, from its ends, at which a given value is taken up


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale of all coefficients, in the order of `NAMES`; arrays of that length."""

    floor: Any
    ceiling: Any
    prior: Any
    """On the scale."""
    spread: Any
    """Deviation on the scale from stack to stack."""

    @classmethod
    def of(cls, meanings: Mapping[str, Number]) -> Scale:
        """From what the coefficients mean."""
        about = [meanings[name] for name in NAMES]
        floor, ceiling, prior, spread = (
            np.array([getattr(item, word) for item in about]) for word in ("floor", "ceiling", "prior", "spread")
        )
        slope = prior * (ceiling - floor) / ((prior - floor) * (ceiling - prior))
        return cls(floor, ceiling, np.log((prior - floor) / (ceiling - prior)), spread * slope)

    def coefficients(self, z: Any) -> Coefficients:
        """Coefficients at a point, or arrays of them at many (one a row).

        Products in few bits pass no measured curve by more than those in many may.
        """
        values = dict(zip(NAMES, (self.floor + (self.ceiling - self.floor) / (1.0 + np.exp(-z))).T, strict=True))
        most = self.ceiling[NAMES.index("matmul_efficiency")] / values["matmul_efficiency"]
        values["low_precision_efficiency"] = np.minimum(values["low_precision_efficiency"], most)
        return Coefficients(**values if np.ndim(z) > 1 else {name: float(value) for name, value in values.items()})

    def point(self, coefficients: Coefficients) -> Any:
        """The point of coefficients; those at or past an end a little inside it."""
        values = np.array(list(fields_of(coefficients).values()))
        share = np.clip((values - self.floor) / (self.ceiling - self.floor), _MARGIN**2, 1.0 - _MARGIN)
        return np.log(share / (1.0 - share))


def weighted_quantile(values: Any, weight: Any, share: float) -> float:
    """The value below which a share of the weight lies, interpolated."""
    order = np.argsort(values)
    ordered, heavy = np.asarray(values, float)[order], np.asarray(weight, float)[order]
    middle = (np.cumsum(heavy) - heavy / 2) / heavy.sum()
    return float(np.interp(share, middle, ordered))
