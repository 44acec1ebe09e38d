"""Many deployments of one serving plan, and all of their figures at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from llmplan.records import dataclass, fields_of, mapped, replace
from llmplan.search.layouts import Layouts
from llmplan.search.rank import Candidate
from llmplan.search.serving_space import DeploymentSpace, copies_of
from llmplan.serving.iteration import Replica, replica
from llmplan.serving.loads import Response, busy_replicas, capacity, prefill_tokens, respond
from llmplan.serving.memory import serving_memory
from llmplan.serving.percentiles import IDLE, by_formula
from llmplan.serving.plan import PREFILL
from llmplan.serving.pools import Pools, pools_of, split, split_capacity
from llmplan.serving.simulation import Arriving, Sample, simulate
from llmplan.setup.layout import Layout

if TYPE_CHECKING:
    from llmplan.serving.plan import ServingPlan, ServingWorkload


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """Of `ServingMemory` what deployments are judged by, arrays (deployment,)."""

    needed_bytes: Any
    budget_bytes: Any
    resident: Any
    host_bytes: Any


@dataclass(frozen=True)
class Deployments:
    """Figures of many deployments of one plan, each an array along the rows; as in `ServingEstimate`.

    rows: tp, pp, ep, dp, those of the devices that read prompts (0 where they are the same), and requests in flight (0
    where the load has none). What takes long is worked out when it is asked for, by the formulas of `estimate_serving`:
    take those that fit before their times.
    """

    plan: ServingPlan
    rows: Any

    @cached_property
    def memory(self) -> MemoryFigures:
        """Of the fullest device of each."""
        policy = self.plan.engine.policy
        one = serving_memory(self.plan.with_layout(_writing(self.plan, self.rows)), policy)
        needed = one.needed_bytes
        if self.split:
            reads = serving_memory(self.plan.with_layout(both(self.plan, self.rows).prefill), policy)
            needed = np.maximum(needed, reads.needed_bytes)
        figures = needed, one.budget_bytes, one.resident, one.host_bytes
        return MemoryFigures(*(np.broadcast_to(figure, len(self.rows)) for figure in figures))

    @property
    def devices(self) -> Any:
        """Devices of each [1]."""
        rows, shared = self.rows, self.plan.layout.cp
        writes, reads = rows[:, 0] * rows[:, 1] * rows[:, 3], rows[:, 4] * rows[:, 6]
        return np.where(reads > 0, writes + shared * reads, shared * writes).astype(float)

    @property
    def fits(self) -> Any:
        """Whether each has room for one request."""
        return self.memory.needed_bytes <= self.memory.budget_bytes

    @property
    def surely(self) -> Any:
        """Whether the whole memory band fits."""
        return self.memory.needed_bytes * self.plan.interval("serving_bytes", 1.0).high <= self.memory.budget_bytes

    @cached_property
    def answer(self) -> Response:
        """What one busy replica of each does under the load."""
        return self._answer(1.0)

    @cached_property
    def idle(self) -> Response:
        """What one does of so many that each request is alone."""
        one, alike = self._of_kinds([0, 1, 2, 4, 5])
        return mapped(one._answer(IDLE), lambda value: (value + np.zeros(len(one.rows)))[alike])  # type: ignore[no-any-return]

    def _answer(self, times: float) -> Response:
        """What one does of so many times as many."""
        policy = self.plan.engine.policy
        at = _served(self.plan, self.rows)
        if isinstance(at, Pools):
            more = replace(at, copies=at.copies * times, prefill_copies=at.prefill_copies * times)
            return split(more, self._work, policy, self._places)
        return respond(at, self._work, policy, self._copies * times, self._places)

    @cached_property
    def sample(self) -> Sample:
        """Requests of each, one by one."""
        at, column = (_served(self.plan, rows) for rows in (self.rows, self.rows[:, None, None, :]))
        return simulate(at, self._work, self.plan.engine.policy, self.arriving, column)

    @property
    def arriving(self) -> Arriving:
        """What comes to one replica of each, where requests are simulated one by one."""
        copies, rate = self._copies, self.plan.workload.request_rate or 0.0
        return Arriving.at(rate / copies, self.capacity / copies, self._places, self.answer.sequences)

    @property
    def simulated_steps(self) -> Any:
        """About how many steps it takes to simulate each [1]: one for each request, or for each piece of its prompt."""
        pieces = self._work.computed_tokens / prefill_tokens(self._work, self.plan.engine.policy, np.inf)
        return self.arriving.count * np.maximum(pieces, 1.0)

    @property
    def request(self) -> Any:
        """Mean time of a request: by formula, or simulated where none holds [s]."""
        work = self.plan.workload
        formula = work.load != "open" or by_formula(work)
        return np.broadcast_to(self.answer.request if formula else self.sample.request.mean(axis=1), len(self.rows))

    @property
    def busy(self) -> Any:
        """Replicas that have a request at all [1]."""
        return busy_replicas(self._work, self._copies)

    @cached_property
    def capacity(self) -> Any:
        """Requests a second with every place taken [1/s]."""
        policy = self.plan.engine.policy
        if self.split:
            pools: Any = _served(self.plan, self.rows)
            return split_capacity(pools, self._work, policy, self._places) * self._copies
        one, alike = self._of_kinds([0, 1, 2])
        at: Any = _served(one.plan, one.rows)
        most: Any = capacity(at, one._work, policy, one._places)
        return most[alike] * self._copies

    def _of_kinds(self, columns: list[int]) -> tuple[Deployments, Any]:
        """One of each kind of replicas, whatever their number, and which of them each is; columns: that tell kinds
        apart."""
        _, first, alike = np.unique(self.rows[:, columns], axis=0, return_index=True, return_inverse=True)
        return self.take(first), alike.ravel()

    @property
    def output_tokens_per_second(self) -> Any:
        """Of all devices; what they could deliver, where requests come at a rate [1/s]."""
        work = self.plan.workload
        if work.load == "open":
            return self.capacity * work.output_tokens
        return self.answer.output_tokens_per_second * self.busy

    def take(self, index: Any) -> Deployments:
        """Those at an index, or where a mask is true, with what was worked out already."""
        some = Deployments(self.plan, self.rows[index])
        known, all_of = self.__dict__, np.zeros(len(self.rows))
        if "memory" in known:
            some.__dict__["memory"] = mapped(self.memory, lambda value: value[index])
        if "capacity" in known:
            some.__dict__["capacity"] = self.capacity[index]
        for figure in {"answer", "idle"} & known.keys():
            some.__dict__[figure] = mapped(known[figure], lambda value: (value + all_of)[index])
        if "sample" in known:
            some.__dict__["sample"] = mapped(self.sample, lambda value: value[index])
        return some

    def with_batch(self, batch: Any) -> Deployments:
        """The same with others in flight, an array; memory does not hang on them."""
        some = Deployments(self.plan, np.column_stack([self.rows[:, :-1], batch]))
        some.__dict__["memory"] = self.memory
        return some

    def with_each(self, batches: tuple[int, ...]) -> Deployments:
        """Each with every one of so many in flight, which follow each other."""
        count = len(self.rows)
        return self.take(np.repeat(np.arange(count), len(batches))).with_batch(np.tile(batches, count))

    def make(self, index: int) -> tuple[ServingPlan, Layout]:
        """ServingPlan and layout at an index."""
        tp, pp, ep, dp, read_tp, read_ep, read_dp, batch = (int(value) for value in self.rows[index])
        plan, shared = with_batch(self.plan, batch), self.plan.layout.cp
        writes = Layout(tp=tp, pp=pp, ep=ep, dp=dp, redundant_experts=copies_of(plan))
        if not read_tp:
            return plan, replace(writes, cp=shared)
        copies = copies_of(plan, PREFILL)
        reads = Layout(tp=read_tp, cp=shared, ep=read_ep, dp=read_dp, redundant_experts=copies)
        return replace(plan, prefill=reads), writes

    def candidate(self, index: int, key: tuple[float, ...]) -> Candidate[ServingPlan]:
        """What is at an index in the race for what it is ranked by, with what was simulated of it."""
        sample = mapped(self.sample, lambda value: value[[index]]) if "sample" in self.__dict__ else None
        return Candidate(*self.make(index), key, sample)

    @property
    def split(self) -> bool:
        """Whether prompts are read on devices of their own."""
        return bool(self.rows[:, 4].any())

    @property
    def _copies(self) -> Any:
        return self.rows[:, 3].astype(float)

    @property
    def _places(self) -> Any:
        return np.maximum(self.memory.resident, 1.0)

    @property
    def _work(self) -> ServingWorkload:
        batch = self.rows[:, -1]
        work = self.plan.workload
        return replace(work, batch=batch.astype(float)) if batch.any() else work


def with_batch(plan: ServingPlan, batch: int) -> ServingPlan:
    """The plan with so many requests in flight; 0 leaves it as it is."""
    if not batch:
        return plan
    return replace(plan, workload=replace(plan.workload, batch=batch))


def chunks(space: DeploymentSpace) -> Iterator[Deployments]:
    """Every deployment of the space."""
    return (Deployments(space.plan, rows).with_each(space.batches) for rows in space.parts())


def joined(plan: ServingPlan, some: Sequence[Deployments]) -> Deployments:
    """Deployments one after another, as those of one plan, with what is known of the memory of all."""
    whole = Deployments(plan, np.concatenate([one.rows for one in some]))
    if all("memory" in one.__dict__ for one in some):
        known = zip(*(fields_of(one.memory).values() for one in some), strict=True)
        whole.__dict__["memory"] = MemoryFigures(*map(np.concatenate, known))
    return whole


def _served(plan: ServingPlan, rows: Any) -> Replica | Pools:
    """The replicas of rows, or both of their pools."""
    at = replica(plan.with_layout(_writing(plan, rows)))
    return (pools_of(both(plan, rows), at) if rows[..., 4].any() else None) or at


def both(plan: ServingPlan, rows: Any) -> ServingPlan:
    """The plan with the layouts of both pools."""
    one = np.ones_like(rows[..., :1])
    reads = np.concatenate([rows[..., 4:5], one, rows[..., 5:7]], axis=-1)
    arrays: Any = _layouts(reads, plan.layout.cp, copies_of(plan, PREFILL))
    return replace(plan.with_layout(_writing(plan, rows)), prefill=arrays)


def _writing(plan: ServingPlan, rows: Any) -> Layouts:
    """Layouts of the devices that write: prompts are shared by those that read them."""
    return _layouts(rows, 1 if rows[..., 4].any() else plan.layout.cp, copies_of(plan))


def _layouts(rows: Any, shared: int, copies: int) -> Layouts:
    tp, pp, ep, dp = np.moveaxis(rows[..., :4].astype(float), -1, 0)
    one = np.ones(1)
    return Layouts(
        tp=tp, pp=pp, ep=ep, dp=dp, vp=one, cp=shared * 1.0, micro_batch=one, zero=one * 0.0,
        sequence_parallel=one * 0.0, redundant_experts=one * copies,
        recompute=np.array(["none"]), recompute_layers=one, offload_optimizer=one * 0.0,
    )  # fmt: skip
