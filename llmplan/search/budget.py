"""How much of a search may be simulated, counted so that it comes out the same on every machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmplan.records import dataclass
from llmplan.serving.simulation import LANES

OF_A_SEARCH, OF_ADVICE = 50_000.0, 8_000.0
"""Steps that a search may simulate, and all that try changes [1]: some seconds."""
AT_ONCE = 3_000.0
"""Steps that are simulated at a time, or twice what the first takes alone [1]."""
A_STEP = 600.0
"""Steps of other replicas beside it that take as long to simulate as a step does by itself [1], 0.2 ms."""


@dataclass(slots=True)
class Budget:
    """left, given: steps that may still be simulated, and could be at first [1]; short: whether more were wanted;
    whole: that this is a part of."""

    left: float
    short: bool = False
    whole: Budget | None = None
    given: float = 0.0

    def __post_init__(self) -> None:
        self.given = self.left

    @property
    def half_spent(self) -> bool:
        """Whether less than half is left."""
        return self.left < self.given / 2.0

    def part(self, share: float) -> Budget:
        """A share of what is left, whose steps count here too."""
        return Budget(self.left * share, whole=self)

    def take(self, each: Any) -> int:
        """How many of deployments that take so many steps are simulated together now; 0 where nothing is left."""
        if self.left <= 0.0:
            self._want_more()
            return 0
        steps = np.maximum.accumulate(each) + LANES * np.cumsum(each) / A_STEP
        many = int(np.count_nonzero(steps <= max(AT_ONCE, 2.0 * steps[0])))
        self._spend(float(steps[many - 1]))
        return many

    def _spend(self, steps: float) -> None:
        self.left -= steps
        if self.whole is not None:
            self.whole._spend(steps)

    def _want_more(self) -> None:
        self.short = True
        if self.whole is not None:
            self.whole._want_more()
