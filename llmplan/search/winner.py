"""The fastest layout alone: what `search` puts first, without working out those that can only come behind.

Degrees and the options that go with them (sharding, ...) take at least the time that they take without recomputation,
and at least the memory that they take with all of it. Rows of degrees are estimated whole from the quickest on, until
what is found is quicker than the next could be.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from llmplan.errors import InputError
from llmplan.records import dataclass, replace
from llmplan.search.choices import Choices
from llmplan.search.layouts import ROWS, Layouts
from llmplan.search.rank import DIGITS
from llmplan.search.scores import evaluate_each
from llmplan.search.space import Space
from llmplan.search.training import Running, Search, plan_of, take_in
from llmplan.setup.layout import RECOMPUTE
from llmplan.training.many import kind, on_machines
from llmplan.training.memory import training_memory
from llmplan.training.plan import TrainingPlan
from llmplan.training.states import PAGED
from llmplan.training.step import machine_of, training_time

FIRST_ROWS = 128
"""Rows of degrees that are estimated whole at first; then twice as many each time [1]."""
EQUAL = 1.0 + 10.0**-DIGITS
"""Ratio up to which two values are equal to a ranking."""
MOST_KEPT = 32
STARTED = 4
TOGETHER = 16
"""Plans whose layouts are worked out at a time [1]: their arrays stay in a core's cache."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Legal layouts of a model: rows of degrees in groups that share the options that go with them.

    whole: every row, with the options of all groups; group, place: where each stands; peak: least memory of `whole`,
    with as much recomputation as there is, by its other options and rows [bytes].
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


@dataclass(slots=True)
class _Race:
    """The layouts of one plan on so many devices, on their way to the question that asks for the first of them.

    order: rows that fit anywhere by `seconds`, the least that their layouts may take [s]; done: how many were offered.
    """

    run: Running
    plan: TrainingPlan
    devices: int
    rows: Rows
    order: Any = ()
    seconds: Any = ()
    done: int = 0

    def start(self, index: Any, seconds: Any) -> None:
        """With so many seconds of the rows at `index`, infinite where nothing of them fits."""
        order = np.argsort(seconds, kind="stable")
        order = order[np.isfinite(seconds[order])]
        self.order, self.seconds = index[order], seconds[order]

    def further(self, count: int) -> Any:
        """The next rows that may come first, or that miss by least where none fits."""
        found = self.run.sure.found
        limit = found[0].key[0] * EQUAL if found else np.inf  # the step that is to be bettered, or equalled [s]
        block = slice(self.done, self.done + count)
        self.done += count
        return self.order[block][self.seconds[block] <= limit]


def winners(questions: Sequence[Search], spaces: Spaces) -> list[TrainingPlan | InputError | None]:
    """Of every question the plan that `search` puts first where the step alone counts and nothing is limited, else the
    one that misses by least; None where no layout is legal.

    Plans that differ in what they run on alone are worked out together.
    """
    runs = [Running.of(question) for question in questions]
    turns = [[(plan, devices) for devices in one.devices for plan in one.bases] for one in questions]
    failed: dict[int, InputError] = {}
    for pairs in zip_longest(*turns):
        races: dict[Hashable, list[_Race]] = {}
        for place, pair in enumerate(pairs):
            if pair is None or place in failed:
                continue
            plan, devices = pair
            try:
                rows = spaces.rows(plan, devices, questions[place].choices)
                plan = replace(plan, machine=machine_of(plan, plan.coefficients))
                alike = id(rows), kind(plan)
            except InputError as error:
                failed[place] = error
                continue
            if rows is not None:
                races.setdefault(alike, []).append(_Race(runs[place], plan, devices, rows))
        for together in races.values():
            _run(together)
    found = [run.first() for run in runs]
    return [failed.get(place) or (None if one is None else plan_of(one)) for place, one in enumerate(found)]


def _run(races: list[_Race]) -> None:
    """Offers layouts of one model on machines of one kind, from the quickest on, until no other can be quicker."""
    rows = races[0].rows
    races = sorted(races, key=lambda race: race.plan.usable_bytes)  # where much the same rows fit
    for start in range(0, len(races), STARTED):
        _start(races[start : start + STARTED], rows)
    count = FIRST_ROWS
    while races:
        blocks = [(race, race.further(count)) for race in races]
        for number, group in enumerate(rows.groups):
            asked = [(race, block[rows.group[block] == number]) for race, block in blocks]
            own = [(race, _some(group, np.sort(rows.place[block]))) for race, block in asked if len(block)]
            for start in range(0, len(own), TOGETHER):
                some = own[start : start + TOGETHER]
                scores = evaluate_each([(race.plan, layouts) for race, layouts in some])
                take_in([(race.run, one, race.devices) for (race, _), one in zip(some, scores, strict=True)])
        races, count = [race for race, block in blocks if len(block)], 2 * count


def _start(races: list[_Race], rows: Rows) -> None:
    """Works out what the rows take at least."""
    plans = [race.plan for race in races]
    room = np.maximum([plan.usable_bytes for plan in plans], float(rows.peak.min()) * EQUAL)
    fits = rows.peak <= room.reshape(-1, *[1] * rows.peak.ndim)
    index = np.flatnonzero(fits.reshape(-1, fits.shape[-1]).any(axis=0))
    layouts = _some(_recomputing(rows.whole, min), index)
    many = on_machines(plans, np.arange(len(plans)).reshape(-1, *[1] * rows.peak.ndim))
    least = training_time(many.with_layout(layouts)).step_seconds
    seconds = np.where(fits[..., index], least, np.inf).reshape(len(races), -1, len(index)).min(axis=1)
    for race, own in zip(races, seconds, strict=True):
        race.start(index, own)


def _recomputing(layouts: Layouts, end: Any) -> Layouts:
    """The layouts with the least or the most recomputation that is open to them alone."""
    word = end(layouts.recompute.reshape(-1).tolist(), key=RECOMPUTE.index)
    return replace(layouts, recompute=np.array([[word]]))


def _every(groups: list[Layouts], name: str) -> Any:
    """All values of an option that any of the groups has, along its axis."""
    values = [getattr(one, name) for one in groups]
    return np.unique(np.concatenate([one.reshape(-1) for one in values])).reshape(-1, *values[0].shape[1:])


def _some(layouts: Layouts, index: Any) -> Layouts:
    """Some rows of degrees with all that goes with them."""
    return replace(layouts, **{name: getattr(layouts, name)[..., index] for name in ROWS})
