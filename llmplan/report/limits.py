"""Limits and whether they are kept, as data and as sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from llmplan.report.numbers import binary, count, duration, plain

if TYPE_CHECKING:
    from llmplan.planner.limits import Kept

TONNE, MEGAWATT_HOUR = 1e3, 3.6e9


def limits_json(found: Iterable[Kept]) -> dict[str, Any]:
    """`result.limits`: by name, the limit, the figure, and whether it is kept; SI base units, days where so named."""
    return {
        one.name: {"limit": one.limit, **({} if one.value is None else {"value": one.value}), "kept": one.kept}
        for one in found
        if one.applies
    }


def missed_lines(found: Iterable[Kept], workload: str) -> Iterator[str]:
    """A sentence for every limit that is not kept, and for every one that says nothing here."""
    for one in found:
        if not one.applies:
            yield f"note: {one.name} says nothing about workload {workload}"
        elif one.value is None:
            yield f"limit {one.name} {written(one.name, one.limit)} is not kept: the figure is not known{_why(one.name)}"
        elif not one.kept:
            yield f"limit {one.name} {written(one.name, one.limit)} is not kept: {written(one.name, one.value)} is predicted"


def _why(name: str) -> str:
    return " (say how long the run is: --tokens)" if name in ("max_days", "max_cost", "max_energy", "max_carbon") else ""


def written(name: str, value: float) -> str:
    """A figure with the unit of its limit."""
    kind = name.partition("_")[2]
    if kind in ("cost", "cost_per_million"):
        return f"{count(value) if value >= 1 else plain(value)} USD"
    if kind in ("step", "ttft", "tpot"):
        return duration(value)
    if kind in ("mfu", "goodput"):
        return f"{value:.1%}"
    if kind == "memory":
        return binary(value, 3)
    if kind == "energy":
        return f"{plain(value / MEGAWATT_HOUR)} MWh"
    if kind == "carbon":
        return f"{plain(value / TONNE)} t"
    return plain(value)
