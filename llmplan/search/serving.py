"""The best deployments of a served model out of all of them, against targets of latency, load and cost."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from llmplan.errors import InputError
from llmplan.records import dataclass, replace
from llmplan.search.budget import OF_A_SEARCH, Budget
from llmplan.search.demands import (
    BEFORE,
    STAGES,
    Demand,
    Sieved,
    hopeful,
    in_memory,
    in_time,
    one_by_one,
    passing,
    sieve,
    strain,
)
from llmplan.search.deployments import Deployments, joined
from llmplan.search.found import MEMORY, Collected, SearchFound
from llmplan.search.ladders import CLEARLY, COPIES, Ladders, kinds
from llmplan.search.rank import Best, Candidate, subject
from llmplan.search.serving_goal import ServingSearch, value_of
from llmplan.search.serving_space import CHUNK, DeploymentSpace
from llmplan.search.shared import goes_with
from llmplan.search.side_by_side import Steps, alone, side_by_side
from llmplan.search.split import SplitSpace
from llmplan.serving.estimate import ServingEstimate, estimate_serving
from llmplan.serving.iteration import machine_of
from llmplan.serving.percentiles import LEAST_SHARE, by_formula
from llmplan.serving.plan import ServingPlan, ServingWorkload
from llmplan.serving.targets import TARGETS, targets, wants_percentiles
from llmplan.setup.many import grouped

BEHIND, FEWER, UNTRIED = "behind", "fewer_replicas", "not_simulated"
"""Why what may do was not timed or simulated, beside the reasons of `search.demands`."""
BLOCK = 1024
"""Deployments that are judged at a time, the best first [1]."""
TOGETHER, MOST_TOGETHER = 16, 128
"""Deployments whose requests are simulated at a time, and at most while none of them keeps the limits [1]."""
AT_ONCE = 64
"""Numbers of requests in flight that are tried at a time between one that does and one that does not, at most [1]."""


def search_serving(asked: ServingSearch) -> SearchFound[ServingEstimate]:
    """Estimates every legal deployment; ranks those that fit, keep up with the load and meet the targets."""
    known: dict[str, ServingEstimate] = {}

    def estimates(some: Sequence[Candidate[ServingPlan]]) -> tuple[ServingEstimate, ...]:
        return tuple(_estimate(one, known) for one in some)

    return _searched(asked).found(estimates, several=asked.several)


def first_of(asked: ServingSearch, budget: Budget) -> ServingEstimate | None:
    """What `search_serving` puts first, without what comes behind, as far as the budget goes; None where none does."""
    run = _searched(replace(asked, only_first=True), budget)
    found = run.sure.winners() or run.best.winners()
    return _estimate(found[0], {}) if found else None


def best_of_many(asked: Sequence[ServingSearch]) -> list[ServingPlan | InputError | None]:
    """Of each the plan that `search_serving` puts first, else what misses by least; None where nothing is legal."""
    found: list[ServingPlan | InputError | None] = [None] * len(asked)
    for places in grouped(asked, lambda one: id(one.bases[0].model)):
        spaces: Spaces = {}
        searches = [_search(asked[place], Budget(OF_A_SEARCH), spaces) for place in places]
        for place, run in zip(places, side_by_side(searches), strict=True):
            if isinstance(run, InputError):
                found[place] = run
            elif (first := run.first()) is not None:
                found[place] = _plan(first)
    return found


def _searched(asked: ServingSearch, budget: Budget | None = None) -> _ServingRun:
    return alone(_search(asked, budget or Budget(OF_A_SEARCH), {}))


Spaces: TypeAlias = dict[Hashable, tuple[DeploymentSpace, list[Any]]]
"""Spaces that were gone through with the rows of their layouts, by what those hang on."""


def _search(asked: ServingSearch, budget: Budget, spaces: Spaces) -> Steps[_ServingRun]:
    run = _ServingRun(asked.top, Best(asked.top), Best(asked.top), asked=asked, budget=budget)
    every = [
        pair
        for pair in product(asked.bases, asked.spaces)
        if goes_with(pair[0], asked.choices, split=pair[1] is SplitSpace)
    ]
    for number, (one, kind) in enumerate(every):
        own = budget.part(1.0 / (len(every) - number))
        base, ends = replace(one, machine=machine_of(one, one.coefficients)), []
        space = kind(base, asked.devices, asked.most, asked.choices)
        if space.key not in spaces:
            spaces[space.key] = space, list(space.parts())
        space, parts = spaces[space.key]
        for place, rows in enumerate(parts):
            run.budget = own.part(1.0 / (len(parts) - place))
            layouts = Deployments(base, rows)
            yield layouts, "memory"
            many = layouts.with_each(space.batches)
            ends.append(edges(many, (yield from run.offer(many)), len(space.batches)))
        if asked.opens_batch and ends:
            below, high, value = zip(*ends, strict=True)
            yield from run.refine(joined(base, below), np.concatenate(high), np.concatenate(value))
        run.counts.considered += space.considered
        run.counts.legal += space.legal
        run.counts.removed.update(space.removed)
    return run


@dataclass(slots=True, kw_only=True)
class _ServingRun(Collected[ServingPlan]):
    """A search on its way; budget: of simulations."""

    asked: ServingSearch
    budget: Budget

    def offer(self, many: Deployments) -> Steps[Any]:
        """Counts, ranks what does, and keeps the nearest misses while nothing does; returns the value of what does by
        the objective where that is not ranked first, nan for the others."""
        value, index = np.full(len(many.rows), np.nan), np.arange(len(many.rows))
        for passed, stage in enumerate(BEFORE):
            sieved = self._sieve(stage, many, passed)
            if stage is in_memory:
                self.counts.fitting += len(index) - sieved.removed[MEMORY]
            index, many = index[sieved.does], many.take(sieved.does)
            if not len(index):
                return value
        if self._goes_by_value(many.plan.workload):
            self._best_first(many)
        else:
            yield many, "answer"
            value[index] = self._judge(many)
        return value

    def _sieve(self, stage: Callable[..., Iterator[Demand]], many: Deployments, passed: int) -> Sieved:
        """What a stage lets through, with what it does not counted and kept as a miss."""
        sieved = sieve(stage, self.asked, many)
        self.counts.removed.update(sieved.removed)
        self._miss(many, sieved, passed)
        return sieved

    def _judge(self, many: Deployments) -> Any:
        """Ranks those that are in time; returns their value, nan for the others."""
        does = self._sieve(in_time, many, len(BEFORE)).does
        if self._simulates(many.plan.workload):
            self._one_by_one(many.take(does))
            return np.nan
        return np.where(does, self._rank(many, np.flatnonzero(does)), np.nan)

    def _goes_by_value(self, work: ServingWorkload) -> bool:
        """Whether what is ranked by is known before any time of a request, which takes longest to work out."""
        asked = self.asked
        return work.load == "open" and asked.objective != "latency" and asked.pareto is None

    def _best_first(self, many: Deployments) -> None:
        """Judges the best by value first, until what is left can only come behind."""
        value = value_of(self.asked, self.asked.objective, many)
        order, looked = np.argsort(value, kind="stable"), False
        while len(order):
            block, order = order[:BLOCK], order[BLOCK:]
            if value[block[0]] > self._last(many.plan)[0]:
                self.counts.removed[BEHIND] += len(block) + len(order)
                return
            self._judge(many.take(block))
            if len(order) and not looked and not self.best.found and self._simulates(many.plan.workload):
                order, looked = order[self._may(many.take(order))], True

    def _may(self, many: Deployments) -> Any:
        """Those of a kind of which as many replicas as there can be keep all limits, or may by formula."""
        kind, copies = kinds(many.rows), many.rows[:, COPIES]
        order = np.lexsort((copies, kind))
        most = many.take(order[np.append(np.diff(kind[order]) > 0, True)])
        some, missed = np.flatnonzero(sieve(in_time, self.asked, most).does & ~hopeful(most)), np.zeros(len(most.rows))
        while len(some) and (together := self.budget.take(most.take(some[:MOST_TOGETHER]).simulated_steps)):
            tried, some = some[:together], some[together:]
            part = most.take(tried)
            clear = sieve(one_by_one, self.asked, part).worst > CLEARLY
            missed[tried[clear]] = 1.0
            if clear.any():
                self._sieve(one_by_one, part.take(clear), len(STAGES))
        may = missed[kind] == 0.0
        self.counts.removed[FEWER] += int(np.count_nonzero(~may) - np.count_nonzero(missed))
        return may

    def _simulates(self, work: ServingWorkload) -> bool:
        """Whether requests have to be simulated one by one to judge or to rank."""
        if not wants_percentiles(work):
            return False
        return not by_formula(work) or any(TARGETS[name][1] is not None for name in targets(work))

    def _one_by_one(self, many: Deployments) -> None:
        """Simulates what formulas let through, the best first, but what can only come behind."""
        value = value_of(self.asked, self.asked.objective, many, by_formula=True)
        request = many.answer.request + 0.0 * value
        order = np.lexsort((request, value))
        if not by_formula(many.plan.workload):  # at the least
            request = LEAST_SHARE * many.idle.request + 0.0 * value
            value = request if self.asked.objective == "latency" else value
        ladders, together, eased = Ladders.of(many.rows, hopeful(many)), TOGETHER, False
        while len(order := self._ahead(many.plan, order, value, request)):
            if self.budget.half_spent and not self.best.found and not eased:
                # before nothing is left, what may do at all
                order, eased = order[np.argsort(strain(many)[order], kind="stable")], True
            tried = ladders.next_of(order[:together])
            if not (some := self.budget.take(many.take(tried).simulated_steps)):
                self.counts.removed[UNTRIED] += len(order)
                return
            tried = tried[:some]
            part = many.take(tried)
            sieved = self._sieve(one_by_one, part, len(STAGES))
            self._rank(part, np.flatnonzero(sieved.does))
            ladders.found(tried, sieved.does, sieved.worst)
            together = TOGETHER if sieved.does.any() else min(2 * together, MOST_TOGETHER)
            left = order[~np.isin(order, tried)]
            order = left[ladders.may(left)]
            self.counts.removed[FEWER] += len(left) - len(order)

    def _ahead(self, plan: ServingPlan, order: Any, value: Any, request: Any) -> Any:
        """Those of an order that may come in by their keys, or the least that those may be."""
        last = self._last(plan)
        if len(last) == 1:
            return order
        behind = (value[order] > last[0]) | ((value[order] == last[0]) & (request[order] > last[1]))
        self.counts.removed[BEHIND] += int(np.count_nonzero(behind))
        return order[~behind]

    def _last(self, plan: ServingPlan) -> tuple[float, ...]:
        """Keys of the last that is shown: what is beyond them comes in nowhere; infinite while there is room."""
        asked, kept = self.asked, self.each.kept.get(subject(plan))
        full = min(len(self.best.found), len(self.sure.found)) >= asked.top
        if asked.pareto is not None or not full:
            return (float("inf"),)
        last = max(some.found[asked.top - 1].key for some in (self.best, self.sure))
        if not asked.several:
            return last
        return max(last, kept.found[0].key[1:]) if kept and not kept.found[0].key[0] else (float("inf"),)

    def _rank(self, many: Deployments, index: Any) -> Any:
        """Offers those at an index; returns the value of all of them by the objective."""
        asked = self.asked
        self.counts.kept += len(index)
        value = value_of(asked, asked.objective, many)
        keys = [value[index], many.request[index]]
        self.best.offer(many.candidate, index, keys)
        certain = many.surely[index]
        if asked.several:
            self.each.keep(many.plan, many.candidate, index, [~certain, *keys])
        self.sure.offer(many.candidate, index[certain], [key[certain] for key in keys])
        if asked.pareto is not None:
            a, b = (value_of(asked, name, many)[index] for name in asked.pareto)
            self.front.offer(many.candidate, index, a, b)
        return value

    def _miss(self, many: Deployments, sieved: Sieved, passed: int) -> None:
        """Offers what a stage held back, by memory, stages passed, the worst ratio to a demand and the devices."""
        index = np.flatnonzero(~sieved.does)
        if not len(index) or (self.best.found and not self.asked.several):
            return
        over = many.memory.needed_bytes[index] / np.maximum(many.memory.budget_bytes[index], 1.0)  # none may be left
        keys = [np.where(over > 1.0, over, 0.0), np.full(len(index), -passed), sieved.worst[index], many.devices[index]]
        if not self.best.found:
            self.misses.offer(many.candidate, index, keys)
        if self.asked.several:
            self.each.miss(many.plan, many.candidate, index, keys)

    def refine(self, many: Deployments, high: Any, value: Any) -> Steps[None]:
        """Offers the most requests in flight that do, between a batch that does and its double that does not; value:
        of the former by the objective."""
        hope = self._hope(many.plan, value)
        many, high = many.take(hope), high[hope]
        at_once = max(1, min(AT_ONCE, CHUNK // max(len(high), 1)))
        first, low = many.rows[:, -1], many.rows[:, -1].copy()
        while np.any(wide := high - low > 1):
            # several numbers between at a time, the lower end first, which is known to do
            steps = np.linspace(low[wide], high[wide], at_once + 2).astype(int)[:-1]
            every = many.take(np.tile(np.flatnonzero(wide), len(steps))).with_batch(steps.ravel())
            parts = []
            for start in range(0, len(every.rows), CHUNK):
                parts.append((yield from passing(self.asked, every.take(slice(start, start + CHUNK)))))
            enough = np.concatenate(parts).reshape(steps.shape)
            last = np.where(enough.all(axis=0), len(steps), np.argmin(enough, axis=0))
            ends = np.concatenate([steps, high[wide][None]])
            low[wide], high[wide] = (np.take_along_axis(ends, last[None] + by, axis=0)[0] for by in (-1, 0))
        found = low > first
        if found.any():
            self.counts.considered += int(np.count_nonzero(found))
            self.counts.legal += int(np.count_nonzero(found))
            yield from self.offer(many.take(found).with_batch(low[found]))

    def _hope(self, base: ServingPlan, value: Any) -> Any:
        """Which may come in with up to twice the requests in flight: their rate at most doubles."""
        last = self._last(base)
        if last[0] == float("inf"):
            return np.ones(len(value), dtype=bool)
        if self.asked.objective not in ("throughput", "cost"):  # which are no better with more of them
            return np.zeros(len(value), dtype=bool)
        return np.minimum(value * 2.0, value / 2.0) <= last[0]


def edges(many: Deployments, value: Any, batches: int) -> tuple[Deployments, Any, Any]:
    """Those that do while the next larger batch of the same layout does not, those batches [1], and what the former are
    worth; value: nan for what does not."""
    does = ~np.isnan(value).reshape(-1, batches)
    layout, place = np.nonzero(does[:, :-1] & ~does[:, 1:])
    at = layout * batches + place
    return many.take(at), many.rows[at + 1, -1], value[at]


def _estimate(one: Candidate[ServingPlan], known: dict[str, ServingEstimate]) -> ServingEstimate:
    """A candidate alone and to the last digit; known: those at hand."""
    key = repr(one.plan.with_layout(one.layout).as_options())
    if key not in known:
        known[key] = estimate_serving(_plan(one), one.sample)
    return known[key]


def _plan(one: Candidate[ServingPlan]) -> ServingPlan:
    """The plan of a candidate."""
    return replace(one.plan, layout=one.layout, machine=None)
