"""Money and energy of a deployment, as plain data and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from llmplan.formatting import plain
from llmplan.report.economics import MEGAWATT_HOUR, drawn, known, part_used

if TYPE_CHECKING:
    from llmplan.answer.economics.serving import PerMillion, ServingEconomics
    from llmplan.software.band import Interval

KILOWATT_HOUR = 3.6e6
THOUSAND, MILLION = 1e3, 1e6


def serving_economics_json(found: ServingEconomics) -> dict[str, Any]:
    """`result.cost` and `result.energy` of a serving estimate; what is not known is left out."""
    head = found.cost.headline
    parts = [("request", found.request), ("input", found.input), ("output", found.output)]
    cost: dict[str, Any] = {"input_share": found.input_share}
    if head is not None:
        cost |= {"usd_per_hour": head.usd, "provider": head.provider, "instance": head.instance, "region": head.region,
                 "kind": head.kind, "date": head.date, "source": head.source, "instances": head.instances,
                 "devices_used": head.devices_used, "devices_billed": head.devices_billed}  # fmt: skip
    energy: dict[str, Any] = {
        "watts": found.watts,
        "device_watts": found.power.device_watts, "device_watts_source": found.power.device_source,
        "node_watts": found.power.node_watts, "node_watts_source": found.power.node_source,
        "pue": found.power.pue, "pue_source": found.power.pue_source,
        "grid": {"name": found.grid.name, "kilograms_per_joule": found.grid.intensity, "year": found.grid.year},
    }  # fmt: skip
    for name, one in parts:
        if one is not None:
            cost |= _interval(f"{name}_usd_per_million", one.usd)
            energy |= _interval(f"{name}_joules_per_million", one.joules)
            energy |= _interval(f"{name}_co2e_kilograms_per_million", one.carbon)
    if found.api is not None:
        cost["api"] = known(asdict(found.api))
    return {"cost": known(cost), "energy": known(energy)}


def _interval(name: str, value: Interval | None) -> dict[str, float]:
    if value is None:
        return {}
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}


def serving_economics_rows(found: ServingEconomics) -> Iterator[tuple[str, str]]:
    """A word and a line, or an empty word for one that goes on."""
    head = found.cost.headline
    if head is None:
        yield "cost", "not known"
    else:
        instances = f"{plain(head.instances)} x {head.instance}"
        words = [instances, *part_used(head), head.provider, head.region, head.date] if head.date else ["as given"]
        yield "cost", f"{plain(head.usd)} USD/h ({', '.join(words)})"
    yield "a thousand requests", _amounts(found.request, THOUSAND)
    for name, one in (("input", found.input), ("output", found.output)):
        if one is not None:
            yield f"a million {name} tokens", _amounts(one, MILLION)
    if found.watts is not None:
        grid = f"{found.grid.name}, {plain(found.grid.intensity * MEGAWATT_HOUR)} g/kWh"
        yield "", f"{plain(found.watts / 1e3)} kW ({drawn(found.power)}); {grid}"
    api = found.api
    if api is None:
        return
    line = f"{plain(api.usd_per_hour)} USD/h for the same tokens"
    rate, load = api.break_even_requests_per_second, api.break_even_load
    if rate is not None and load is not None:
        reach = f"{load:.0%} of the capacity" if load <= 1 else "more than the capacity"
        line += f"; even at {plain(rate)} requests/s, {reach}"
    yield "interface", line


def _amounts(one: PerMillion, number: float) -> str:
    """Money and energy of so many."""
    part, parts = number / MILLION, []
    if one.usd is not None:
        usd = one.usd
        parts.append(f"{plain(usd.value * part)} USD, {plain(usd.low * part)}-{plain(usd.high * part)}")
    if one.joules is not None and one.carbon is not None:
        grams = one.carbon.value * part * 1e3
        parts.append(f"{plain(one.joules.value * part / KILOWATT_HOUR)} kWh, {plain(grams)} g CO2e")
    return "; ".join(parts) or "not known"
