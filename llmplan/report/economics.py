"""The whole run, as plain data for JSON and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from llmplan.formatting import count, decimal, duration, plain

if TYPE_CHECKING:
    from llmplan.answer.economics.cost import Cost, Offer
    from llmplan.answer.economics.energy import Energy, Power
    from llmplan.answer.economics.reliability import Reliability
    from llmplan.answer.economics.run import Run
    from llmplan.answer.economics.storage import Storage
    from llmplan.answer.economics.summary import Economics
    from llmplan.software.band import Interval

DAY, HOUR, MEGAWATT_HOUR, TONNE = 86400.0, 3600.0, 3.6e9, 1e3
MOST_OFFERS = 4  # lines of a table; JSON has all


def economics_json(found: Economics) -> dict[str, Any]:
    """`result.run`, `.cost`, `.energy` and `.storage`; what is not known is left out."""
    run, devices = found.run, found.run.device_seconds / found.run.wall.value
    parts = {
        "run": _run(run, devices, found.reliability),
        "cost": _cost(found.cost),
        "energy": _energy(found.energy),
        "storage": _storage(found.storage),
    }
    return {name: known(part) for name, part in parts.items()}


def _run(run: Run, devices: float, reliability: Reliability) -> dict[str, Any]:
    return {
        "tokens": run.tokens, "steps": run.steps,
        "seconds": run.work.value, "low_seconds": run.work.low, "high_seconds": run.work.high,
        "device_seconds": run.work.value * devices,
        "wall_seconds": run.wall.value, "low_wall_seconds": run.wall.low, "high_wall_seconds": run.wall.high,
        "days": run.wall.value / DAY, "device_hours": run.device_seconds / HOUR,
        "reliability": {
            "rate": reliability.rate, "source": reliability.source,
            "device_interval_seconds": reliability.device_seconds, "interval_seconds": reliability.job_seconds,
            "interruptions": run.wall.value / reliability.job_seconds,
            "restart_seconds": reliability.restart_seconds,
            "checkpoint_interval_seconds": reliability.checkpoint_seconds,
            "goodput": reliability.goodput,
            "lost_seconds": None if reliability.goodput is None else run.wall.value - run.work.value,
        },
    }  # fmt: skip


def _cost(cost: Cost) -> dict[str, Any]:
    head = {} if cost.headline is None else asdict(cost.headline)
    return {**head, "offers": [asdict(offer) for offer in cost.offers]}


def _energy(energy: Energy) -> dict[str, Any]:
    power = energy.power
    return {
        "joules": energy.joules, "low_joules": energy.low_joules, "high_joules": energy.high_joules,
        "it_joules": energy.it_joules,
        "megawatt_hours": None if energy.joules is None else energy.joules / MEGAWATT_HOUR,
        "device_watts": power.device_watts, "device_watts_source": power.device_source,
        "node_watts": power.node_watts, "node_watts_source": power.node_source,
        "pue": power.pue, "pue_source": power.pue_source,
        "co2e_kilograms": energy.carbon, "embodied_co2e_kilograms": energy.embodied,
        "grid": {"name": energy.grid.name, "kilograms_per_joule": energy.grid.intensity, "year": energy.grid.year},
    }  # fmt: skip


def _storage(storage: Storage) -> dict[str, Any]:
    return {
        "kind": storage.kind,
        "checkpoint_bytes": storage.checkpoint_bytes, "weights_bytes": storage.weights_bytes,
        "write_seconds": storage.write_seconds, "read_seconds": storage.read_seconds,
        "dataset_bytes": storage.dataset_bytes,
        "needed_bytes_per_second": storage.data_bandwidth,
        "read_bytes_per_second": storage.read_bandwidth, "write_bytes_per_second": storage.write_bandwidth,
        "holds_back": storage.holds_back,
    }  # fmt: skip


def known(data: dict[str, Any]) -> dict[str, Any]:
    """Without what is not known."""
    return {
        key: known(value) if isinstance(value, dict) else value
        for key, value in data.items()
        if value not in (None, "")
    }


def economics_lines(found: Economics) -> Iterator[tuple[str, str]]:
    """A word and a line, or an empty word for one that goes on."""
    run, reliability = found.run, found.reliability
    hours = f"{count(run.device_seconds / HOUR)} device-hours"
    unit, name = (DAY, " d") if run.wall.value >= DAY else (HOUR, " h")
    yield "Run", f"{_band(run.wall, unit, name)}, {hours}, for {count(run.tokens)} tokens in {count(run.steps)} steps"
    every = f"one interruption in {duration(reliability.job_seconds)} ({reliability.rate})"
    if reliability.goodput is None or reliability.checkpoint_seconds is None:
        yield "", f"{every}; what they cost is not known"
    else:
        lost = duration(run.wall.value - run.work.value)
        saved = f"checkpoint each {duration(reliability.checkpoint_seconds)}"
        yield "", f"{every}; {saved}; goodput {reliability.goodput:.1%}, {lost} lost"
    yield from _cost_lines(found.cost)
    yield from _energy_lines(found)
    yield from _storage_lines(found.storage)


def _band(value: Interval, unit: float, name: str) -> str:
    return f"{plain(value.value / unit)}{name}, {plain(value.low / unit)}-{plain(value.high / unit)}"


def usd(value: float) -> str:
    """Money with the letters that people use; `1.68M USD`."""
    return f"{count(value)} USD"


def _cost_lines(cost: Cost) -> Iterator[tuple[str, str]]:
    if cost.headline is None:
        yield "Cost", "not known" + (f"; {_offer(cost.offers[0])}" if cost.offers else "")
        return
    first = cost.headline
    yield "Cost", f"{usd(first.usd)}, {count(first.low_usd)}-{count(first.high_usd)}: {_where(first)}"
    shown = {first.provider}
    for offer in cost.offers:
        if offer.kind == first.kind and offer.provider not in shown and len(shown) < MOST_OFFERS:
            shown.add(offer.provider)
            yield "", _offer(offer)


def _offer(offer: Offer) -> str:
    return f"{usd(offer.usd)}: {_where(offer)}"


def _where(offer: Offer) -> str:
    if not offer.date:
        return f"{plain(offer.usd_per_device_hour)} USD/h a device, as given"
    words = [*part_used(offer), offer.provider, offer.region, offer.kind, offer.date]
    return f"{plain(offer.instances)} x {offer.instance} at {plain(offer.usd_per_hour, 5)} USD/h ({', '.join(words)})"


def part_used(offer: Offer) -> list[str]:
    """How many of the devices that are billed the plan uses, where not all."""
    if offer.devices_billed == offer.devices_used:
        return []
    used = f"{offer.devices_used} {'is' if offer.devices_used == 1 else 'are'} used"
    return [f"{offer.devices_billed} devices of which {used}"]


def _energy_lines(found: Economics) -> Iterator[tuple[str, str]]:
    energy, power = found.energy, found.energy.power
    apart = "" if energy.embodied is None else f"; making the machines {mass(energy.embodied)}, apart"
    if energy.joules is None or energy.carbon is None or power.device_watts is None:
        yield "Energy", f"not known{apart}"
        return
    yield "Energy", f"{electricity(energy.joules)}: {drawn(power)}"
    grams = plain(energy.grid.intensity * MEGAWATT_HOUR)
    yield "Carbon", f"{mass(energy.carbon)} CO2e at {grams} g/kWh ({energy.grid.name}){apart}"


def drawn(power: Power) -> str:
    """What the power is made of; that of the device is known."""
    host = f" + {plain(power.node_watts)} W a node shared by {power.node_devices}" if power.node_watts else ""
    return f"{plain(power.device_watts or 0.0)} W a device{host}, PUE {power.pue:g}"


def electricity(joules: float) -> str:
    """Energy in the unit that a meter would show."""
    if joules < MEGAWATT_HOUR:
        return f"{plain(joules / MEGAWATT_HOUR * 1e3)} kWh"
    return f"{plain(joules / MEGAWATT_HOUR)} MWh"


def mass(kilograms: float) -> str:
    """Tonnes, or kilograms where there is less than one."""
    return f"{plain(kilograms)} kg" if kilograms < TONNE else f"{plain(kilograms / TONNE)} t"


def _storage_lines(storage: Storage) -> Iterator[tuple[str, str]]:
    size, data = decimal(storage.checkpoint_bytes, "B", 3), decimal(storage.dataset_bytes, "B", 3)
    needed = decimal(storage.data_bandwidth, "B/s", 3)
    if storage.write_seconds is None or storage.read_seconds is None or storage.read_bandwidth is None:
        yield "Storage", f"checkpoint {size}; data {data}, read at {needed}; the cluster's storage is not known"
        return
    times = f"written in {duration(storage.write_seconds)}, read in {duration(storage.read_seconds)}"
    have = decimal(storage.read_bandwidth, "B/s", 3)
    yield "Storage", f"checkpoint {size}, {times}; data {data}, read at {needed} of {have}"
