"""Cost, energy, carbon and storage as lines of text, of a run and of a deployment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmplan.formatting import EXACT, count, decimal, duration, money, plain
from llmplan.si import DAY, HOUR, KILOWATT_HOUR, MEGAWATT_HOUR, TONNE

if TYPE_CHECKING:
    from llmplan.answer.economics.cost import Offer, RunCost
    from llmplan.answer.economics.energy import PowerDraw, RunEnergy
    from llmplan.answer.economics.run import RunAnswer
    from llmplan.answer.economics.storage import RunStorage
    from llmplan.answer.serving import ServingResult
    from llmplan.answer.training import TrainingResult
    from llmplan.software.band import Interval

MOST_OFFERS = 4  # lines of a table; JSON has all
THOUSAND, MILLION = 1e3, 1e6

Lines = Iterator[tuple[str, str]]
"""A word and a line each, or an empty word for one that goes on."""


def run_lines(result: TrainingResult) -> Lines:
    """Lines about the whole run; none if its length is not given."""
    if result.run is not None:
        yield from _run_lines(result.run)
    if result.cost is not None:
        yield from _cost_lines(result.cost)
    if result.energy is not None:
        yield from _energy_lines(result.energy)
    if result.storage is not None:
        yield from _storage_lines(result.storage)


def _run_lines(run: RunAnswer) -> Lines:
    wall, reliability = run.wall_seconds, run.reliability
    hours = f"{count(run.device_hours)} device-hours"
    unit, name = (DAY, " d") if wall.value >= DAY else (HOUR, " h")
    yield "Run", f"{_band(wall, unit, name)}, {hours}, for {count(run.tokens)} tokens in {count(run.steps)} steps"
    every = f"one interruption in {duration(reliability.interval_seconds)} ({reliability.rate})"
    if reliability.goodput is None or reliability.checkpoint_interval_seconds is None:
        yield "", f"{every}; what they cost is not known"
    else:
        saved = f"checkpoint each {duration(reliability.checkpoint_interval_seconds)}"
        yield "", f"{every}; {saved}; goodput {reliability.goodput:.1%}, {duration(run.lost_seconds or 0.0)} lost"


def _band(value: Interval, unit: float, name: str) -> str:
    return f"{plain(value.value / unit)}{name}, {plain(value.low / unit)}-{plain(value.high / unit)}"


def usd(value: float) -> str:
    """An amount of money: `1.68M USD`, `13.46 USD`."""
    return f"{money(value)} USD"


def _cost_lines(cost: RunCost) -> Lines:
    first, whole = cost.offer, cost.usd
    if first is None or whole is None:
        yield "Cost", "not known" + (f"; {_offer(cost.offers[0])}" if cost.offers else "")
        return
    yield "Cost", f"{usd(whole.value)}, {money(whole.low)}-{money(whole.high)}: {_where(first)}"
    shown = {first.provider}
    for offer in cost.offers:
        if offer.kind == first.kind and offer.provider not in shown and len(shown) < MOST_OFFERS:
            shown.add(offer.provider)
            yield "", _offer(offer)


def _offer(offer: Offer) -> str:
    return f"{usd(offer.usd.value) if offer.usd else ''}: {_where(offer)}"


def _where(offer: Offer) -> str:
    if not offer.date:
        return f"{plain(offer.usd_per_device_hour)} USD/h a device, as given"
    words = [*part_used(offer), offer.provider, offer.region or "", offer.kind, offer.date]
    price = f"{plain(offer.instance_usd_per_hour, 5)} USD/h"
    return f"{plain(offer.instances, EXACT)} x {offer.instance} at {price} ({', '.join(filter(None, words))})"


def part_used(offer: Offer) -> list[str]:
    """How many of the billed devices the plan uses, if not all."""
    if offer.devices_billed == offer.devices_used:
        return []
    used = f"{offer.devices_used} {'is' if offer.devices_used == 1 else 'are'} used"
    return [f"{offer.devices_billed} devices of which {used}"]


def _energy_lines(energy: RunEnergy) -> Lines:
    embodied, joules, carbon = energy.embodied_co2e_kilograms, energy.joules, energy.co2e_kilograms
    apart = "" if embodied is None else f"; making the machines {mass(embodied)}, apart"
    if joules is None or carbon is None:
        yield "Energy", f"not known{apart}"
        return
    yield "Energy", f"{electricity(joules.value)}: {drawn(energy.power)}"
    grams = plain(energy.grid.kilograms_per_joule * MEGAWATT_HOUR)
    yield "Carbon", f"{mass(carbon.value)} CO2e at {grams} g/kWh ({energy.grid.name}){apart}"


def drawn(power: PowerDraw) -> str:
    """How the power adds up; that of the device must be known."""
    host = f" + {plain(power.node_watts)} W a node shared by {power.node_devices}" if power.node_watts else ""
    return f"{plain(power.device_watts or 0.0)} W a device{host}, PUE {power.pue:g}"


def electricity(joules: float) -> str:
    """Energy in kWh or MWh."""
    if joules < MEGAWATT_HOUR:
        return f"{plain(joules / MEGAWATT_HOUR * 1e3)} kWh"
    return f"{plain(joules / MEGAWATT_HOUR)} MWh"


def mass(kilograms: float) -> str:
    """Tonnes, or kilograms where there is less than one."""
    return f"{plain(kilograms)} kg" if kilograms < TONNE else f"{plain(kilograms / TONNE)} t"


def _storage_lines(storage: RunStorage) -> Lines:
    size, data = decimal(storage.checkpoint_bytes, "B", 3), decimal(storage.dataset_bytes, "B", 3)
    needed = decimal(storage.needed_bytes_per_second, "B/s", 3)
    if storage.write_seconds is None or storage.read_seconds is None or storage.read_bytes_per_second is None:
        yield "Storage", f"checkpoint {size}; data {data}, read at {needed}; the cluster's storage is not known"
        return
    times = f"written in {duration(storage.write_seconds)}, read in {duration(storage.read_seconds)}"
    have = decimal(storage.read_bytes_per_second, "B/s", 3)
    yield "Storage", f"checkpoint {size}, {times}; data {data}, read at {needed} of {have}"


def serving_lines(result: ServingResult) -> Lines:
    """Money and energy of a deployment."""
    cost, energy = result.cost, result.energy
    offer, usd, joules, carbon = (
        cost.offer, cost.usd_per_million, energy.joules_per_million, energy.co2e_kilograms_per_million
    )  # fmt: skip
    if offer is None:
        yield "cost", "not known"
    else:
        instances = f"{plain(offer.instances, EXACT)} x {offer.instance}"
        words = [instances, *part_used(offer), offer.provider, offer.region or "", offer.date or ""]
        yield (
            "cost",
            f"{plain(offer.usd_per_hour)} USD/h ({', '.join(filter(None, words)) if offer.date else 'as given'})",
        )
    for name, key, number in _AMOUNTS:
        amounts = [getattr(one, key) if one else None for one in (usd, joules, carbon)]
        if result.latency.tpot_seconds is not None or key != "output_tokens":
            yield name, _amounts(amounts[0], amounts[1], amounts[2], number / MILLION)
    if energy.watts is not None:
        grid = f"{energy.grid.name}, {plain(energy.grid.kilograms_per_joule * MEGAWATT_HOUR)} g/kWh"
        yield "", f"{plain(energy.watts / 1e3)} kW ({drawn(energy.power)}); {grid}"
    api = cost.api
    if api is None:
        return
    line = f"{plain(api.usd_per_hour)} USD/h for the same tokens"
    rate, load = api.break_even_requests_per_second, api.break_even_load
    if rate is not None and load is not None:
        reach = f"{load:.0%} of the capacity" if load <= 1 else "more than the capacity"
        line += f"; break-even at {plain(rate)} requests/s, {reach}"
    yield "API", line


_AMOUNTS = (
    ("a thousand requests", "requests", THOUSAND), ("a million input tokens", "input_tokens", MILLION),
    ("a million output tokens", "output_tokens", MILLION),
)  # fmt: skip


def _amounts(usd: Interval | None, joules: Interval | None, carbon: Interval | None, part: float) -> str:
    """Cost and energy of a fraction of a million [1]."""
    parts = []
    if usd is not None:
        parts.append(f"{plain(usd.value * part)} USD, {plain(usd.low * part)}-{plain(usd.high * part)}")
    if joules is not None and carbon is not None:
        grams = carbon.value * part * 1e3
        parts.append(f"{plain(joules.value * part / KILOWATT_HOUR)} kWh, {plain(grams)} g CO2e")
    return "; ".join(parts) or "not known"
