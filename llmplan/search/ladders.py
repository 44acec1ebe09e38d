"""Deployments that differ in the number of their replicas alone: what more of them miss, fewer miss too.

Requests at one of more replicas come more rarely and wait less. A percentile of a sample is not quite so orderly: only
what is missed by more than `CLEARLY` rules others out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmplan.records import dataclass

CLEARLY = 1.05
"""Ratio to a limit above which a miss is more than an accident of the sample [1]."""
COPIES = 3  # column of a row


def kinds(rows: Any) -> Any:
    """Which deployments differ in the number of their replicas alone: the number of a kind for each."""
    return np.unique(np.delete(rows, COPIES, axis=1), axis=0, return_inverse=True)[1].ravel()


@dataclass(slots=True)
class Ladders:
    """kind: of each deployment, all but its number of replicas; copies: that number; misses: the most of its kind that
    clearly miss; keeps: the fewest that are known to keep all limits [1]; hopeful: whether each keeps them by formula;
    tried: whether each was simulated."""

    kind: Any
    copies: Any
    misses: Any
    keeps: Any
    hopeful: Any
    tried: Any

    @classmethod
    def of(cls, rows: Any, hopeful: Any) -> Ladders:
        """Of deployments about which nothing is known."""
        kind, tried = kinds(rows), np.zeros(len(rows), dtype=bool)
        many = int(kind.max(initial=-1)) + 1
        return cls(kind, rows[:, COPIES], np.zeros(many), np.full(many, np.inf), hopeful, tried)

    def next_of(self, wanted: Any) -> Any:
        """What to simulate to learn about those that are wanted: where formulas give no hope or fewer replicas missed,
        the most of the kind, then half-way between."""
        return np.array(list(dict.fromkeys(map(self._next, wanted.tolist()))))

    def _next(self, one: int) -> int:
        kind = self.kind[one]
        low, high = self.misses[kind], self.keeps[kind]
        if self.copies[one] >= high or (low == 0 and self.hopeful[one]):
            return one
        between = np.flatnonzero((self.kind == kind) & ~self.tried & (self.copies > low) & (self.copies < high))
        between = between[np.argsort(self.copies[between], kind="stable")]
        return int(between[-1] if high == np.inf else between[len(between) // 2])

    def found(self, tried: Any, does: Any, worst: Any) -> None:
        """Takes in which of those that were tried do, and the worst ratio of each to a limit."""
        self.tried[tried] = True
        clear = ~does & (worst > CLEARLY)
        np.maximum.at(self.misses, self.kind[tried[clear]], self.copies[tried[clear]])
        np.minimum.at(self.keeps, self.kind[tried[does]], self.copies[tried[does]])

    def may(self, some: Any) -> Any:
        """Which of some may keep all limits still."""
        return self.copies[some] > self.misses[self.kind[some]]
