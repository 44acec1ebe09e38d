"""Catalogue types of what surrounds a run: the building, the grid, and how often devices stop.

`hardware_catalog/energy.yaml` and `hardware_catalog/reliability.yaml`; a folder of the user may hold its own.
"""

from typing import Annotated

from llmplan.rules import Within
from llmplan.schema import Source, Spec
from llmplan.units import Kilogram, KilogramPerJoule, Seconds, Watts

MOST_INTENSITY = 5e-7
"""Of a grid [kg/J]: the worst fuel emits 1 kg a kWh (2.8e-7 kg/J)."""


class Grid(Spec):
    """What electricity emits where it is made."""

    name: str
    intensity: Annotated[KilogramPerJoule, Within(ge=0, le=MOST_INTENSITY)]
    """Location based, a yearly mean."""
    year: int | None = None


class Host(Spec):
    """A node beside its devices, where the cluster's entry says nothing; what is absent is not known."""

    node_power: Annotated[Watts, Within(ge=0)] | None = None
    node_embodied: Annotated[Kilogram, Within(ge=0)] | None = None
    device_embodied: Annotated[Kilogram, Within(ge=0)] | None = None


class EnergyTable(Spec):
    """`hardware_catalog/energy.yaml`."""

    pue: Annotated[float, Within(ge=1, le=3)]
    """Of a building whose PUE is not known."""
    lifetime: Annotated[Seconds, Within(gt=0)]
    """Over which embodied carbon is written off."""
    hosts: dict[str, Host]
    """By kind of device."""
    grid: str
    """Id of the default grid."""
    grids: dict[str, Grid]
    sources: Annotated[tuple[Source, ...], Within(min_length=1)]
    date: str

    def __post_init__(self) -> None:
        if self.grid not in self.grids:
            raise ValueError(f"grid {self.grid!r} is not one of grids")


class InterruptionRate(Spec):
    """Interruptions of one published run."""

    name: str
    devices: Annotated[int, Within(ge=1)]
    period: Annotated[Seconds, Within(gt=0)]
    interruptions: Annotated[float, Within(gt=0)]
    source: str
    notes: str = ""


class ReliabilityTable(Spec):
    """`hardware_catalog/reliability.yaml`."""

    default: str
    """Id of the default rate."""
    restart: Annotated[Seconds, Within(gt=0)]
    """From an interruption until training goes on."""
    rates: dict[str, InterruptionRate]
    sources: Annotated[tuple[Source, ...], Within(min_length=1)]
    date: str

    def __post_init__(self) -> None:
        if self.default not in self.rates:
            raise ValueError(f"default {self.default!r} is not one of rates")
