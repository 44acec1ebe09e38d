"""What steps and load of deployments wait for, by resource: of one from numbers, of many that are alike from arrays.

Both come from one evaluation with numbers that remember how they were made; the figures of a plan are the same to the
last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from llmplan.answer.named import named_machine
from llmplan.answer.resources import MORE, by_resource
from llmplan.formulas.numeric import maximum, real
from llmplan.formulas.traced import Tape
from llmplan.records import dataclass, replace
from llmplan.serving.estimate import ServingEstimate, estimate_serving, figures_of
from llmplan.serving.iteration import replica
from llmplan.serving.loads import (
    busy_replicas,
    capacity,
    decode_step,
    prefill_step,
    prefill_tokens,
    read_together,
    respond,
)
from llmplan.serving.many import as_arrays, sharing_but_rates
from llmplan.serving.pools import pools_of, split, split_capacity
from llmplan.serving.targets import wants_percentiles, without_simulation
from llmplan.setup.many import column, stacked, unstacked

if TYPE_CHECKING:
    from llmplan.formulas.traced_arrays import ArrayTape
    from llmplan.machine.hardware import Device
    from llmplan.serving.plan import ServingPlan

FEW = 4
"""Deployments of a kind below which arrays take longer than one after the other."""
ROWS = 1024
"""Deployments whose arrays are traced at a time: every array is kept until the passes backwards."""


@dataclass(frozen=True, slots=True)
class Load:
    """How a deployment does under its load, by formula: requests, capacity of all devices [1/s]; ttft, tpot [s], it is
    None where nothing is written; together: sequences in flight in a busy replica [1]."""

    requests: float
    capacity: float
    ttft: float
    tpot: float | None
    together: float


@dataclass(frozen=True, slots=True)
class ServingWaits:
    """By resource: seconds of a decoding step and of a prefill [s]; shares of the time to first token, the time per
    token, and of the times behind requests a second and the most of them [1]. now, roomier: as it is, with means by
    formula, and with 10 % more memory."""

    decode: dict[str, float]
    prefill: dict[str, float]
    ttft: dict[str, float]
    tpot: dict[str, float]
    requests: dict[str, float]
    capacity: dict[str, float]
    now: Load
    roomier: Load


def waits_of(answer: ServingEstimate) -> ServingWaits:
    """What one deployment waits for."""
    plan = answer.plan  # with more memory it may keep up, and be simulated, where it does not now
    quiet = without_simulation(plan) if wants_percentiles(plan.workload) else plan
    now = answer if answer.percentiles is None else estimate_serving(quiet)
    parts = _parts(named_machine(answer.plan), float(answer.memory.resident), answer.together, Tape, float)
    roomier = estimate_serving(replace(quiet, device=_roomier(quiet.device)))
    waits = {name: _there(one) for name, one in parts.items()}
    return ServingWaits(now=_load(now), roomier=_load(roomier), **waits)


def _load(found: ServingEstimate) -> Load:
    tpot = None if found.tpot is None else found.tpot.value
    return Load(found.requests_per_second.value, found.capacity, found.ttft.value, tpot, found.together)


def waits_of_many(found: Sequence[ServingEstimate]) -> list[ServingWaits]:
    """The same of every deployment, in their order."""
    waits: dict[int, ServingWaits] = {}
    for places in sharing_but_rates([one.plan for one in found], FEW):
        for start in range(0, len(places), ROWS):
            part = places[start : start + ROWS]
            waits |= zip(part, _of_arrays([found[place] for place in part]), strict=True)
    return [waits[place] if place in waits else waits_of(one) for place, one in enumerate(found)]


def _of_arrays(found: list[ServingEstimate]) -> Iterator[ServingWaits]:
    from llmplan.formulas.traced_arrays import ArrayTape, bare

    plans, every = [one.plan for one in found], slice(None)
    resident = stacked([float(one.memory.resident) for one in found], every)
    here = stacked([one.together for one in found], every)
    parts = _parts(as_arrays(list(map(named_machine, plans))), resident, here, ArrayTape, bare)
    columns = {
        figure: {name: column(values, len(found)) for name, values in one.items()} for figure, one in parts.items()
    }
    larger = {id(device): _roomier(device) for device in {id(plan.device): plan.device for plan in plans}.values()}
    more = [replace(plan, device=larger[id(plan.device)]) for plan in plans]
    for row, (now, after) in enumerate(zip(map(_load, found), _loads(more), strict=True)):
        of_row = {
            figure: _there({name: values[row] for name, values in one.items()}) for figure, one in columns.items()
        }
        yield ServingWaits(now=now, roomier=after, **of_row)


def _loads(plans: list[ServingPlan]) -> Iterator[Load]:
    """Of every plan, of those that differ in numbers alone, what `_load` says of its estimate."""
    whole = as_arrays(plans)
    figures, work, copies = figures_of(whole), whole.workload, real(whole.layout.dp)
    busy = real(busy_replicas(work, copies))
    together = real(figures.answer.sequences) * busy / busy
    tpot = figures.tpot.value if work.writes else None
    return unstacked(
        Load(figures.requests_per_second.value, figures.most * copies, figures.ttft.value, tpot, together), len(plans)
    )


def _parts(
    plan: ServingPlan, resident: Any, here: Any, tape_of: type[Tape] | type[ArrayTape], bare: Callable[[Any], Any]
) -> dict[str, dict[str, Any]]:
    """What `ServingWaits` has by resource of a plan of `named_machine`, in numbers or in arrays. resident: places of a
    replica, here: taken [1]."""
    at, copies, places = replica(plan), plan.layout.dp * 1.0, maximum(resident, 1.0)
    pools, work, policy = pools_of(plan, at), plan.workload, plan.engine.policy
    reads = at if pools is None else pools.prefill
    prompt = prefill_tokens(work, policy, read_together(work, here))
    steps = [decode_step(at, work, here).total, prefill_step(reads, work, prompt).total]
    if pools is None:
        load, most = respond(at, work, policy, copies, places), capacity(at, work, policy, places)
    else:
        load, most = split(pools, work, policy, places), split_capacity(pools, work, policy, places)
    times, lost = [load.ttft, load.tpot], [-load.requests_per_second, -most]
    roots = [*steps, *times, *lost]
    names, over = (
        ("decode", "prefill", "ttft", "tpot", "requests", "capacity"),
        [1.0, 1.0, *times, *(-one for one in lost)],
    )
    found = by_resource(tape_of(*roots), [(root, False) for root in roots], plan)
    return {
        name: {of: value / bare(whole) for of, value in one.items()}
        for name, one, whole in zip(names, found, over, strict=True)
    }


def _there(parts: dict[str, float]) -> dict[str, float]:
    """Those that have a part at all."""
    return {name: value for name, value in parts.items() if value > 0.0}


def _roomier(device: Device) -> Device:
    """The device with more memory."""
    larger = replace(device.memory, capacity=device.memory.capacity * MORE)
    return replace(device, memory=larger)
