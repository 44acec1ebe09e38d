"""What deployments of a served model are asked one stage after another, the cheapest to work out first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from llmplan.records import dataclass
from llmplan.search.deployments import Deployments
from llmplan.search.found import HOST, MEMORY
from llmplan.search.goal import SURELY
from llmplan.search.serving_goal import ServingSearch, value_of
from llmplan.search.side_by_side import Steps
from llmplan.serving.percentiles import alone_figures, by_formula, judged, least_figures
from llmplan.serving.targets import TARGETS, figures, targets

LOAD, PLACES = "load", "places"
"""Reasons that a request rate and the places in memory give, beside those of `search.found`."""
Demand = tuple[str, Any, Any]
"""Something that deployments must keep to: its name, their values, and the most allowed."""


def in_memory(asked: ServingSearch, many: Deployments) -> Iterator[Demand]:
    """What memory alone decides."""
    memory, high = many.memory, many.plan.interval("serving_bytes", 1.0).high
    yield MEMORY, memory.needed_bytes, memory.budget_bytes
    host = many.plan.cluster.host_memory
    if host is not None:
        yield HOST, memory.host_bytes, host
    if asked.surely:
        yield SURELY, memory.needed_bytes * high, memory.budget_bytes
    if asked.opens_batch:
        # what waits to be read has no place
        flight = 0.0 * many.devices if many.split else many.rows[:, -1] / many.busy
        yield PLACES, flight, np.maximum(memory.resident, 1.0)


def under_load(asked: ServingSearch, many: Deployments) -> Iterator[Demand]:
    """Whether a request rate is kept up with."""
    work = many.plan.workload
    if work.request_rate is not None:
        yield LOAD, work.request_rate + 0.0 * many.capacity, np.nextafter(many.capacity, 0.0)


def for_one(asked: ServingSearch, many: Deployments) -> Iterator[Demand]:
    """Targets that a request may not even meet by itself, where formulas do not judge them."""
    work = many.plan.workload
    if targets(work) and not by_formula(work):
        for name, value in alone_figures(many.idle, work).items():
            yield name, value, getattr(work, name)


def in_time(asked: ServingSearch, many: Deployments) -> Iterator[Demand]:
    """Targets of latency, output and cost."""
    work, zero = many.plan.workload, 0.0 * many.devices
    if targets(work):  # times of requests take longest to work out
        formula = work.load != "open" or by_formula(work)
        known = figures(many.answer, work) if formula else {}
        if work.load == "open":
            known |= least_figures(many.answer, work)
        for name, value in known.items():
            yield name, value + zero, getattr(work, name)
    if asked.least_rate is not None:
        yield "min_output_tokens_per_second", zero + asked.least_rate, many.output_tokens_per_second
    if asked.most_cost is not None:
        yield "max_cost_per_million", value_of(asked, "cost", many), asked.most_cost


def one_by_one(asked: ServingSearch, many: Deployments) -> Iterator[Demand]:
    """Targets of requests that were simulated one by one."""
    work = many.plan.workload
    for name, value in judged(many.sample, many.answer, work).items():
        yield name, value + 0.0 * many.devices, getattr(work, name)


def strain(many: Deployments) -> Any:
    """The worst ratio of shares of requests to their limits, as far as formulas tell [1]."""
    work, found = many.plan.workload, 0.0 * many.devices
    for name, limit in targets(work).items():
        figure, share = TARGETS[name]
        if share:
            value = many.answer.p95_ttft if figure == "ttft" else getattr(many.answer, figure)
            found = np.maximum(found, value / limit)
    return found


def hopeful(many: Deployments) -> Any:
    """Which keep all limits on percentiles as far as formulas tell."""
    return strain(many) <= 1.0


BEFORE = (in_memory, under_load, for_one)
STAGES = (*BEFORE, in_time)
"""What is asked of deployments, the cheapest to work out first: what one stage holds back, the next never sees."""


@dataclass(frozen=True, slots=True)
class Sieved:
    """What one stage lets through: which do, how many each reason held back, the worst ratio to a demand [1]."""

    does: Any
    removed: Counter[str]
    worst: Any


def sieve(stage: Callable[..., Iterator[Demand]], asked: ServingSearch, many: Deployments) -> Sieved:
    """What a stage lets through; a demand counts what it is the first to hold back."""
    does, worst = np.ones(len(many.rows), dtype=bool), np.ones(len(many.rows))
    removed: Counter[str] = Counter()
    for reason, value, most in stage(asked, many):
        left = does & (value <= most)
        removed[reason] += int(np.count_nonzero(does) - np.count_nonzero(left))
        does, worst = left, np.maximum(worst, value / np.maximum(most, 1e-9))
    return Sieved(does, removed, worst)


def passing(asked: ServingSearch, many: Deployments) -> Steps[Any]:
    """Which deployments do."""
    does = np.zeros(len(many.rows), dtype=bool)
    index = np.arange(len(many.rows))
    timed = bool(targets(many.plan.workload)) or asked.least_rate is not None or asked.most_cost is not None
    for stage in STAGES:
        if stage is in_time and timed:
            yield many, "answer"
        passes = sieve(stage, asked, many).does
        index, many = index[passes], many.take(passes)
        if not len(index):
            break
    does[index] = True
    return does
