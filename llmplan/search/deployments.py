"""The space of deployments of one serving plan, and all of their figures at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import reduce
from math import gcd
from typing import TYPE_CHECKING, Any

import numpy as np

from llmplan.search.choices import OPEN, Choice, Choices
from llmplan.search.layouts import Layouts
from llmplan.search.space import divisors
from llmplan.serving.iteration import replica
from llmplan.serving.loads import Response, busy_replicas, capacity, respond
from llmplan.serving.memory import ServingMemory, serving_memory
from llmplan.setup.checks import expert_problems, stage_problems, tensor_problems
from llmplan.setup.layout import Layout

if TYPE_CHECKING:
    from llmplan.serving.plan import ServingPlan

CHUNK = 8_192
"""Deployments that are evaluated at a time."""
BATCHES = tuple(1 << bit for bit in range(15))
"""Requests in flight that are tried where neither batch nor rate is given: powers of two [1]."""
Row = tuple[int, int, int, int, int]
"""tp, pp, ep, dp, batch; batch 0 where the load has none."""


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

    def rows(self) -> Iterator[Row]:
        """Every legal deployment once."""
        model, batches = self.plan.model, self._batches()
        heads = max((core.heads for layer in model.layers for core in layer.cores), default=1)
        most = self.most or max(self.sizes)
        inside = (
            divisors(heads) if self.most else sorted({n for size in self.sizes for n in divisors(size) if n <= heads})
        )
        stages = [1 << bit for bit in range(most.bit_length()) if 1 << bit <= model.layer_count]
        banks = {x.experts for layer in model.layers for x in layer.linears if x.routed}
        experts = self._of("ep").among(divisors(reduce(gcd, banks)) if banks else (1,))
        for tp in self._of("tp").among(n for n in inside if n <= most):
            for pp in self._of("pp").among(stages):
                for ep in experts:
                    copies = [dp for dp in self._copies(tp * pp) if dp in self._of("dp").among((dp,))]
                    for dp in copies:
                        self.considered += len(batches)
                        reason = self._reason(tp, pp, ep, dp)
                        if reason is None:
                            yield from ((tp, pp, ep, dp, batch) for batch in batches)
                        else:
                            self.removed[reason] += len(batches)
                    if not copies:
                        self.considered += len(batches)
                        self.removed["devices"] += len(batches)

    def _copies(self, each: int) -> list[int]:
        """Replicas that fill the devices."""
        if self.most is not None:
            return list(range(1, self.most // each + 1))
        return [size // each for size in self.sizes if size % each == 0]

    def _reason(self, tp: int, pp: int, ep: int, dp: int) -> str | None:
        model = self.plan.model
        layout = Layout.model_construct(tp=tp, pp=pp, ep=ep, dp=dp)
        if any(tensor_problems(model, tp, ep)):
            return "heads"
        if any(expert_problems(model, layout)):
            return "experts"
        return "layers" if any(stage_problems(model, layout)) else None

    def _batches(self) -> tuple[int, ...]:
        work = self.plan.workload
        if work.load not in ("closed", "static"):
            return (0,)
        return self._of("batch").among(BATCHES)

    def _of(self, name: str) -> Choice:
        return self.choices.get(name, OPEN)


@dataclass(frozen=True, slots=True)
class Deployments:
    """Figures of many deployments of one plan, each an array along the rows; as in `ServingEstimate`."""

    plan: ServingPlan
    rows: Any
    memory: ServingMemory
    answer: Response
    busy: Any
    capacity: Any
    devices: Any
    fits: Any
    surely: Any
    """Whether the whole memory band fits."""

    @property
    def output_tokens_per_second(self) -> Any:
        """Of all devices; what they could deliver, where requests come at a rate [1/s]."""
        work = self.plan.workload
        if work.load == "open":
            return self.capacity * work.output_tokens
        return self.answer.output_tokens_per_second * self.busy

    def make(self, index: int) -> tuple[ServingPlan, Layout]:
        """ServingPlan and layout at an index."""
        tp, pp, ep, dp, batch = (int(value) for value in self.rows[index])
        return with_batch(self.plan, batch), Layout(tp=tp, pp=pp, ep=ep, dp=dp)


def with_batch(plan: ServingPlan, batch: int) -> ServingPlan:
    """The plan with so many requests in flight; 0 leaves it as it is."""
    if not batch:
        return plan
    return replace(plan, workload=plan.workload.model_copy(update={"batch": batch}))


def chunks(space: DeploymentSpace) -> Iterator[Deployments]:
    """Every deployment of the space, evaluated."""
    waiting: list[Row] = []
    for row in space.rows():
        waiting.append(row)
        if len(waiting) == CHUNK:
            yield deploy(space.plan, waiting)
            waiting = []
    if waiting:
        yield deploy(space.plan, waiting)


def deploy(plan: ServingPlan, rows: list[Row]) -> Deployments:
    """Figures of the rows by the formulas of `estimate_serving`, on arrays."""
    table = np.array(rows, dtype=float)
    tp, pp, ep, dp, batch = table.T
    one = np.ones(1)
    layouts = Layouts(
        tp=tp, pp=pp, ep=ep, dp=dp, vp=one, cp=one, micro_batch=one, zero=one * 0.0, sequence_parallel=one * 0.0,
        recompute=np.array(["none"]), offload_optimizer=one * 0.0,
    )  # fmt: skip
    work, policy = plan.workload, plan.engine.policy
    many = plan.with_layout(layouts)
    if batch.any():
        work = work.model_copy(update={"batch": batch})
    memory, at = serving_memory(many, policy), replica(many)
    places = np.maximum(memory.resident, 1.0)
    answer = respond(at, work, policy, dp, places)
    most = capacity(at, work, policy, places) * dp
    needed = memory.needed_bytes + 0.0 * dp
    high = plan.interval("serving_bytes", 1.0).high
    return Deployments(
        plan,
        table,
        memory,
        answer,
        busy_replicas(work, dp),
        most,
        tp * pp * dp,
        needed <= memory.budget_bytes,
        needed * high <= memory.budget_bytes,
    )
