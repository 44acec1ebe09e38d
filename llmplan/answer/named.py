"""A plan whose numbers know where they stand: leaves of `llmplan.formulas.traced`, each noted with its path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from llmplan.catalog.catalog import Catalog
from llmplan.catalog.entries import EntryT
from llmplan.formulas.traced import leaf, remembers
from llmplan.machine.hardware import PriceList
from llmplan.records import fields_of, names, replace
from llmplan.setup.plan import Setup

T = TypeVar("T")
PlanT = TypeVar("PlanT", bound=Setup)


def named(thing: T, path: str) -> T:
    """The same thing, every number in it a leaf noted `path.field`, `path.key` or `path.index`."""
    found: Any = thing
    if isinstance(thing, bool) or remembers(thing):
        return thing
    if isinstance(thing, (int, float)):
        found = leaf(thing, path)
    elif names(thing) and not isinstance(thing, type):
        found = replace(found, **_changed(fields_of(thing).items(), path))
    elif isinstance(thing, Mapping):
        found = {**thing, **_changed(thing.items(), path)}
    elif isinstance(thing, tuple):
        found = tuple(named(part, f"{path}.{index}") for index, part in enumerate(thing))
    return found  # type: ignore[no-any-return]


def _changed(parts: Iterable[tuple[str, Any]], path: str) -> dict[str, Any]:
    """The parts that are or contain numbers, named."""
    pairs = ((name, part, named(part, f"{path}.{name}")) for name, part in parts if not isinstance(part, str))
    return {name: new for name, part, new in pairs if new is not part}


def named_machine(plan: PlanT) -> PlanT:
    """The plan with the numbers of what it runs on named: `device`, `cluster`, `coefficients`, `host`."""
    device, cluster, coefficients = plan.device, plan.cluster, plan.coefficients
    key = id(device), id(cluster), id(coefficients)
    if key not in _MACHINES:
        if len(_MACHINES) >= MOST_MACHINES:
            _MACHINES.clear()
        whole = "peak", "memory", "scale_up", "host_link", "power"
        parts = {name: named(getattr(device, name), f"device.{name}") for name in whole}
        parts["efficiency"] = named(device.efficiency, "device.efficiency")
        fabric = named(cluster.fabric, "cluster.fabric")
        changed = {
            "device": replace(device, **parts), "cluster": replace(cluster, fabric=fabric),
            "coefficients": named(coefficients, "coefficients"),
        }  # fmt: skip
        _MACHINES[key] = (device, cluster, coefficients), changed
    found = replace(plan, **_MACHINES[key][1])
    host = getattr(plan, "host", None)  # that runs layers in its memory
    more: dict[str, Any] = {} if host is None else {"host": named(host, "host")}
    return replace(found, **more) if more else found


MOST_MACHINES = 256
_MACHINES: dict[tuple[int, int, int], tuple[tuple[Any, ...], dict[str, Any]]] = {}
"""What many plans run on, named once; by the `id` of its parts, which are held so that it stays theirs."""


class NamedCatalog(Catalog):
    """A catalogue whose tables and prices are named."""

    @classmethod
    def of(cls, catalog: Catalog) -> NamedCatalog:
        """The same catalogue, named."""
        return cls(catalog.folders)

    def table(self, name: str, spec: type[EntryT]) -> EntryT:
        """A table, named `NAME.field`."""
        return named(super().table(name, spec), name)

    def prices(self) -> tuple[PriceList, ...]:
        """All price lists, named `prices.ID.field`."""
        return tuple(named(prices, f"prices.{prices.id}") for prices in super().prices())
