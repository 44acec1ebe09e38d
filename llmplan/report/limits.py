"""Limits and whether they are kept, as data and as sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from llmplan.formatting import binary, count, duration, plain

if TYPE_CHECKING:
    from llmplan.answer.limits import Kept

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
            yield f"{_missed(one)}: the figure is not known{_why(one.name)}"
        elif not one.kept:
            yield f"{_missed(one)}: {written(one.name, one.value)} is predicted"


def _missed(one: Kept) -> str:
    return f"limit {one.name} {written(one.name, one.limit)} is not kept"


def _why(name: str) -> str:
    return (
        " (say how long the run is: --tokens)" if name in ("max_days", "max_cost", "max_energy", "max_carbon") else ""
    )


def written(name: str, value: float) -> str:
    """A figure with the unit of its limit."""
    write = _WRITERS.get(name.partition("_")[2], plain)
    return write(value)


def _usd(value: float) -> str:
    return f"{count(value) if value >= 1 else plain(value)} USD"


def _share(value: float) -> str:
    return f"{value:.1%}"


_WRITERS: dict[str, Callable[[float], str]] = {
    "cost": _usd,
    "cost_per_million": _usd,
    "step": duration,
    "ttft": duration,
    "tpot": duration,
    "mfu": _share,
    "goodput": _share,
    "memory": lambda value: binary(value, 3),
    "energy": lambda value: f"{plain(value / MEGAWATT_HOUR)} MWh",
    "carbon": lambda value: f"{plain(value / TONNE)} t",
}
