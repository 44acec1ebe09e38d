"""What so many devices cost an hour: the cheapest on-demand instances that hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from llmplan.formulas.cost import instances

if TYPE_CHECKING:
    from llmplan.plan.hardware import Price, PriceList


def hourly(lists: Iterable[PriceList], device: str, price: float | None = None) -> Callable[[int], float] | None:
    """A function from devices to USD/h; None where no on-demand price of the device is known.

    price: of one device, instead of the catalogue's [USD/h].
    """
    if price is not None:
        return lambda devices: price * devices
    offers = [offer for one in lists for offer in one.prices if offer.device == device and offer.kind == "on-demand"]
    if not offers:
        return None
    return lambda devices: min(_price(offer, devices) for offer in offers)


def cheapest(lists: Iterable[PriceList], device: str, devices: int) -> tuple[str, Price] | None:
    """Provider and offer that `hourly` takes for so many devices."""
    offers = [
        (one.provider, offer) for one in lists for offer in one.prices if offer.device == device and offer.kind == "on-demand"
    ]
    return min(offers, key=lambda item: _price(item[1], devices), default=None)


def _price(offer: Price, devices: int) -> float:
    return float(instances(float(devices), float(offer.devices))) * offer.price
