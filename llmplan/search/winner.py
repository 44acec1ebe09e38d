"""The fastest layout alone: what `search` puts first, without working out those that can only come behind.

Degrees and the words that go with them (sharding, ...) take at least the time that they take without recomputation, and
at least the memory that they take with all of it. Rows of degrees are estimated whole from the quickest on, until what
is found is quicker than the next could be.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from llmplan.records import dataclass
from llmplan.search.choices import Choices
from llmplan.search.layouts import ROWS, Layouts
from llmplan.search.rank import DIGITS
from llmplan.search.scores import evaluate
from llmplan.search.space import Space
from llmplan.search.training import Running, Search, plan_of
from llmplan.setup.layout import RECOMPUTE
from llmplan.training.memory import training_memory
from llmplan.training.plan import TrainingPlan
from llmplan.training.states import PAGED
from llmplan.training.step import training_time

FIRST_ROWS = 128
"""Rows of degrees that are estimated whole at first; then twice as many each time [1]."""
EQUAL = 1.0 + 10.0**-DIGITS
"""Ratio up to which two values are equal to a ranking."""
MOST_KEPT = 32


@dataclass(frozen=True, slots=True)
class Rows:
    """Legal layouts of a model: rows of degrees in groups that share the words that go with them.

    whole: every row, with the words of all groups; group, place: where each stands; peak: least memory of `whole`, with
    as much recomputation as there is, by its other words and rows [bytes].
    """

    groups: list[Layouts]
    whole: Layouts
    group: Any
    place: Any
    peak: Any

    @classmethod
    def of(cls, plan: TrainingPlan, groups: list[Layouts]) -> Rows:
        """The rows of a plan's layouts."""
        sizes = [one.tp.shape[-1] for one in groups]
        degrees = {name: np.concatenate([getattr(one, name) for one in groups], axis=-1) for name in ROWS}
        whole = replace(groups[0], **degrees, **{name: _every(groups, name) for name in ("zero", "sequence_parallel")})
        place, most = np.concatenate([np.arange(size) for size in sizes]), _recomputing(whole, max)
        peak = np.broadcast_to(training_memory(plan.with_layout(most)).peak_bytes, most.shape)
        return cls(groups, whole, np.repeat(np.arange(len(groups)), sizes), place, peak)

    def some(self, index: Any) -> Iterator[Layouts]:
        """The layouts of some rows."""
        group = self.group[index]
        for number in np.unique(group):
            yield _some(self.groups[number], np.sort(self.place[index][group == number]))


@dataclass(frozen=True, slots=True)
class Spaces:
    """Legal layouts of models under workloads and stacks, worked out once for all devices."""

    kept: dict[Hashable, tuple[TrainingPlan, Rows | None]]

    def rows(self, plan: TrainingPlan, devices: int, choices: Choices) -> Rows | None:
        """The legal layouts of a plan; None where there are none."""
        work = plan.workload
        own = work.optimizer in PAGED or work.generation_fraction is not None  # which look at the device's memory
        words = id(plan.model), id(plan.stack), id(plan.recipe), work, id(plan.device) if own else 0
        key = *words, devices, tuple(choices.items())
        if key not in self.kept:
            if len(self.kept) >= MOST_KEPT:
                self.kept.clear()
            groups = [one for one in Space(plan, devices, choices).chunks() if one.tp.size]
            self.kept[key] = plan, Rows.of(plan, groups) if groups else None
        return self.kept[key][1]


def winner(question: Search, spaces: Spaces) -> TrainingPlan | None:
    """The plan that `search` puts first where the step alone counts and nothing is limited, else the one that misses by
    least; None where no layout is legal."""
    run = Running.of(question)
    for devices in question.devices:
        for base in question.bases:
            rows = spaces.rows(base, devices, question.choices)
            for layouts in () if rows is None else _promising(run, base, rows):
                run.chunk(evaluate(base, layouts), devices)
    found = run.sure.winners() or run.best.winners() or run.misses.winners()
    return plan_of(found[0]) if found else None


def _promising(run: Running, base: TrainingPlan, rows: Rows) -> Iterator[Layouts]:
    """Layouts that may come first after those that were handed out before, or that miss by least where none fits."""
    fits = rows.peak <= max(base.usable_bytes, float(rows.peak.min()) * EQUAL)
    index = np.flatnonzero(fits.reshape(-1, fits.shape[-1]).any(axis=0))
    least = training_time(base.with_layout(_some(_recomputing(rows.whole, min), index))).step_seconds
    seconds = np.where(fits[..., index], least, np.inf).reshape(-1, len(index)).min(axis=0)
    order, start, count = np.argsort(seconds, kind="stable"), 0, FIRST_ROWS
    while len(block := order[start : start + count]) and seconds[block[0]] <= _limit(run):
        yield from rows.some(index[block[seconds[block] <= _limit(run)]])
        start, count = start + count, 2 * count


def _limit(run: Running) -> float:
    """The step that is to be bettered, or equalled [s]."""
    return run.sure.found[0].key[0] * EQUAL if run.sure.found else float("inf")


def _recomputing(layouts: Layouts, end: Any) -> Layouts:
    """The layouts with the least or the most recomputation that is open to them alone."""
    word = end(layouts.recompute.reshape(-1).tolist(), key=RECOMPUTE.index)
    return replace(layouts, recompute=np.array([[word]]))


def _every(groups: list[Layouts], name: str) -> Any:
    """All values of a word that any of the groups has, along its axis."""
    values = [getattr(one, name) for one in groups]
    return np.unique(np.concatenate([one.reshape(-1) for one in values])).reshape(-1, *values[0].shape[1:])


def _some(layouts: Layouts, index: Any) -> Layouts:
    """Some rows of degrees with all that goes with them."""
    return replace(layouts, **{name: getattr(layouts, name)[..., index] for name in ROWS})
