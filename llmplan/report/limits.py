"""Sentences about missed limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from llmplan.formatting import binary, days, duration, plain
from llmplan.report.economics import usd
from llmplan.serving.targets import TARGETS
from llmplan.si import MEGAWATT_HOUR, TONNE

if TYPE_CHECKING:
    from llmplan.answer.answer import Answer
    from llmplan.answer.limits import LimitAnswer


def missed_lines(answer: Answer) -> Iterator[str]:
    """A sentence for every limit that is missed, and for every one that does not apply."""
    found = answer.result.limits or {}
    for name in answer.inputs.get("limits", {}):
        if name not in found:
            yield f"note: {name} says nothing about workload {answer.inputs['workload']}"
        elif found[name].value is None:
            yield f"{_missed(name, found[name])}: the figure is not known{_why(name)}"
        elif not found[name].kept:
            yield f"{_missed(name, found[name])}: {written(name, found[name].value or 0.0)} is predicted"


def _missed(name: str, one: LimitAnswer) -> str:
    return f"limit {name} {written(name, one.limit)} is not kept"


def _why(name: str) -> str:
    return (
        " (say how long the run is: --tokens)" if name in ("max_days", "max_cost", "max_energy", "max_carbon") else ""
    )


def target_text(name: str) -> str:
    """`max_ttft_p95` as `TTFT p95`."""
    figure, _, share = name.removeprefix("max_").partition("_")
    return f"{figure.upper()} {share}".rstrip()


def written(name: str, value: float) -> str:
    """A figure with the unit of its limit."""
    write = duration if name in TARGETS else _WRITERS.get(name.partition("_")[2], plain)
    return write(value)


def _share(value: float) -> str:
    return f"{value:.1%}"


_WRITERS: dict[str, Callable[[float], str]] = {
    "cost": usd,
    "cost_per_million": usd,
    "days": days,
    "step": duration,
    "mfu": _share,
    "goodput": _share,
    "memory": lambda value: binary(value, 3),
    "energy": lambda value: f"{plain(value / MEGAWATT_HOUR)} MWh",
    "carbon": lambda value: f"{plain(value / TONNE)} t",
}
