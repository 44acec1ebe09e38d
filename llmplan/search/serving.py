"""The best deployments of a served model out of all of them, against targets of latency, load and cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llmplan.errors import Fault, InputError
from llmplan.formulas.cost import cost_per_million
from llmplan.search.choices import OPEN, Choices
from llmplan.search.deployments import Deployments, DeploymentSpace, chunks
from llmplan.search.goal import SURELY
from llmplan.search.rank import Best, Candidate, EachBest, Front, subject
from llmplan.search.terms import Market
from llmplan.search.training import MEMORY, MISSES, Counts, SearchFound, in_order
from llmplan.serving.estimate import ServingEstimate, estimate_serving
from llmplan.serving.plan import ServingPlan
from llmplan.serving.resolve import serving_remarks
from llmplan.serving.targets import figures

LOAD, PLACES = "load", "places"


@dataclass(frozen=True, slots=True)
class ServingSearch:
    """A question: bases hold everything but the layout, one for each pair of precisions.

    most: any number of devices up to it, where no sizes are given; least_rate: output tokens a second, of all
    devices [1/s]; most_cost: of a million output tokens [USD]; left_out: devices and stacks that were asked about and
    cannot run this, a sentence each.
    """

    bases: tuple[ServingPlan, ...]
    devices: tuple[int, ...]
    most: int | None
    choices: Choices
    objective: str
    market: Market
    top: int
    pareto: tuple[str, str] | None
    least_rate: float | None
    most_cost: float | None
    surely: bool
    left_out: tuple[str, ...] = ()

    @property
    def several(self) -> bool:
        """Whether devices or stacks are to be chosen from."""
        return len({subject(base) for base in self.bases}) > 1

    @property
    def opens_batch(self) -> bool:
        """Whether the requests in flight are left to choose."""
        work = self.bases[0].workload
        closed = work.load in ("closed", "static")
        return closed and self.choices.get("batch", OPEN).values is None


def search_serving(asked: ServingSearch) -> SearchFound[ServingEstimate]:
    """Estimates every legal deployment; ranks those that fit, keep up with the load and meet the targets."""
    if any(base.prefill is not None for base in asked.bases):
        raise InputError(Fault("fit does not search layouts of two pools; `estimate` takes prefill_devices"))
    best, sure, misses = Best[ServingPlan](asked.top), Best[ServingPlan](asked.top), Best[ServingPlan](MISSES)
    front, each, counts = Front[ServingPlan](), EachBest[ServingPlan](), Counts()
    for base in asked.bases:
        space = DeploymentSpace(base, asked.devices, asked.most, asked.choices)
        for many in chunks(space):
            kept = _kept(asked, many, counts)
            index = np.flatnonzero(kept)
            counts.kept += len(index)
            keys = [
                value[index]
                for value in (value_of(asked, asked.objective, many), many.answer.request + 0.0 * many.devices)
            ]
            best.offer(many.make, index, keys)
            certain = many.surely[index]
            each.keep(base, many.make, index, [~certain, *keys])
            sure.offer(many.make, index[certain], [key[certain] for key in keys])
            if asked.pareto is not None:
                a, b = (value_of(asked, name, many)[index] for name in asked.pareto)
                front.offer(many.make, index, a, b)
            if not len(index):
                places, distance = np.arange(len(kept)), list(_distance(asked, many))
                each.miss(base, many.make, places, distance)
                if not best.found:
                    misses.offer(many.make, places, distance)
        counts.considered += space.considered
        counts.legal += space.legal
        counts.removed.update(space.removed)
    counts.removed = +counts.removed  # reasons that removed something
    found, marginal = in_order(_estimates(sure.winners()), _estimates(best.winners()), asked.top)
    missed = () if found else _estimates(misses.winners())
    ahead, behind = (_estimates(some) for some in each.winners()) if asked.several else ((), ())
    return SearchFound(found, marginal, _estimates(front.found), missed, counts, each=ahead, behind=behind)


def _estimates(found: Sequence[Candidate[ServingPlan]]) -> tuple[ServingEstimate, ...]:
    """Each alone and to the last digit, with the warnings that its layout earns."""
    plans = [one.plan.with_layout(one.layout) for one in found]
    plans = [replace(plan, warnings=tuple(serving_remarks(plan))) for plan in plans]
    return tuple(estimate_serving(plan) for plan in plans)


def _kept(asked: ServingSearch, many: Deployments, counts: Counts) -> Any:
    """Which deployments do; books why the others do not."""
    kept = many.fits
    counts.fitting += int(np.count_nonzero(kept))
    counts.removed[MEMORY] += int(np.count_nonzero(~kept))
    for reason, value, most in targets_of(asked, many):
        left = kept & (value <= most)
        counts.removed[reason] += int(np.count_nonzero(kept) - np.count_nonzero(left))
        kept = left
    return kept


def targets_of(asked: ServingSearch, many: Deployments) -> Iterator[tuple[str, Any, Any]]:
    """Name, values and the most allowed of everything that a deployment must keep to."""
    work = many.plan.workload
    zero = 0.0 * many.devices
    if asked.surely:
        yield SURELY, np.where(many.surely, 0.0, 2.0), 1.0
    if work.request_rate is not None:
        yield LOAD, zero + work.request_rate, np.nextafter(many.capacity, 0.0)
    if asked.opens_batch:
        yield PLACES, many.answer.queued + zero, 0.0
    for name, value in figures(many.answer, work).items():
        yield name, value + zero, getattr(work, name)
    if asked.least_rate is not None:
        yield "min_output_tokens_per_second", zero + asked.least_rate, many.output_tokens_per_second
    if asked.most_cost is not None:
        yield "max_cost_per_million", value_of(asked, "cost", many), asked.most_cost


def _distance(asked: ServingSearch, many: Deployments) -> Iterator[Any]:
    """How far deployments are from doing: by memory, then by the worst ratio to a target, then the devices."""
    usable = many.plan.device.memory.capacity - many.plan.device.memory.reserved
    yield np.maximum(many.memory.needed_bytes / usable, 1.0) * np.where(many.fits, 0.0, 1.0) + 0.0 * many.devices
    worst = np.ones_like(many.devices)
    for _, value, most in targets_of(asked, many):
        worst = np.maximum(worst, value / np.maximum(most, 1e-9))
    yield worst
    yield many.devices


def value_of(asked: ServingSearch, objective: str, many: Deployments) -> Any:
    """An objective as numbers of which less is better."""
    if objective == "devices":
        return many.devices
    if objective == "memory-headroom":
        return many.memory.needed_bytes + 0.0 * many.devices
    if objective == "throughput":
        return -many.output_tokens_per_second
    if objective == "cost":
        sizes_, place = np.unique(many.devices, return_inverse=True)
        known = [asked.market.hourly(many.plan, int(size)) for size in sizes_]
        rate = np.array([np.inf if usd is None else usd for usd in known])[place]
        return rate if by_the_hour(many.plan) else cost_per_million(rate, many.output_tokens_per_second)
    return many.answer.request + 0.0 * many.devices


def by_the_hour(plan: ServingPlan) -> bool:
    """Whether cost means dollars an hour: the load is given, and more capacity than it needs is worth nothing."""
    return plan.workload.load == "open"


def serving_value(asked: ServingSearch, objective: str, one: ServingEstimate) -> dict[str, float]:
    """An objective of one estimate, under a key with its unit."""
    if objective == "devices":
        return {"devices": float(one.plan.devices)}
    if objective == "memory-headroom":
        return {"headroom_bytes": one.usable_bytes - one.needed.value}
    work = one.plan.workload
    delivered = one.requests_per_second.value * work.output_tokens
    rate = one.capacity * work.output_tokens if work.load == "open" else delivered
    if objective == "throughput":
        return {"output_tokens_per_second": rate}
    if objective == "cost":
        usd = asked.market.hourly(one.plan, one.plan.devices)
        assert usd is not None  # `_check_prices` refuses it
        return (
            {"usd_per_hour": usd}
            if by_the_hour(one.plan)
            else {"usd_per_million_output_tokens": float(cost_per_million(usd, rate))}
        )
    return {"request_seconds": one.request.value}


def as_good_serving(asked: ServingSearch, winner: ServingEstimate, one: ServingEstimate) -> bool:
    """Whether the error bands of the two overlap in what the objective is about."""
    if asked.objective in ("devices", "cost"):
        mine, best = (asked.market.hourly(x.plan, x.plan.devices) or float(x.plan.devices) for x in (one, winner))
        if by_the_hour(one.plan) or asked.objective == "devices":
            return mine == best if asked.objective == "cost" else one.plan.devices == winner.plan.devices
        return mine / one.requests_per_second.high <= best / winner.requests_per_second.low
    if asked.objective == "memory-headroom":
        return one.needed.low <= winner.needed.high
    if asked.objective == "throughput":
        return one.requests_per_second.high >= winner.requests_per_second.low
    return one.request.low <= winner.request.high
