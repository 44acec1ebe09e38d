"""Targets of latency: what each is about, and which are missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from llmplan.records import replace

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num
    from llmplan.serving.loads import Response
    from llmplan.serving.plan import ServingPlan, ServingWorkload

FIGURES = ("ttft", "tpot", "request")
"""Times of requests: to the first token, per output token, whole."""
SHARES = (50, 95, 99)
"""Requests of 100 that percentiles are given for."""
TARGETS: dict[str, tuple[str, int | None]] = {
    f"max_{figure}{'' if share is None else f'_p{share}'}": (figure, share)
    for figure in FIGURES
    for share in (None, 95, 99)
}
"""Options of a plan, and what each limits: the mean of a figure, or so many of 100 requests."""


_limits = attrgetter(*TARGETS)


def targets(work: ServingWorkload) -> dict[str, float]:
    """The targets that were given and apply, by name [s]: what writes nothing has no time per output token."""
    limits = _limits(work)
    if limits.count(None) == len(limits):  # as of most
        return {}
    given = zip(TARGETS, limits, strict=True)
    return {name: limit for name, limit in given if limit is not None and (work.writes or "tpot" not in name)}


def wants_percentiles(work: ServingWorkload) -> bool:
    """Whether requests are to be simulated one by one: how they come was given, or a share of them is limited."""
    return work.load == "open" and (work.arrival is not None or any(TARGETS[name][1] for name in targets(work)))


def without_simulation(plan: ServingPlan) -> ServingPlan:
    """The plan without what asks for a simulation: what a resource brings, and why a figure is what it is, is read off
    the formulas."""
    nothing: dict[str, Any] = dict.fromkeys((*TARGETS, "arrival", "arrival_cv"))
    return replace(plan, workload=replace(plan.workload, **nothing))


def figures(answer: Response, work: ServingWorkload, percentiles: Mapping[str, Num] | None = None) -> dict[str, Num]:
    """What the given targets are about, by their names, as far as it is known [s]."""
    known = {figure: getattr(answer, figure) for figure in FIGURES} | dict(percentiles or {})
    return {name: known[key] for name in targets(work) if (key := name.removeprefix("max_")) in known}


def missed(
    work: ServingWorkload, found: Mapping[str, float], *, stable: bool = True
) -> Iterator[tuple[str, float, float]]:
    """Targets that figures do not meet: name without `max_`, figure, limit [s].

    stable: whether the load is kept up with; a queue that grows without end meets no target but on tokens' mean time.
    """
    for name, limit in targets(work).items():
        endless = not stable and name != "max_tpot"
        value = float("inf") if endless else found[name]
        if value > limit:
            yield name.removeprefix("max_"), value, limit
