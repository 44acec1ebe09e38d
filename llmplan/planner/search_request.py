"""From what a user asked `fit` to a search: sizes, choices, one plan for each precision, and what was assumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llmplan.catalog import Catalog
from llmplan.errors import Fault, InputError
from llmplan.plan.defaults import ROUNDS, check_words
from llmplan.plan.draft import Draft
from llmplan.plan.limits import Limits
from llmplan.plan.plan import Plan
from llmplan.plan.request import Request
from llmplan.plan.resolve import base_plan
from llmplan.planner.search import Search
from llmplan.planner.search_choices import DIMENSIONS, OPEN, SERVING_DIMENSIONS, Choice, Choices, choices
from llmplan.planner.search_goal import Goal
from llmplan.planner.search_space import LEAST_PIECE, MOST_MICRO_BATCH
from llmplan.planner.search_terms import Market

SEARCHED = {*DIMENSIONS, *SERVING_DIMENSIONS}
EVERY_NODE = 16
"""Numbers of nodes that are tried one by one; above, powers of two and one and a half times them."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What `fit` is asked beside the plan's own words.

    objective: None = devices where max_devices is given, else throughput; limits: win over those of the plan;
    surely: the whole memory band must fit; try_offload: with and without optimizer states in host memory.
    """

    objective: str | None = None
    limits: Limits = Limits()
    surely: bool = False
    max_devices: int | None = None
    top: int = 5
    pareto: tuple[str, str] | None = None
    try_offload: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, the dimensions that it leaves to choose from (as text or values), and wishes."""

    wanted: Request
    given: Mapping[str, Any] = field(default_factory=dict)
    wishes: Wishes = Wishes()

    def changed(self, words: Mapping[str, Any], **wishes: Any) -> Ask:
        """The same with other words; None opens a dimension."""
        inside = {name: value for name, value in words.items() if name not in SEARCHED or value is None}
        given = {
            name: value for name, value in {**self.given, **words}.items() if name in SEARCHED and value is not None
        }
        return Ask(self.wanted.changed(**inside), given, replace(self.wishes, **wishes))


def question(ask: Ask, catalog: Catalog) -> tuple[Search, tuple[str, ...]]:
    """The search that answers, and the sentences about what was assumed; raises InputError with every fault."""
    said = {name: value for name, value in ask.wanted.options.said().items() if name in DIMENSIONS}
    foreign = [name for name in ask.given if name not in DIMENSIONS]
    if foreign:
        raise InputError([Fault(f"--{name.replace('_', '-')} goes with workload serve") for name in foreign])
    open_ = choices({**said, **ask.given})
    wishes = ask.wishes
    if wishes.try_offload:
        open_["offload_optimizer"] = Choice((False, True))
    rest = ask.wanted.changed(**dict.fromkeys(DIMENSIONS))
    drafts = [Draft(rest.changed(precision=word)) for word in open_.get("precision", OPEN).values or (None,)]
    bases = [_base(draft, catalog) for draft in drafts]
    told = list(drafts[0].assumptions)
    devices = sizes(open_.get("devices"), wishes.max_devices, bases[0].cluster.devices_per_node)
    if wishes.max_devices is not None or open_.get("devices", OPEN).values is None:
        told.append(
            f"devices: powers of two inside a node of {bases[0].cluster.devices_per_node}, every number of nodes up to "
            f"{EVERY_NODE}, then powers of two and one and a half times them"
        )
    batch = ask.wanted.options.global_batch
    if batch is None:
        batch = ROUNDS * devices[-1]
        told.append(f"global_batch {batch}: {ROUNDS} sequences for each of {devices[-1]} devices")
    bases = [replace(base, workload=base.workload.model_copy(update={"global_batch": batch})) for base in bases]
    told += _limits_told(open_, bases[0])
    objective = wishes.objective or ("throughput" if wishes.max_devices is None else "devices")
    if wishes.objective is None:
        told.append(f"objective {objective}: none was named")
    limits = (ask.wanted.options.limits or Limits()).model_copy(update=wishes.limits.model_dump(exclude_none=True))
    goal = Goal(Market(catalog), objective, limits, wishes.surely, (wishes.pareto or (None, None))[1])
    return Search(tuple(bases), devices, open_, goal, wishes.top, wishes.pareto), tuple(told)


def _base(draft: Draft, catalog: Catalog) -> Plan:
    check_words(draft)
    return base_plan(draft, catalog)


def _limits_told(open_: Choices, base: Plan) -> Iterator[str]:
    """Where an open dimension ends before what is legal."""
    if open_.get("micro_batch", OPEN).values is None:
        yield f"micro_batch: divisors of the global batch up to {MOST_MICRO_BATCH}"
    if open_.get("cp", OPEN).values is None and base.workload.seq_len >= 2 * LEAST_PIECE:
        yield f"cp: leaves a device at least {LEAST_PIECE} tokens of a sequence"


def sizes(devices: Choice | None, most: int | None, per_node: int) -> tuple[int, ...]:
    """Numbers of devices to try, ascending."""
    if devices is not None and most is not None:
        raise InputError(Fault("--devices and --max-devices exclude each other"))
    if devices is None and most is None:
        raise InputError(
            Fault("devices are missing: --devices N, or --max-devices N for the smallest cluster that does it")
        )
    if devices is not None and devices.values is not None:
        return tuple(devices.values)
    low, high = (1, most) if devices is None else (max(1, devices.low), devices.high)
    assert high is not None
    found = {n for n in (*_usual(per_node, high), high) if low <= n <= high}
    return tuple(sorted(found))


def _usual(per_node: int, most: int) -> Iterator[int]:
    """Powers of two inside a node, then whole nodes."""
    inside = 1
    while inside < min(per_node, most + 1):
        yield inside
        inside *= 2
    for nodes in range(1, EVERY_NODE + 1):
        yield nodes * per_node
    nodes = EVERY_NODE
    while nodes * per_node <= most:
        yield nodes * per_node
        yield nodes * per_node * 3 // 2
        nodes *= 2
