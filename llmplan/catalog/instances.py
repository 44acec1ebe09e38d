"""Cloud instances and slices by name: which devices, how many, in which cluster (`hardware_catalog/instances.yaml`)."""

from __future__ import annotations

import re

from llmplan.catalog.names import NameRules
from llmplan.records import dataclass
from llmplan.schema import Source, Spec
from llmplan.vocabulary import Degree

_COUNT = re.compile(r"(?P<slice>.+?)-(?P<count>\d{1,6})\Z")


class Instance(Spec):
    """One kind of machine to rent."""

    device: str
    devices: Degree
    cluster: str | None = None
    """Absent = the usual one of the device."""


class Slice(Spec):
    """A name followed by a number of devices, or of their parts: `v5p-8` has 8 cores on 4 chips."""

    device: str
    parts: Degree = 1
    """Of one device that the number counts."""


class InstanceTable(Spec):
    """`hardware_catalog/instances.yaml`."""

    instances: dict[str, Instance]
    slices: dict[str, Slice] = {}
    sources: tuple[Source, ...]
    date: str


@dataclass(frozen=True, slots=True)
class Rented:
    """The device, the number and the cluster that the name of an instance means."""

    name: str
    instance: Instance


def find_instance(name: str, table: InstanceTable, rules: NameRules) -> Rented | None:
    """The instance or slice of that name; None where there is none."""
    key = rules.key(name)
    for known, instance in table.instances.items():
        if rules.key(known) == key:
            return Rented(known, instance)
    match = _COUNT.match(name.strip().lower().removeprefix("tpu-"))
    found = table.slices.get(match["slice"]) if match else None
    if match is None or found is None:
        return None
    return Rented(name.strip(), Instance(device=found.device, devices=max(1, int(match["count"]) // found.parts)))
