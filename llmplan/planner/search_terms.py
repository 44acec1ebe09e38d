"""What a run on so many devices costs an hour, and how much longer than its steps it takes: the same for every layout."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llmplan.plan.layout import Layout
from llmplan.planner.cost import cost_of
from llmplan.planner.estimate import Interval, estimate_run

if TYPE_CHECKING:
    from llmplan.catalog import Catalog
    from llmplan.plan.plan import Plan

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Terms:
    """usd_per_hour: of all devices [USD/h], None = not known; stretch: wall time over the time of the steps [1]."""

    usd_per_hour: float | None
    stretch: float


@dataclass(slots=True)
class Market:
    """Terms by number of devices, looked up once each: price, checkpoints and interruptions know no layout."""

    catalog: Catalog
    _known: dict[int, Terms] = field(default_factory=dict)

    def terms(self, plan: Plan, devices: int) -> Terms:
        """Terms of the plan's hardware and run on so many devices, as `estimate` has them."""
        if devices not in self._known:
            probe = plan.with_layout(Layout(dp=devices))
            hour = cost_of(probe, Interval(HOUR, HOUR, HOUR), self.catalog).headline
            run = estimate_run(probe, self.catalog).economics
            stretch = 1.0 if run is None else run.run.wall.value / run.run.work.value
            self._known[devices] = Terms(None if hour is None else hour.usd, stretch)
        return self._known[devices]
