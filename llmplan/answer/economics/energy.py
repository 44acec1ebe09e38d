"""Energy of a run and what it emits: devices, hosts, building, grid; making the machines apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmplan.catalog.entries import normal
from llmplan.errors import Fault, InputError, did_you_mean
from llmplan.formulas.carbon import embodied_carbon, operational_carbon
from llmplan.formulas.energy import facility_energy, it_energy
from llmplan.formulas.numeric import real
from llmplan.machine.facilities import MOST_INTENSITY, EnergyTable, Grid, Host
from llmplan.records import dataclass
from llmplan.software.band import Interval
from llmplan.units import parse_quantity
from llmplan.vocabulary import Amount

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog
    from llmplan.setup.plan import Setup


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerDraw:
    """What the plan's machines draw."""

    device_watts: Amount | None = None
    """Of one device; left out where none was published."""
    device_source: str
    node_watts: Amount | None = None
    """Of a whole node beside its devices, which share it: a plan takes devices / node_devices of it."""
    node_source: str
    node_devices: int
    pue: Amount
    """Energy of the building over that of its machines."""
    pue_source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Electricity:
    """What the electricity emits where it is made, location based."""

    name: str
    kilograms_per_joule: Amount
    year: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """What energy and carbon are worked out from."""

    power: PowerDraw
    grid: Electricity


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnergy(Energy):
    """Energy and carbon of the run; no figures where the power of the device is not known."""

    joules: Interval | None = None
    """Of the building."""
    it_joules: Amount | None = None
    """Of the machines."""
    co2e_kilograms: Interval | None = None
    """Of the electricity."""
    embodied_co2e_kilograms: Amount | None = None
    """Share of making the machines; not part of co2e_kilograms."""


def run_energy(plan: Setup, wall: Interval, catalog: Catalog) -> RunEnergy:
    """Energy of a plan that runs for `wall` [s]; InputError for an unknown grid."""
    table = catalog.table("energy", EnergyTable)
    power, grid = power_of(plan, table), grid_of(plan, table)
    embodied, watts = _embodied(plan, table, wall.value), it_watts(plan, power)
    if watts is None:
        return RunEnergy(power=power, grid=grid, embodied_co2e_kilograms=embodied)
    joules = wall * real(facility_energy(watts, power.pue))
    return RunEnergy(
        power=power, grid=grid, joules=joules, it_joules=watts * wall.value, co2e_kilograms=carbon_of(joules, grid),
        embodied_co2e_kilograms=embodied,
    )  # fmt: skip


def carbon_of(joules: Interval, grid: Electricity) -> Interval:
    """What making so much electricity emits [kg]."""
    ends = joules.value, joules.low, joules.high
    return Interval(*(real(operational_carbon(each, grid.kilograms_per_joule)) for each in ends))


def it_watts(plan: Setup, power: PowerDraw) -> float | None:
    """What the plan's devices draw with their share of their hosts [W]; None where the device's power is not known."""
    if power.device_watts is None:
        return None
    return real(it_energy(1.0, real(plan.devices), power.device_watts, _nodes(plan), power.node_watts or 0.0))


def _nodes(plan: Setup) -> float:
    """Nodes that the plan's devices fill, the last in part [1]: devices of a node share its host evenly."""
    return plan.devices / plan.cluster.devices_per_node


def power_of(plan: Setup, table: EnergyTable) -> PowerDraw:
    """What the machines draw, and where each figure is from."""
    options, device, cluster = plan.options, plan.device, plan.cluster
    host = table.hosts.get(device.kind, Host())
    watts, source = device.power.tdp, f"nameplate of {device.id}" if device.power.tdp else "not known"
    if options.device_power is not None:
        watts, source = options.device_power, "given"
    elif device.power.load is not None:
        watts, source = device.power.load, f"measured under load ({device.id})"
    node, node_source = cluster.node_power, f"cluster {cluster.id}"
    if node is None:
        node = host.node_power
        node_source = f"what a server of {device.kind} devices draws" if node is not None else "not known"
    pue, pue_source = cluster.pue, f"cluster {cluster.id}"
    if options.pue is not None:
        pue, pue_source = options.pue, "given"
    elif pue is None:
        pue, pue_source = table.pue, f"a usual figure, as cluster {cluster.id} has none"
    return PowerDraw(
        device_watts=watts, device_source=source, node_watts=node, node_source=node_source,
        node_devices=cluster.devices_per_node, pue=real(pue), pue_source=pue_source,
    )  # fmt: skip


def grid_of(plan: Setup, table: EnergyTable) -> Electricity:
    """The grid that was named (id, name or amount), else the table's default."""
    found = _named_grid(plan.options.grid, table)
    return Electricity(name=found.name, kilograms_per_joule=found.intensity, year=found.year)


def _named_grid(grid_name: str | None, table: EnergyTable) -> Grid:
    if grid_name is None:
        return table.grids[table.grid]
    wanted = normal(grid_name)
    by_name = {normal(grid.name): grid for grid in table.grids.values()}
    found = table.grids.get(wanted) or by_name.get(wanted)
    if found is not None:
        return found
    try:
        intensity = parse_quantity(grid_name, "kg/J")
    except ValueError:
        hint = did_you_mean(wanted, [*table.grids, *by_name])
        known = ", ".join(table.grids)
        raise InputError(
            Fault(f"grid: unknown {grid_name[:60]!r}{hint}; there are {known}, or an amount (57 gCO2e/kWh)")
        ) from None
    if not 0 <= intensity <= MOST_INTENSITY:
        most = MOST_INTENSITY / parse_quantity("1 gCO2e/kWh", "kg/J")
        raise InputError(Fault(f"grid: {grid_name[:60]!r} is not between 0 and {most:g} gCO2e/kWh"))
    return Grid(name="as given", intensity=intensity)


def _embodied(plan: Setup, table: EnergyTable, seconds: float) -> float | None:
    """Embodied carbon of the run [kg]: its share of the cluster's nodes, or of such servers and devices."""
    each, host = plan.cluster.embodied, table.hosts.get(plan.device.kind, Host())
    if each is None and host.node_embodied is not None and host.device_embodied is not None:
        each = host.node_embodied + plan.cluster.devices_per_node * host.device_embodied
    return None if each is None else real(embodied_carbon(each, _nodes(plan), seconds, table.lifetime))


def assumed_power(plan: Setup, power: PowerDraw, grid: Electricity, remark: str = "") -> Iterator[str]:
    """Power, building and grid that were filled in, a sentence each; remark: more about the device's power."""
    options = plan.options
    if options.device_power is None:
        yield f"device_power {power.device_watts:g} W: {power.device_source}{remark}"
    if options.pue is None:
        yield f"pue {power.pue:g}: {power.pue_source}"
    if options.grid is None:
        yield f"grid {grid.kilograms_per_joule * 3.6e9:g} gCO2e/kWh: {grid.name}, none was named"


def missing_power(plan: Setup, power: PowerDraw) -> tuple[str, ...]:
    """What is not counted because nobody published it, in sentences."""
    found = []
    if power.device_watts is None:
        found.append(f"no power of {plan.device.id} was published: no energy and no carbon (--device-power gives it)")
    if power.node_watts is None and power.device_watts is not None:
        found.append(f"what a host of {plan.device.id} draws is not known and not counted")
    return tuple(found)
