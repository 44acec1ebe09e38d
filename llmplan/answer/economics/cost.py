"""What the plan's devices cost at each provider whose price is known."""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING

from llmplan.answer.data import Shared
from llmplan.formulas.cost import instances, run_cost
from llmplan.formulas.numeric import real
from llmplan.records import dataclass, replace
from llmplan.setup.codes import warning
from llmplan.si import HOUR
from llmplan.software.band import Interval
from llmplan.vocabulary import Amount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmplan.catalog.catalog import Catalog
    from llmplan.machine.hardware import Price
    from llmplan.setup.plan import PlanWarning, Setup

GIVEN = "given"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One price, and what the plan's devices cost at it."""

    provider: str
    """`given` where the price was."""
    instance: str
    region: str | None = None
    kind: str
    """`on-demand`, `spot`, `reserved`, ..., or `given`."""
    date: str | None = None
    """Of the price; a year alone where its snapshot has no date."""
    source: str
    instance_usd_per_hour: Amount
    devices_per_instance: int
    instances: Amount
    """A part of one where slices of all sizes are sold at one price a chip."""
    devices_used: int
    """By the plan."""
    devices_billed: int
    """In the instances: more than are used where these are billed whole."""
    mix: dict[str, int] | None = None
    """Instances of two sizes by name, if whole nodes are on one and the rest on another: listed as one."""
    usd_per_hour: Amount
    """Of all instances."""
    usd: Interval | None = None
    """Of the run; a deployment has no end."""

    @property
    def usd_per_device_hour(self) -> float:
        """Price of one device for an hour [USD]."""
        return self.instance_usd_per_hour / self.devices_per_instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Offers for the plan's devices."""

    offer: Offer | None = None
    """The price that was given, else the cheapest on demand; left out where none is known."""
    offers: tuple[Offer, ...]
    """Every known price, the cheapest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCost(Cost):
    """Cost of a run."""

    usd: Interval | None = None
    """At the offer; left out where no price is known."""


def offers_of(plan: Setup, catalog: Catalog, wall: Interval | None = None) -> tuple[Offer | None, tuple[Offer, ...]]:
    """The offer that counts, and all of them; wall: time for which a run holds the plan's devices [s].

    What counts is the price that was given, else the cheapest on demand: spot instances are taken away and
    reserved ones are bought for longer than a run. Instances are billed whole, with devices that are not used.
    """
    given = plan.options.price
    if given is not None:
        own = _offer(
            plan, wall, 1, real(given), provider=GIVEN, instance=GIVEN, region=None, kind=GIVEN, date=None,
            source=GIVEN,
        )  # fmt: skip
        return own, (own,)
    if wall is not None:
        return _of_catalog(plan, wall, catalog)
    size = plan.device.id, plan.devices, plan.cluster.devices_per_node
    return catalog.once(("offers", *size), lambda: _of_catalog(plan, wall, catalog))


def _of_catalog(plan: Setup, wall: Interval | None, catalog: Catalog) -> tuple[Offer | None, tuple[Offer, ...]]:
    offers = chain(_listed(plan, wall, catalog), _mixed(plan, wall, catalog))
    found = sorted(offers, key=lambda offer: offer.usd_per_hour)
    return next((offer for offer in found if offer.kind == "on-demand"), None), Shared(found)


def _listed(plan: Setup, wall: Interval | None, catalog: Catalog) -> Iterator[Offer]:
    """What the catalogue has for the plan's device."""
    for prices in catalog.prices():
        for one in prices.prices:
            if one.device == plan.device.id and _serves(one, plan):
                yield _offer(
                    plan, wall, one.devices, one.price, provider=prices.provider, instance=one.instance,
                    region=one.region, kind=one.kind, date=one.date, source=one.source,
                )  # fmt: skip


def _mixed(plan: Setup, wall: Interval | None, catalog: Catalog) -> Iterator[Offer]:
    """Whole nodes on the cheapest instances of them, and the devices that are left on the cheapest that holds them.

    Both of one provider, region and kind; where one size does both, it is listed already.
    """
    node = plan.cluster.devices_per_node
    nodes, left = divmod(plan.devices, node)
    if not nodes or not left:
        return
    for prices in catalog.prices():
        offers: dict[tuple[str, str], list[Price]] = {}
        for one in prices.prices:
            if one.device == plan.device.id:
                offers.setdefault((one.region, one.kind), []).append(one)
        for (region, kind), offered in offers.items():
            whole = [one for one in offered if one.devices % node == 0]
            parts = [one for one in offered if left <= one.devices < node]
            if not whole or not parts:
                continue
            first = min(whole, key=lambda one: math.ceil(nodes * node / one.devices) * one.price)
            last = min(parts, key=lambda one: one.price)
            count = math.ceil(nodes * node / first.devices)
            total, held = count * first.price + last.price, count * first.devices + last.devices
            offer = _offer(
                plan, wall, held, total, provider=prices.provider, region=region, kind=kind,
                instance=f"({count} x {first.instance} + {last.instance})", date=min(first.date, last.date),
                source=first.source,
            )  # fmt: skip
            yield replace(offer, mix={first.instance: count, last.instance: 1})


def _serves(price: Price, plan: Setup) -> bool:
    """Whether instances of that size hold the plan: whole nodes where it takes more than one."""
    return price.devices >= min(plan.devices, plan.cluster.devices_per_node)


def _offer(
    plan: Setup, wall: Interval | None, each: int, price: float, *, provider: str, instance: str, region: str | None,
    kind: str, date: str | None, source: str,
) -> Offer:  # fmt: skip
    count = plan.devices / each if _by_the_chip(plan, each) else real(instances(real(plan.devices), real(each)))
    usd = None
    if wall is not None:
        usd = Interval(*(real(run_cost(seconds, count, price)) for seconds in (wall.value, wall.low, wall.high)))
    return Offer(
        provider=provider, instance=instance, region=region, kind=kind, date=date, source=source,
        instance_usd_per_hour=price, devices_per_instance=each, instances=count, devices_used=plan.devices,
        devices_billed=round(count * each), usd_per_hour=real(run_cost(HOUR, count, price)), usd=usd,
    )  # fmt: skip


def _by_the_chip(plan: Setup, each: int) -> bool:
    """A slice of a torus is sold in many sizes at one price a chip; a price of any size tells it."""
    return plan.device.scale_up.topology.startswith("torus") and math.isfinite(each) and each > plan.devices


YEAR = slice(4)
"""Of a date; a snapshot without one has its year alone."""


def old_price(offer: Offer | None, offers: tuple[Offer, ...]) -> PlanWarning | None:
    """A warning where the price that counts is of an earlier year than the newest known one of the device."""
    if offer is None or offer.date is None:
        return None
    newest = max(one.date or "" for one in offers)
    if newest[YEAR] <= offer.date[YEAR]:
        return None
    return warning("LP044", instance=offer.instance, provider=offer.provider, date=offer.date, newest=newest)
