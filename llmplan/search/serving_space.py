"""The space of deployments of one serving plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import field
from functools import reduce
from itertools import chain
from math import gcd
from typing import TYPE_CHECKING, Any

import numpy as np

from llmplan.records import dataclass
from llmplan.search.choices import OPEN, Choice, Choices
from llmplan.search.space import divisors
from llmplan.serving.plan import COPIES, PREFILL
from llmplan.serving.resolve import cache_copies
from llmplan.setup.checks import expert_banks, expert_problems, stage_problems, tensor_problems
from llmplan.setup.layout import Layout

if TYPE_CHECKING:
    from llmplan.serving.plan import ServingPlan

CHUNK = 8_192
"""Deployments that are evaluated at a time."""
BATCHES = tuple(1 << bit for bit in range(15))
"""Requests in flight that are tried first where neither batch nor rate is given: powers of two [1]."""


@dataclass(slots=True)
class DeploymentSpace:
    """Deployments of a plan's model on at most, or exactly, so many devices; counts what it removes.

    sizes: numbers of devices to try; most: any number up to it instead.
    """

    plan: ServingPlan
    sizes: tuple[int, ...]
    most: int | None
    choices: Choices
    considered: int = 0
    removed: Counter[str] = field(default_factory=Counter)

    @property
    def legal(self) -> int:
        """Deployments that were handed out [1]."""
        return self.considered - sum(self.removed.values())

    @property
    def key(self) -> Hashable:
        """What its layouts hang on, while its model lives."""
        plan, shared = self.plan, (self.plan.layout.cp, self.plan.workload.dcp, *every_copies_of(self.plan))
        models = id(plan.model), id(plan.draft)
        return type(self), *models, *shared, self.sizes, self.most, self.batches, tuple(self.choices.items())

    def layouts(self) -> Iterator[Any]:
        """Every legal layout once, as arrays of rows tp, pp, ep, dp and three that are 0, `SplitSpace`'s other pool."""
        model, times = self.plan.model, len(self.batches)
        heads = max((core.heads for layer in model.layers for core in layer.cores), default=1)
        most = self.most or max(self.sizes)
        inside = (
            divisors(heads) if self.most else sorted({n for size in self.sizes for n in divisors(size) if n <= heads})
        )
        shared = self.plan.layout.cp
        stages = [1 << bit for bit in range(most.bit_length()) if 1 << bit <= model.layer_count]
        experts = np.array(self._experts(), dtype=int)
        for tp in self._of("tp").among(n for n in inside if n <= most):
            refused = [self._refused(tp, int(ep)) for ep in experts]
            for pp in (n for n in self._of("pp").among(stages) if n == 1 or shared == 1):
                copies = self._copies(tp * pp * shared)
                self.considered += times * len(experts) * max(len(copies), 1)
                if not len(copies):
                    self.removed["devices"] += times * len(experts)
                    continue
                deep = "layers" if any(stage_problems(model, Layout(pp=pp, vp=1))) else None
                reasons = [reason or deep for reason in refused]
                legal = np.array([reason is None for reason in reasons])
                sound = legal[:, None] & (copies * tp * shared % experts[:, None] == 0)
                for reason, some in zip(reasons, sound, strict=True):
                    self.removed[reason or "experts"] += times * int(np.count_nonzero(~some))
                which, many = np.nonzero(sound)
                yield np.stack(np.broadcast_arrays(tp, pp, experts[which], copies[many], 0, 0, 0), axis=-1)

    def parts(self) -> Iterator[Any]:
        """The rows of all layouts with a column more, for requests in flight; so many at a time as with every number of
        those are a chunk."""
        step = max(1, CHUNK // len(self.batches))
        many: list[Any] = []
        for table in chain(self.layouts(), (None,)):
            if table is not None:
                many.append(table)
            if many and (table is None or sum(map(len, many)) >= step):
                whole = np.concatenate(many)
                rows, many = np.column_stack([whole, np.zeros(len(whole), dtype=int)]), []
                yield from (rows[start : start + step] for start in range(0, len(rows), step))

    def _copies(self, each: int) -> Any:
        """Replicas that fill the devices and that may be chosen, an array."""
        every = np.arange(1, self.most // each + 1) if self.most else np.array(self.sizes, dtype=int)
        if not self.most:
            every = every[every % each == 0] // each
        wanted = self._of("dp")
        between = (every >= wanted.low) & (every <= wanted.high)
        return every[between if wanted.values is None else np.isin(every, wanted.values)]

    def _experts(self, pool: str = "") -> tuple[int, ...]:
        """Degrees of expert parallelism of a pool to try."""
        slots = [experts + copies_of(self.plan, pool) for experts in expert_banks(self.plan.model)]
        return self._of(f"{pool}ep").among(divisors(reduce(gcd, slots)) if slots else (1,))

    def _refused(self, tp: int, ep: int, pool: str = "") -> str | None:
        """Why no number of replicas is legal with these degrees."""
        model, drafts = self.plan.model, self.plan.draft
        if any(tensor_problems(model, tp, ep)) or (drafts is not None and any(tensor_problems(drafts, tp, 1))):
            return "heads"
        if cache_copies(model, tp) % (self.plan.workload.dcp or 1):
            return "copies"
        copies = copies_of(self.plan, pool)
        layout = Layout(tp=tp, ep=ep, dp=ep, redundant_experts=copies)  # so many replicas that experts can be spread
        return "experts" if any(expert_problems(model, layout)) else None

    @property
    def batches(self) -> tuple[int, ...]:
        """Requests in flight that are tried."""
        work = self.plan.workload
        if work.load not in ("closed", "static"):
            return (0,)
        return self._of("batch").among(BATCHES)

    def _of(self, name: str) -> Choice:
        return self.choices.get(name, OPEN)


def copies_of(plan: ServingPlan, pool: str = "") -> int:
    """Copies of experts that were asked for, in a pool whose options start so [1]."""
    return getattr(plan.options, pool + COPIES) or 0


def every_copies_of(plan: ServingPlan) -> tuple[int, int]:
    """The same of both pools."""
    return copies_of(plan), copies_of(plan, PREFILL)
