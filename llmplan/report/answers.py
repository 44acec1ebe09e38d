"""Shapes of the parts of an answer that are about the whole run, for the JSON Schema."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Part(BaseModel):
    """Base: no key beside those that are told."""

    model_config = ConfigDict(extra="forbid")


class ReliabilityAnswer(Part):
    """Interruptions."""

    rate: str
    """Which published run the rate is from."""
    source: str
    device_interval_seconds: Amount
    """Mean time between interruptions that one device causes."""
    interval_seconds: Amount
    """The same of the whole job."""
    interruptions: Amount
    """Expected in the run."""
    restart_seconds: Amount
    checkpoint_interval_seconds: Amount | None = None
    """Best time between checkpoints; left out where the time to write one is not known."""
    goodput: Amount | None = None
    """Share of the wall time that becomes progress."""
    lost_seconds: Amount | None = None


class RunAnswer(Part):
    """The whole run."""

    tokens: Amount
    steps: Amount
    seconds: Amount
    """Its steps alone."""
    low_seconds: Amount
    high_seconds: Amount
    device_seconds: Amount
    """Of its steps alone."""
    wall_seconds: Amount
    """With checkpoints and interruptions, as far as they are known."""
    low_wall_seconds: Amount
    high_wall_seconds: Amount
    days: Amount
    """Of wall_seconds."""
    device_hours: Amount
    """Of wall_seconds."""
    reliability: ReliabilityAnswer


class OfferAnswer(Part):
    """The run at one price."""

    provider: str
    instance: str
    region: str
    kind: str
    date: str
    """Of the price; a year alone where its snapshot has no date."""
    source: str
    usd_per_hour: Amount
    """Of one instance."""
    devices_per_instance: int
    instances: Amount
    """A part of one where slices of all sizes are sold at one price a chip."""
    devices_used: int
    """By the plan."""
    devices_billed: int
    """That the instances hold: more than are used where they are billed whole."""
    usd: Amount
    low_usd: Amount
    high_usd: Amount


class CostAnswer(Part):
    """Cost of the run: the price that was given, else the cheapest on demand; nothing but offers where unknown."""

    provider: str | None = None
    instance: str | None = None
    region: str | None = None
    kind: str | None = None
    date: str | None = None
    source: str | None = None
    usd_per_hour: Amount | None = None
    devices_per_instance: int | None = None
    instances: Amount | None = None
    devices_used: int | None = None
    """By the plan."""
    devices_billed: int | None = None
    """That the instances hold: more than are used where they are billed whole."""
    usd: Amount | None = None
    low_usd: Amount | None = None
    high_usd: Amount | None = None
    offers: list[OfferAnswer]
    """Every known price, the cheapest first."""


class GridAnswer(Part):
    """What the electricity emits where it is made."""

    name: str
    kilograms_per_joule: Amount
    year: int | None = None


class EnergyAnswer(Part):
    """Energy and carbon of the run; left out where the power of the device is not known."""

    joules: Amount | None = None
    """Of the building."""
    low_joules: Amount | None = None
    high_joules: Amount | None = None
    it_joules: Amount | None = None
    """Of the machines."""
    megawatt_hours: Amount | None = None
    """Of the building."""
    device_watts: Amount | None = None
    device_watts_source: str
    node_watts: Amount | None = None
    """Of a whole node beside its devices, which share it: a plan takes devices / devices_per_node of it."""
    node_watts_source: str
    pue: Amount
    pue_source: str
    co2e_kilograms: Amount | None = None
    """Of the electricity, location based."""
    embodied_co2e_kilograms: Amount | None = None
    """Share of making the machines; not part of co2e_kilograms."""
    grid: GridAnswer


class StorageAnswer(Part):
    """What the run writes and reads."""

    kind: str | None = None
    checkpoint_bytes: Amount
    weights_bytes: Amount
    write_seconds: Amount | None = None
    read_seconds: Amount | None = None
    dataset_bytes: Amount
    needed_bytes_per_second: Amount
    """To read data as fast as tokens are used."""
    read_bytes_per_second: Amount | None = None
    write_bytes_per_second: Amount | None = None
    holds_back: bool
    """Whether data are read slower than they are used."""


class LimitAnswer(Part):
    """A limit of the plan and the figure that it is about, in the limit's unit."""

    limit: Amount
    value: Amount | None = None
    """Left out where it is not known; a limit on it is then not kept."""
    kept: bool
