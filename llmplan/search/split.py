"""The space of deployments whose prompts are read on devices of their own: both layouts, and the ratio of the pools."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from llmplan.records import dataclass
from llmplan.search.choices import Choices
from llmplan.search.serving_space import DeploymentSpace
from llmplan.search.space import divisors
from llmplan.serving.plan import PREFILL_DEGREES

WORDS = ("prefill_devices", *(f"prefill_{name}" for name in PREFILL_DEGREES))
"""Options of a plan about the devices that read prompts."""
EVERY = 8
"""Replicas of a pool up to which every number is tried; above, powers of two and one and a half times them [1]."""
AT_ONCE = 512  # layouts of the pool that writes, each with all of the other


@dataclass(slots=True)
class SplitSpace(DeploymentSpace):
    """Deployments of two pools."""

    def layouts(self) -> Iterator[Any]:
        """Every legal pair of layouts once, as arrays of rows tp, pp, ep, dp and prefill_tp, prefill_ep, prefill_dp."""
        writes, reads = self._pool(""), self._pool("prefill_")
        times = len(self.batches)
        ones = np.ones((1, 1), dtype=int)
        for start in range(0, len(writes), AT_ONCE):
            part = writes[start : start + AT_ONCE]
            first, second = np.repeat(part, len(reads), axis=0), np.tile(reads, (len(part), 1))
            reading = second[:, 0] * second[:, 2] * self.plan.layout.cp
            devices = first[:, 0] * first[:, 2] + reading
            fitting = devices <= self.most if self.most is not None else np.isin(devices, self.sizes)
            fitting &= np.isin(reading, self._of("prefill_devices").among(range(1, int(reading.max(initial=1)) + 1)))
            self.considered += times * len(first)
            self.removed["devices"] += times * int(np.count_nonzero(~fitting))
            first, second = first[fitting], second[fitting]
            yield np.hstack([first[:, :1], np.broadcast_to(ones, (len(first), 1)), first[:, 1:], second])

    def _pool(self, prefix: str) -> Any:
        """Legal layouts of one pool, rows tp, ep, dp."""
        model, most = self.plan.model, (self.most or max(self.sizes)) - 1
        shared = self.plan.layout.cp if prefix else 1
        heads = max((core.heads for layer in model.layers for core in layer.cores), default=1)
        rows = [
            (tp, ep, dp)
            for tp in self._of(f"{prefix}tp").among(n for n in divisors(heads) if n * shared <= most)
            for ep in self._experts(prefix)
            if self._refused(tp, ep, prefix) is None
            for dp in self._of(f"{prefix}dp").among(n for n in _numbers(most) if n * tp * shared <= most)
            if tp * dp * shared % ep == 0
        ]
        return np.array(rows, dtype=int).reshape(-1, 3)


def asks_for_split(choices: Choices) -> bool:
    """Whether options about devices that only read prompts were given."""
    return any(name in choices for name in WORDS)


def _numbers(most: int) -> list[int]:
    """Numbers of replicas that are tried.

    >>> _numbers(40)
    [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32]
    """
    steps = (size for bit in range(most.bit_length()) for size in (1 << bit, 3 << bit))
    return sorted({size for size in (*range(1, EVERY + 1), *steps) if size <= most})
