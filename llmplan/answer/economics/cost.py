"""What a run costs at each provider whose price is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmplan.formulas.cost import instances, run_cost
from llmplan.formulas.numeric import real

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog
    from llmplan.machine.hardware import Price
    from llmplan.setup.plan import Setup
    from llmplan.software.band import Interval

GIVEN = "given"


@dataclass(frozen=True, slots=True)
class Offer:
    """One price, and the run at it.

    usd_per_hour: of one instance [USD/h]; instances: needed, a part of a slice where slices of all sizes are sold
    at one price a chip [1]; devices_used: by the plan [1]; devices_billed: that the instances hold [1]; usd: of the
    run, with its band [USD].
    """

    provider: str
    instance: str
    region: str
    kind: str
    date: str
    source: str
    usd_per_hour: float
    devices_per_instance: int
    instances: float
    devices_used: int
    devices_billed: int
    usd: float
    low_usd: float
    high_usd: float

    @property
    def usd_per_device_hour(self) -> float:
        """Price of one device for an hour [USD]."""
        return self.usd_per_hour / self.devices_per_instance


@dataclass(frozen=True, slots=True)
class Cost:
    """Every offer, the cheapest first; headline: the one that the run is said to cost, None = not known."""

    headline: Offer | None
    offers: tuple[Offer, ...]


def cost_of(plan: Setup, wall: Interval, catalog: Catalog) -> Cost:
    """Cost of holding the plan's devices for `wall` [s].

    The headline is the price that was given, else the cheapest on-demand one; spot instances are taken away
    and reserved ones are bought for longer than a run. Instances are billed whole, with devices that are not used.
    """
    given = plan.options.price
    if given is not None:
        own = _offer(plan, wall, GIVEN, GIVEN, "", GIVEN, "", GIVEN, real(given), 1)
        return Cost(own, (own,))
    offers = [
        _offer(
            plan,
            wall,
            prices.provider,
            one.instance,
            one.region,
            one.kind,
            one.date,
            one.source,
            one.price,
            one.devices,
        )
        for prices in catalog.prices()
        for one in prices.prices
        if one.device == plan.device.id and _serves(one, plan)
    ]
    offers.sort(key=lambda offer: offer.usd)
    on_demand = [offer for offer in offers if offer.kind == "on-demand"]
    return Cost(on_demand[0] if on_demand else None, tuple(offers))


def _serves(price: Price, plan: Setup) -> bool:
    """Whether instances of that size hold the plan: whole nodes where it takes more than one."""
    return price.devices >= min(plan.devices, plan.cluster.devices_per_node)


def _offer(
    plan: Setup, wall: Interval, provider: str, instance: str, region: str, kind: str, date: str, source: str,
    usd_per_hour: float, each: int,
) -> Offer:  # fmt: skip
    count = plan.devices / each if _by_the_chip(plan, each) else real(instances(real(plan.devices), real(each)))
    usd, low, high = (real(run_cost(seconds, count, usd_per_hour)) for seconds in (wall.value, wall.low, wall.high))
    return Offer(
        provider, instance, region, kind, date, source, usd_per_hour, each, count, plan.devices, round(count * each),
        usd, low, high,
    )  # fmt: skip


def _by_the_chip(plan: Setup, each: int) -> bool:
    """A slice of a torus is sold in many sizes at one price a chip; a price of any size tells it."""
    return plan.device.scale_up.topology.startswith("torus") and math.isfinite(each) and each > plan.devices
