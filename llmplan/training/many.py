"""Many trainings at once: plans that share a model and a recipe go through the formulas as arrays.

Devices, clusters, degrees, micro-batches, sharding, recomputation and lengths run along the arrays; the formulas are
those of one plan, and what comes out is equal to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import chain, islice
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from llmplan.formulas.numeric import real
from llmplan.records import names, replace
from llmplan.setup.layout import LayoutArrays
from llmplan.setup.many import Machines, alike, column, each, grouped, kind_of, unstacked
from llmplan.setup.models import model_of, structure
from llmplan.training.choose import ONE_BY_ONE, Again, LayoutEvaluator, OpenPlan, fewest_layers, peak_of
from llmplan.training.estimate import TrainingEstimate, estimate, estimate_of, figures_of
from llmplan.training.plan import TrainingPlan, TrainingWorkload
from llmplan.training.resolve import OpenTraining, Taken, completed, taken
from llmplan.training.step import machine_of, training_time
from llmplan.training.unstated import OPTIONS, may_matter, steps_with

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmplan.errors import InputError
    from llmplan.software.band import Interval

FigureT = TypeVar("FigureT")
FoundT = TypeVar("FoundT")
FEW = 6
"""Plans of a kind below which arrays take longer than one after the other."""
SEVERAL = 16
"""The same of open plans, of which not all would be worked out."""
ROWS = 8192
"""Plans that are evaluated at a time: their arrays stay in a core's cache."""
GROUPS = 2048
"""The same of open plans, by what differs in recomputation alone."""
LENGTHS = ("seq_len", "global_batch")
"""Options of a workload that run along the arrays; the others choose between formulas, as `tokens` does not."""
FLAGS = ("sequence_parallel", "offload_optimizer")
DEGREES = tuple(name for name in names(LayoutArrays) if name not in (*FLAGS, "recompute", "recompute_layers"))
"""Fields of a layout that are true or false, and that are numbers."""
_things = attrgetter("device", "cluster", "stack", "coefficients")
_shared_words = attrgetter(*(name for name in names(TrainingWorkload) if name not in (*LENGTHS, "tokens")))


def estimate_many(plans: Sequence[TrainingPlan]) -> list[TrainingEstimate]:
    """The estimate of every plan, in their order: what `estimate` gives of each."""
    found: dict[int, TrainingEstimate] = {}
    for places in alike(plans, FEW, _shared, _machine, kind, _shared_but_sizes):
        for start in range(0, len(places), ROWS):
            part = places[start : start + ROWS]
            some = [plans[place] for place in part]
            figures = unstacked(figures_of(as_arrays(some)), len(part))
            found |= zip(part, map(estimate_of, some, figures), strict=True)
    return [found[place] if place in found else estimate(plan) for place, plan in enumerate(plans)]


def chosen_of_many(found: Sequence[OpenTraining], *, said: bool = True) -> list[TrainingPlan | InputError]:
    """The plan that is taken of what each request leaves open, as `chosen` gives it, or why there is none.

    said: with what is assumed.
    """
    first = _taken(found)
    more = {place: one.further for place, one in enumerate(first) if isinstance(one, Taken)}
    beyond = {place: one for place, one in more.items() if one is not None}
    for place, one in zip(beyond, _taken(list(beyond.values())), strict=True):
        first[place] = one
    layers = _fewest_layers([one for one in first if isinstance(one, Taken) and one.eased])
    return each(lambda one: completed(one, layers.get(id(one)), said=said), first)


def _taken(found: Sequence[OpenTraining]) -> list[Taken | InputError]:
    by = _evaluator_of(found)
    return each(lambda one: taken(one, by), found)


def _fewest_layers(found: Sequence[Taken]) -> dict[int, float]:
    """`fewest_layers` of each, by its `id`."""
    layers: dict[int, float] = {}
    for some in _alike(found, attrgetter("open.origin")):
        plans = [one.plan for one in some]
        if len(some) < FEW:
            layers |= zip(map(id, some), [real(fewest_layers(plan)) for plan in plans], strict=True)
        else:
            many = as_arrays(plans, [one.open.origin for one in some])
            layers |= zip(map(id, some), column(fewest_layers(many), len(some)), strict=True)
    return layers


def _evaluator_of(opened: Sequence[OpenTraining]) -> LayoutEvaluator:
    """What works out the open plans of many requests, all of them at once where there are several of a request."""
    asked = [one for one in opened if not one.decided]
    timed = [one for one in asked if one.compared is not None]
    peaks = _worked_out(asked, lambda many, count: unstacked(peak_of(many), count))
    seconds = _worked_out(timed, lambda many, count: column(real(training_time(many).step_seconds), count), timed=True)

    def peak(one: OpenPlan) -> Interval:
        rungs, rung = one
        return peaks[id(rungs)][rung] if id(rungs) in peaks else ONE_BY_ONE.peak(one)

    def time(one: OpenPlan, batch: int) -> float:
        rungs, rung = one
        return seconds[id(rungs)][rung] if id(rungs) in seconds else ONE_BY_ONE.seconds(one, batch)

    return LayoutEvaluator(peak, time)


def _worked_out(
    opened: Sequence[OpenTraining], figures: Callable[[TrainingPlan, int], Iterable[FigureT]], *, timed: bool = False
) -> dict[int, list[FigureT]]:
    """A figure of every open plan, by the `id` of its rungs; where few are alike, of none.

    figures: of so many plans in one; timed: with the sequences a step that a request's plans are timed with.
    """
    found: dict[int, list[FigureT]] = {}
    for some in _alike(opened, attrgetter("origin")):
        every, origins = [rungs for one in some for rungs in one.sound], [one.origin for one in some for _ in one.sound]
        batches = [batch for one in some for batch in [one.compared] * len(one.sound)] if timed else None
        several = sum(len(rungs.again) for rungs in every[:SEVERAL]) >= SEVERAL
        for start in range(0, len(every), GROUPS) if several else ():
            part = slice(start, start + GROUPS)
            again = [rungs.again for rungs in every[part]]
            many = as_arrays([rungs.plan for rungs in every[part]], origins[part], batches and batches[part], again)
            values = iter(figures(many, sum(map(len, again))))
            found |= {id(rungs): list(islice(values, len(rungs.again))) for rungs in every[part]}
    return found


def _alike(found: Sequence[FoundT], origin: Callable[[FoundT], TrainingPlan]) -> Iterator[list[FoundT]]:
    """What may be stacked together; origin: of each, which decides that, and there are few of them."""
    families = grouped(found, lambda one: id(origin(one)))
    for places in sharing([origin(found[some[0]]) for some in families], 1):
        yield [found[one] for place in places for one in families[place]]


def steps_with_options(found: Sequence[TrainingEstimate]) -> list[dict[str, Sequence[float]]]:
    """Of every estimate `steps_with` each option that may matter to it, by its name [s]."""
    steps: list[dict[str, Sequence[float]]] = [{} for _ in found]
    for option in OPTIONS:
        wanted = [place for place, one in enumerate(found) if may_matter(one, option)]
        plans = [found[place].plan for place in wanted]
        together = sharing(plans)
        for places in together:
            whole = as_arrays([plans[place] for place in places])
            columns = [column(step, len(places)) for step in steps_with(whole, option)]
            for place, own in zip(places, zip(*columns, strict=True), strict=True):
                steps[wanted[place]][option.name] = own
        for place in set(range(len(plans))).difference(*together):
            steps[wanted[place]][option.name] = steps_with(plans[place], option)
    return steps


def sharing(plans: Sequence[TrainingPlan], few: int = FEW) -> list[list[int]]:
    """Places of the plans that may be stacked, so many or more; what is in none of them is worked out alone."""
    return alike(plans, few, _shared, _machine, kind)


def _shared(plan: TrainingPlan) -> tuple[Hashable, ...]:
    """What plans must have in common to be stacked."""
    return id(plan.model), id(plan.recipe), _shared_words(plan.workload)


def _shared_but_sizes(plan: TrainingPlan) -> Hashable:
    """The same of plans whose models may differ in numbers."""
    model, *others = _shared(plan)
    return model if plan.lora else structure(plan.model), *others


def kind(plan: TrainingPlan) -> Hashable:
    """What machines must have in common to be; raises InputError where there are no kernels."""
    return kind_of(machine_of(plan, plan.coefficients)), kind_of(plan.stack.memory)


def _machine(plan: TrainingPlan) -> tuple[Hashable, ...]:
    """Tells apart what plans run on."""
    return *map(id, _things(plan)), plan.options.stack_version, plan.widening_guesses


def as_arrays(
    plans: Sequence[TrainingPlan],
    origins: Sequence[TrainingPlan] | None = None,
    batches: Sequence[Any] | None = None,
    again: Sequence[Sequence[Again]] | None = None,
) -> TrainingPlan:
    """One plan whose layout and lengths are arrays, of plans that differ in nothing else.

    origins: of each plan, that tells what it runs on; batches: not their own; again: what each is to compute again,
    one way after another.
    """
    import numpy as np

    def short(values: NDArray[Any], index: Any = slice(None)) -> Any:
        """An array, or one value for all, which spares the formulas most of their work."""
        return values[0].item() if (values == values[0]).all() else values[index]

    index: Any = slice(None) if again is None else np.repeat(np.arange(len(plans)), list(map(len, again)))

    def every(things: list[Any], names: Iterable[str], kind: type = float) -> dict[str, Any]:
        return {name: short(np.fromiter(map(attrgetter(name), things), kind, len(things)), index) for name in names}

    layouts, works = [plan.layout for plan in plans], [plan.workload for plan in plans]
    rungs = chain(*again) if again is not None else ((one.recompute, one.recompute_layers) for one in layouts)
    recompute, layers = zip(*rungs, strict=True)
    rows = LayoutArrays(
        **every(layouts, DEGREES), **every(layouts, FLAGS, bool), recompute=short(np.array(recompute)),
        recompute_layers=short(np.array([inf if some is None else some for some in layers])),
    )  # fmt: skip
    lengths = every(works, LENGTHS)
    if batches is not None:
        lengths["global_batch"] = short(np.array(batches, dtype=float), index)
    first, machines = plans[0], Machines.of(plans, _machine) if origins is None else Machines.of(origins, id)
    whole = replace(first.with_layout(rows), model=model_of(plans, index), workload=replace(first.workload, **lengths))
    if machines is None:
        return whole
    machines = replace(machines, index=machines.index[index])
    return replace(whole, machines=machines, **dict(_on(first, machines)))


def on_machines(plans: Sequence[TrainingPlan], index: Any) -> TrainingPlan:
    """One plan of several that differ in nothing but what they run on, which runs along `index`: numbers of plans."""
    if len(plans) == 1:
        return plans[0]
    machines = Machines(tuple(plans), index)
    return replace(plans[0], machines=machines, **dict(_on(plans[0], machines)))


def _on(first: TrainingPlan, machines: Machines[TrainingPlan]) -> Iterator[tuple[str, Any]]:
    """What of a plan its formulas read of the machines themselves, in arrays."""
    memory = machines.each(lambda one: one.device.memory)
    yield "device", replace(first.device, memory=memory)
    count = machines.each(lambda one: one.cluster.devices_per_node)
    ratio = machines.each(lambda one: one.cluster.host_time_ratio)
    yield "cluster", replace(first.cluster, devices_per_node=count, host_time_ratio=ratio)
    yield "stack", replace(first.stack, memory=machines.each(lambda one: one.stack.memory))
    yield "coefficients", machines.each(lambda one: one.coefficients)
