"""The best layouts out of all of them: every legal one is estimated, what fits and keeps the limits is ranked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from llmplan.records import dataclass, replace
from llmplan.search.choices import Choices
from llmplan.search.found import HOST, MEMORY, Collected, SearchFound, several
from llmplan.search.goal import Goal
from llmplan.search.layouts import Layouts
from llmplan.search.partial import between, with_fewest
from llmplan.search.rank import Best, Candidate, Simplest
from llmplan.search.scores import Scores, evaluate, evaluate_each
from llmplan.search.space import Space
from llmplan.training.choose import NEAR
from llmplan.training.estimate import TrainingEstimate, estimate
from llmplan.training.plan import TrainingPlan

OF_SPEED = ("throughput", "time", "cost", "latency")  # near in one of these is near in speed; of the others it is not


@dataclass(frozen=True, slots=True)
class Search:
    """A question to `search`.

    bases: the plan without a layout, once for each precision; devices: sizes to try, ascending;
    pareto: two objectives, or none; first_size: stop at the first size with an answer; left_out: devices and stacks
    that were asked about and cannot run this, a sentence each.
    """

    bases: tuple[TrainingPlan, ...]
    devices: tuple[int, ...]
    choices: Choices
    goal: Goal
    top: int = 1
    pareto: tuple[str, str] | None = None
    left_out: tuple[str, ...] = ()

    @property
    def several(self) -> bool:
        """Whether devices or stacks are to be chosen from."""
        return several(self.bases)

    @property
    def first_size(self) -> bool:
        """Whether a larger size can be no answer once a smaller one is."""
        return self.goal.objective == "devices" and self.pareto is None and not self.several


def search(question: Search) -> SearchFound[TrainingEstimate]:
    """Estimates every legal layout of every size and precision; memory is bounded by the chunks."""
    for base in question.bases:
        question.goal.check(base, question.devices[-1])
    run = Running.of(question)
    for devices in question.devices:
        run.size(devices)
        if question.first_size and run.sure.found:
            break
    sure = run.sure.found
    simple = run.simplest.than(sure[0]) if question.goal.objective in OF_SPEED and sure else None
    return run.found(estimates, several=question.several, simple=simple)


def estimates(found: Sequence[Candidate[TrainingPlan]]) -> tuple[TrainingEstimate, ...]:
    """Each alone and to the last digit."""
    return tuple(estimate(plan_of(one)) for one in found)


def plan_of(one: Candidate[TrainingPlan]) -> TrainingPlan:
    """The plan of a candidate."""
    return replace(one.plan, layout=one.layout, machine=None)


@dataclass(slots=True, kw_only=True)
class Running(Collected[TrainingPlan]):
    """A search on its way."""

    question: Search
    simplest: Simplest[TrainingPlan] = field(default_factory=lambda: Simplest(NEAR))

    @classmethod
    def of(cls, question: Search) -> Running:
        """A search at its start."""
        return cls(question.top, Best(question.top), Best(question.top), question=question)

    def size(self, devices: int) -> None:
        """All layouts on so many devices."""
        for base in self.question.bases:
            space = Space(base, devices, self.question.choices)
            for layouts in space.chunks():
                take_in([(self, evaluate(base, layouts), devices)])
            self.counts.considered += space.considered
            self.counts.legal += space.legal
            self.counts.removed.update(space.removed)

    def open_rows(self, scores: Scores, devices: int) -> Layouts | None:
        """Layouts that were offered and may fit with fewer of their layers computed again."""
        if {"recompute", "recompute_layers"} & set(self.question.choices):
            return None  # exactly what was asked
        found = self.sure.found
        limit = found[min(self.question.top, len(found)) - 1].key[0] if found else np.inf
        return between(scores, self.question.goal, devices, limit)

    def add(self, scores: Scores, devices: int) -> None:
        """Counts layouts beside those of the space, and offers them."""
        self.counts.considered += len(scores.fits)
        self.counts.legal += len(scores.fits)
        self.offer(scores, devices)

    def offer(self, scores: Scores, devices: int) -> None:
        """Counts, and offers what is kept; while nothing is, what misses by least."""
        question, goal = self.question, self.question.goal
        kept = scores.fits
        for reason, passes in self._verdicts(scores, devices):
            left = kept & passes
            self.counts.removed[reason] += int(np.count_nonzero(kept) - np.count_nonzero(left))
            kept = left
        fitting = int(np.count_nonzero(scores.fits))
        self.counts.removed[MEMORY] += len(scores.fits) - fitting
        self.counts.fitting += fitting
        index = np.flatnonzero(kept)
        self.counts.kept += len(index)
        if len(index):
            keys = goal.keys(scores, devices, index)
            self.best.offer(scores.candidate, index, keys)
            sure = scores.peak[index] * _high(scores.plan) <= _usable(scores.plan)
            if question.several:
                self.each.keep(scores.plan, scores.candidate, index, [~sure, *keys])
            if np.any(sure):
                self._certain(scores, index[sure], [key[sure] for key in keys])
            if question.pareto is not None:
                a, b = (goal.value(name, scores, devices, index) for name in question.pareto)
                self.front.offer(scores.candidate, index, a, b)
        else:
            self._miss(scores, devices)

    def _certain(self, scores: Scores, index: Any, keys: list[Any]) -> None:
        """Offers what surely fits."""
        self.sure.offer(scores.candidate, index, keys)
        layouts = scores.layouts
        parallel = np.broadcast_to(layouts.tp * layouts.pp * layouts.cp, layouts.shape).reshape(-1)[index]
        self.simplest.offer(scores.candidate, index, keys[0], parallel, self.sure.found[0].key[0])

    def _verdicts(self, scores: Scores, devices: int) -> Iterator[tuple[str, Any]]:
        have = scores.plan.cluster.host_memory
        if have is not None and np.any(scores.host > have):
            yield HOST, (scores.host <= have).reshape(-1)
        yield from self.question.goal.masks(scores, devices)

    def _miss(self, scores: Scores, devices: int) -> None:
        """Offers layouts by what they miss: memory and limits of it first, then the tightest other limit."""
        goal = self.question.goal
        over = np.maximum(scores.peak * (_high(scores.plan) if goal.surely else 1.0) - _usable(scores.plan), 0.0)
        if goal.limits.max_memory is not None:
            over = np.maximum(over, scores.peak - goal.limits.max_memory)
        longest = goal.longest_steps(scores.plan, devices)
        late = np.maximum(scores.step / min(longest.values()), 1.0) if longest else np.ones_like(scores.step)
        index, keys = np.arange(len(over)), [over, late, scores.step]
        if not self.best.found:
            self.misses.offer(scores.candidate, index, keys)
        if self.question.several:
            self.each.miss(scores.plan, scores.candidate, index, keys)


def take_in(asked: Sequence[tuple[Running, Scores, int]]) -> None:
    """Offers layouts of searches on so many devices, and those between no recomputation and all of it that fit where
    only the latter does. Several searches are on machines of one kind and the same otherwise."""
    for run, scores, devices in asked:
        run.offer(scores, devices)
    rows = [(run, scores.plan, run.open_rows(scores, devices), devices) for run, scores, devices in asked]
    open_ = [(run, plan, layouts, devices) for run, plan, layouts, devices in rows if layouts is not None]
    fewer = with_fewest([(plan, layouts, run.question.goal) for run, plan, layouts, _ in open_]) if open_ else []
    some = [
        (run, plan, layouts, devices)
        for (run, plan, _, devices), layouts in zip(open_, fewer, strict=True)
        if layouts.tp.size
    ]
    found = evaluate_each([(plan, layouts) for _, plan, layouts, _ in some]) if some else []
    for (run, _, _, devices), scores in zip(some, found, strict=True):
        run.add(scores, devices)


def _usable(plan: TrainingPlan) -> float:
    return plan.usable_bytes


def _high(plan: TrainingPlan) -> float:
    """The upper end of the memory band, over the prediction [1]."""
    return plan.interval("peak_bytes", 1.0).high


def as_good(goal: Goal, winner: TrainingEstimate, one: TrainingEstimate) -> bool:
    """Whether the error bands of the two overlap in what the objective is about."""
    if goal.objective == "memory-headroom":
        return one.peak.low <= winner.peak.high
    if goal.objective == "devices" and one.plan.devices != winner.plan.devices:
        return False
    if goal.objective not in ("cost", "time"):
        return one.step.low <= winner.step.high
    terms, first = (goal.market.terms(each.plan, each.plan.devices) for each in (one, winner))
    ratio = terms.stretch / first.stretch
    if goal.objective == "cost":
        assert terms.usd_per_hour is not None  # `Goal.check` refuses it
        assert first.usd_per_hour is not None
        ratio *= terms.usd_per_hour / first.usd_per_hour
    return one.step.low * ratio <= winner.step.high
