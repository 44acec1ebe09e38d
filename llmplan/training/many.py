"""Many trainings at once: plans that share a model and a recipe go through the formulas as arrays.

Devices, clusters, degrees, micro-batches, sharding, recomputation and lengths run along the arrays; the formulas are
those of one plan, and what comes out is equal to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from llmplan.formulas.numeric import real
from llmplan.records import names, replace
from llmplan.setup.layout import LayoutArrays
from llmplan.setup.many import Machines, alike, column, each, kind_of, unstacked
from llmplan.training.choose import ONE_BY_ONE, LayoutEvaluator, fewest_layers, peak_of
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
FEW = 6
"""Plans of a kind below which arrays take longer than one after the other."""
SEVERAL = 16
"""The same of open plans, of which not all would be worked out."""
ROWS = 8192
"""Plans that are evaluated at a time: their arrays stay in a core's cache."""
LENGTHS = ("seq_len", "global_batch")
"""Options of a workload that run along the arrays; the others choose between formulas, as `tokens` does not."""
_shared_words = attrgetter(*(name for name in names(TrainingWorkload) if name not in (*LENGTHS, "tokens")))


def estimate_many(plans: Sequence[TrainingPlan]) -> list[TrainingEstimate]:
    """The estimate of every plan, in their order: what `estimate` gives of each."""
    found: dict[int, TrainingEstimate] = {}
    for places in sharing(plans):
        for start in range(0, len(places), ROWS):
            part = places[start : start + ROWS]
            some = [plans[place] for place in part]
            figures = unstacked(figures_of(as_arrays(some)), len(part))
            found |= zip(part, map(estimate_of, some, figures), strict=True)
    return [found[place] if place in found else estimate(plan) for place, plan in enumerate(plans)]


def chosen_of_many(found: Sequence[OpenTraining]) -> list[TrainingPlan | InputError]:
    """The plan that is taken of what each request leaves open, as `chosen` gives it, or why there is none."""
    first = _taken(found)
    more = {place: one.further for place, one in enumerate(first) if isinstance(one, Taken)}
    beyond = {place: one for place, one in more.items() if one is not None}
    for place, one in zip(beyond, _taken(list(beyond.values())), strict=True):
        first[place] = one
    layers = _fewest_layers([one for one in first if isinstance(one, Taken) and one.eased])
    return each(lambda one: completed(one, layers.get(id(one))), first)


def _taken(found: Sequence[OpenTraining]) -> list[Taken | InputError]:
    by = evaluator_of(found)
    return each(lambda one: taken(one, by), found)


def _fewest_layers(found: Sequence[Taken]) -> dict[int, float]:
    """`fewest_layers` of each, by its `id`."""
    layers: dict[int, float] = {}
    plans = [one.plan for one in found]
    together = sharing(plans)
    for places in together:
        many = column(fewest_layers(as_arrays([plans[place] for place in places])), len(places))
        layers |= zip((id(found[place]) for place in places), many, strict=True)
    alone = set(range(len(plans))).difference(*together)
    return layers | {id(found[place]): real(fewest_layers(plans[place])) for place in alone}


def evaluator_of(opened: Sequence[OpenTraining]) -> LayoutEvaluator:
    """What works out the open plans of many requests, all of them at once where there are several of a request."""
    asked = [(one.sound, one.compared) for one in opened if not one.decided]
    timed = [(plans, batch) for plans, batch in asked if batch is not None]
    peaks = _worked_out([(plans, None) for plans, _ in asked], lambda many, count: unstacked(peak_of(many), count))
    seconds = _worked_out(timed, lambda many, count: column(real(training_time(many).step_seconds), count))

    def peak(plan: TrainingPlan) -> Interval:
        return peaks[id(plan)] if id(plan) in peaks else ONE_BY_ONE.peak(plan)

    def time(plan: TrainingPlan, batch: int) -> float:
        return seconds[id(plan)] if id(plan) in seconds else ONE_BY_ONE.seconds(plan, batch)

    return LayoutEvaluator(peak, time)


def _worked_out(
    wanted: Sequence[tuple[Sequence[TrainingPlan], float | None]],
    figures: Callable[[TrainingPlan, int], Iterable[FigureT]],
) -> dict[int, FigureT]:
    """A figure of every plan, by its `id`; where few are alike, of none.

    wanted: what each request leaves open, all of one kind, and sequences a step [1]; None = those of each plan;
    figures: of so many plans in one.
    """
    found: dict[int, FigureT] = {}
    for places in sharing([plans[0] for plans, _ in wanted], 1):
        requests = [wanted[place] for place in places]
        every = [(plan, batch or plan.workload.global_batch) for plans, batch in requests for plan in plans]
        for start in range(0, len(every), ROWS) if len(every) >= SEVERAL else ():
            part = every[start : start + ROWS]
            many = as_arrays([plan for plan, _ in part], [batch for _, batch in part])
            found |= zip((id(plan) for plan, _ in part), figures(many, len(part)), strict=True)
    return found


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


def _shared(plan: TrainingPlan) -> Hashable:
    """What plans must have in common to be stacked."""
    return id(plan.model), id(plan.recipe), _shared_words(plan.workload)


def kind(plan: TrainingPlan) -> Hashable:
    """What machines must have in common to be; raises InputError where there are no kernels."""
    return kind_of(machine_of(plan, plan.coefficients)), kind_of(plan.stack.memory)


def _machine(plan: TrainingPlan) -> tuple[Hashable, ...]:
    """Tells apart what plans run on."""
    own = id(plan.device), id(plan.cluster), id(plan.stack), id(plan.coefficients)
    return *own, plan.options.stack_version, plan.widening_guesses


def as_arrays(plans: Sequence[TrainingPlan], batches: Sequence[Any] | None = None) -> TrainingPlan:
    """One plan whose layout and lengths are arrays, of plans that differ in nothing else; batches: not their own."""
    import numpy as np

    def numbers(names: tuple[str, ...], things: list[Any]) -> NDArray[np.float64]:
        return np.array(list(map(attrgetter(*names), things)), dtype=float).T

    layouts, names = [plan.layout for plan in plans], tuple(field.name for field in fields(LayoutArrays))
    flags = np.array([(one.sequence_parallel, one.offload_optimizer) for one in layouts]).T
    again = [np.inf if one.recompute_layers is None else one.recompute_layers for one in layouts]
    columns = [*numbers(names[:-4], layouts), np.array(again), *flags, np.array([one.recompute for one in layouts])]
    rows = LayoutArrays(**dict(zip(names, columns, strict=True)))
    lengths = dict(zip(LENGTHS, numbers(LENGTHS, [plan.workload for plan in plans]), strict=True))
    if batches is not None:
        lengths["global_batch"] = np.array(batches, dtype=float)
    first, machines = plans[0], Machines.of(plans, _machine)
    whole = replace(first.with_layout(rows), workload=replace(first.workload, **lengths))
    return whole if machines is None else replace(whole, machines=machines, **dict(_on(first, machines)))


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
    yield "cluster", replace(first.cluster, devices_per_node=count)
    yield "stack", replace(first.stack, memory=machines.each(lambda one: one.stack.memory))
    yield "coefficients", machines.each(lambda one: one.coefficients)
