"""Searches side by side: what each is about to look at is worked out for all of them at once.

A search of one layout after another has too few deployments at a time for arrays to pay. So it says before it reads a
figure which it is, and of what: the figures of searches that differ in what they run on alone are made together. What
comes out is what each would find alone.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Sequence
from dataclasses import field
from typing import TypeAlias, TypeVar

import numpy as np

from llmplan.errors import InputError
from llmplan.records import dataclass, fields_of
from llmplan.search.deployments import Deployments, joined
from llmplan.search.serving_space import CHUNK, every_copies_of
from llmplan.serving.many import kind_but_rates, on_machines
from llmplan.serving.plan import ServingPlan

T = TypeVar("T")
Steps: TypeAlias = Generator[tuple[Deployments, str], None, T]
"""A search on its way: the deployments that it is about to look at, and the figure, `memory` or `answer`."""


def alone(steps: Steps[T]) -> T:
    """What a search comes to by itself."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def side_by_side(searches: Sequence[Steps[T]]) -> list[T | InputError]:
    """What each comes to, or why it cannot be."""
    found: dict[int, T | InputError] = {}
    going, kinds = dict(enumerate(searches)), _Kinds()
    while going:
        asked: dict[tuple[Hashable, str], list[Deployments]] = {}
        for place, steps in list(going.items()):
            try:
                many, figure = next(steps)
            except (StopIteration, InputError) as end:
                found[place] = end.value if isinstance(end, StopIteration) else end
                del going[place]
                continue
            if len(many.rows) and not many.split and (kind := kinds.of(many.plan)) is not None:
                asked.setdefault((kind, figure), []).append(many)
        for (_, figure), some in asked.items():
            _work_out(figure, some)
    return [found[place] for place in range(len(searches))]


@dataclass(slots=True)
class _Kinds:
    """What plans have in common, as numbers, which are quick to compare."""

    numbers: dict[Hashable, int] = field(default_factory=dict)
    known: dict[int, tuple[ServingPlan, int | None]] = field(default_factory=dict)

    def of(self, plan: ServingPlan) -> int | None:
        """The number of a plan's kind; None for what goes alone."""
        if id(plan) not in self.known:
            kind = kind_but_rates(plan)
            key = kind, every_copies_of(plan)
            number = None if kind is None else self.numbers.setdefault(key, len(self.numbers))
            self.known[id(plan)] = plan, number  # which keeps its `id`
        return self.known[id(plan)][1]


def _work_out(figure: str, some: Sequence[Deployments]) -> None:
    """A figure of deployments whose plans are of one kind, a chunk at a time."""
    chunk = (np.cumsum([len(one.rows) for one in some]) // CHUNK).tolist()
    for number in sorted(set(chunk)):
        part = [one for one, own in zip(some, chunk, strict=True) if own == number]
        sizes = [len(one.rows) for one in part]
        index = np.repeat(np.arange(len(part)), sizes)
        whole = joined(on_machines([one.plan for one in part], index), part)
        columns = [np.broadcast_to(value, index.shape) for value in fields_of(getattr(whole, figure)).values()]
        kind, cuts = type(getattr(whole, figure)), np.cumsum(sizes)[:-1]
        for one, *own in zip(part, *(np.split(column, cuts) for column in columns), strict=True):
            one.__dict__[figure] = kind(*own)
