"""80 % bands from the residuals of runs that were left out of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmplan.calibrate.stacks import weighted_quantile
from llmplan.software.band import Band

OWN_GROUPS = 12.0  # groups of rows with which a stack's own residuals count as much as everybody's together
_LOW, _HIGH = 0.1, 0.9


@dataclass(frozen=True, slots=True)
class Residuals:
    """measured / predicted of left-out rows, and their weights (one vote a group)."""

    ratios: Any
    weights: Any

    @property
    def groups(self) -> float:
        """Votes, all rows together."""
        return float(np.sum(self.weights))


def band(own: Residuals | None, everybody: Residuals, note: str = "") -> Band:
    """The band of one quantity: quantiles 10 and 90 of the own residuals, with everybody's where they are few."""
    parts = [(everybody, OWN_GROUPS / everybody.groups)]
    rows = 0
    if own is not None and len(own.ratios):
        parts.append((own, 1.0 if own.groups < OWN_GROUPS else OWN_GROUPS * 10.0 / own.groups))
        rows = len(own.ratios)
    ratios = np.concatenate([part.ratios for part, _ in parts])
    weight = np.concatenate([np.asarray(part.weights) * factor for part, factor in parts])
    low, high = (weighted_quantile(ratios, weight, q) for q in (_LOW, _HIGH))
    return Band(low=round(min(low, 0.99), 3), high=round(max(high, 1.01), 3), rows=rows, note=note)


def joined(parts: Sequence[Residuals]) -> Residuals:
    """Residuals of several stacks together."""
    return Residuals(np.concatenate([p.ratios for p in parts]), np.concatenate([p.weights for p in parts]))
