"""What is asked of deployments of a served model, and what they are worth by its objective."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmplan.formulas.cost import cost_per_million
from llmplan.records import dataclass
from llmplan.search.choices import OPEN, Choices
from llmplan.search.deployments import Deployments
from llmplan.search.found import several
from llmplan.search.serving_space import DeploymentSpace
from llmplan.search.split import SplitSpace, asks_for_split
from llmplan.search.terms import Market
from llmplan.serving.estimate import ServingEstimate
from llmplan.serving.plan import ServingPlan


@dataclass(frozen=True, slots=True)
class ServingSearch:
    """A question: bases hold everything but the layout, one for each pair of precisions.

    most: any number of devices up to it, where no sizes are given; least_rate: output tokens a second, of all
    devices [1/s]; most_cost: of a million output tokens [USD]; left_out: devices and stacks that were asked about and
    cannot run this, a sentence each; try_split: also with prompts read on devices of their own; only_first: nothing is
    asked of each device and stack.
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
    try_split: bool = False
    only_first: bool = False

    @property
    def spaces(self) -> tuple[type[DeploymentSpace], ...]:
        """One pool, two, or both."""
        if asks_for_split(self.choices):
            return (SplitSpace,)
        return (DeploymentSpace, SplitSpace) if self.try_split else (DeploymentSpace,)

    @property
    def several(self) -> bool:
        """Whether devices or stacks are to be chosen from."""
        return not self.only_first and several(self.bases)

    @property
    def opens_batch(self) -> bool:
        """Whether the requests in flight are left to choose."""
        work = self.bases[0].workload
        closed = work.load in ("closed", "static")
        return closed and self.choices.get("batch", OPEN).values is None


def value_of(asked: ServingSearch, objective: str, many: Deployments, *, by_formula: bool = False) -> Any:
    """An objective as numbers of which less is better; by_formula: of times too, without simulating any."""
    if objective == "devices":
        return many.devices
    if objective == "memory-headroom":
        return many.memory.needed_bytes
    if objective == "throughput":
        return -many.output_tokens_per_second
    if objective == "cost":
        sizes_, place = np.unique(many.devices, return_inverse=True)
        known = [asked.market.hourly(many.plan, int(size)) for size in sizes_]
        rate = np.array([np.inf if usd is None else usd for usd in known])[place]
        return rate if by_the_hour(many.plan) else cost_per_million(rate, many.output_tokens_per_second)
    return many.answer.request + 0.0 * many.devices if by_formula else many.request


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
