"""What so many devices cost an hour, and how much longer than its steps a run takes there: known without a layout."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from llmplan.answer.economics.cost import offers_of
from llmplan.answer.economics.summary import economics
from llmplan.errors import InputError
from llmplan.records import dataclass
from llmplan.setup.layout import Layout
from llmplan.training.estimate import estimate

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog
    from llmplan.setup.plan import Setup
    from llmplan.training.plan import TrainingPlan


@dataclass(frozen=True, slots=True)
class RunTerms:
    """usd_per_hour: of all devices [USD/h], None = not known; stretch: wall time over the time of the steps [1]."""

    usd_per_hour: float | None
    stretch: float


def _key(plan: Setup, devices: int) -> tuple[str, ...]:
    return plan.device.id, plan.cluster.id, str(devices)


@dataclass(slots=True)
class Market:
    """Terms by number of devices, looked up once each: price, checkpoints and interruptions know no layout."""

    catalog: Catalog
    _known: dict[tuple[str, ...], RunTerms] = field(default_factory=dict)
    _hourly: dict[tuple[str, ...], float | None] = field(default_factory=dict)

    def hourly(self, plan: Setup, devices: int) -> float | None:
        """Price of so many of the plan's devices [USD/h]; None where none is known."""
        key = _key(plan, devices)
        if key not in self._hourly:
            offer, _ = offers_of(plan.on_devices(devices), self.catalog)
            self._hourly[key] = None if offer is None else offer.usd_per_hour
        return self._hourly[key]

    def check(self, plan: Setup, devices: int) -> None:
        """Raises InputError where no price of the plan's devices is known."""
        if self.hourly(plan, devices) is None:
            raise InputError(
                f"no on-demand price of {plan.device.id} is in the catalogue: its cost is not known (--price gives one)"
            )

    def terms(self, plan: TrainingPlan, devices: int) -> RunTerms:
        """Terms of the plan's hardware and run on so many devices, as `estimate` has them."""
        key = *_key(plan, devices), plan.stack.id, plan.workload.precision  # which changes the size of a checkpoint
        if key not in self._known:
            probe = plan.with_layout(Layout(dp=devices))
            found = economics(estimate(probe), self.catalog)
            stretch = 1.0 if found is None else found.run.wall_seconds.value / found.run.seconds.value
            self._known[key] = RunTerms(self.hourly(plan, devices), stretch)
        return self._known[key]
