"""From a request to the plan of a training: defaults, an open layout chosen, everything that contradicts itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmplan.catalog.catalog import Catalog
from llmplan.errors import Fault, InputError
from llmplan.formatting import binary
from llmplan.formulas.numeric import real
from llmplan.model.model import Model
from llmplan.records import dataclass, names, replace
from llmplan.setup.checks import Problem
from llmplan.setup.draft import Draft
from llmplan.setup.layout import RECOMPUTE, Layout
from llmplan.setup.option_checks import check_options, count_devices
from llmplan.setup.options import PlanOptions
from llmplan.setup.subject import MOST_KEPT, is_lasting, subject_of
from llmplan.training.checks import problems_of
from llmplan.training.choose import (
    ONE_BY_ONE,
    LayoutEvaluator,
    Rungs,
    fastest_that_fits,
    fewest_layers,
    first_that_fits,
)
from llmplan.training.defaults import workload_of
from llmplan.training.methods import fitted
from llmplan.training.open_layouts import OpenLayouts, assume_guesses, assume_layout, guesses
from llmplan.training.plan import TrainingPlan
from llmplan.training.recompute import chunk_layers

UNDIVIDED = Layout()
"""One device."""


def resolve_training(draft: Draft, catalog: Catalog, model: Model | None = None) -> TrainingPlan:
    """A request as a plan: checked, complete, and saying what was assumed; raises InputError with every fault."""
    return chosen(open_training(draft, catalog, model))


@dataclass(frozen=True, slots=True)
class OpenTraining:
    """A request whose options are checked, with the plans that it leaves open.

    origin: `base` with other lengths, the same object for requests that differ in layout and lengths alone;
    sound: those that do not contradict themselves, in the order to try; at least one.
    """

    draft: Draft
    open: OpenLayouts
    origin: TrainingPlan
    base: TrainingPlan
    sound: list[Rungs]

    @property
    def plans(self) -> int:
        """How many are open."""
        return sum([len(rungs.again) for rungs in self.sound])

    @property
    def decided(self) -> bool:
        """Whether one plan is taken whether it fits or not."""
        return len(self.sound) == len(self.sound[0].again) == 1 and not self.open.beyond

    @property
    def compared(self) -> int | None:
        """Sequences a step that open plans are timed with [1]; None where the first that fits is taken."""
        return self.open.compared(self.draft.options, self.base) if self.open.free and self.plans > 1 else None

    def further(self) -> OpenTraining | None:
        """What is open where none of the plans fits; None where nothing is."""
        if not self.open.beyond:
            return None
        open_ = self.open.further()
        sound, _ = _sound(open_.plans(self.draft.options, self.base))
        return OpenTraining(self.draft, open_, self.origin, self.base, sound) if sound else None


def open_training(draft: Draft, catalog: Catalog, model: Model | None = None) -> OpenTraining:
    """What a request leaves open; raises InputError with every fault."""
    check_options(draft)
    devices = count_devices(draft)
    origin = _origin(draft, catalog, model)
    base = _varied(origin, draft.options)
    open_ = OpenLayouts.of(draft.options, devices, base)
    sound, problems = _sound(open_.plans(draft.options, base))
    if not sound:
        for message, names in problems or _nothing_open(draft.options, devices, base.model):
            draft.fault(message, *names)
        draft.check()
    return OpenTraining(draft, open_, origin, base, sound)


def chosen(found: OpenTraining) -> TrainingPlan:
    """The plan that is taken of those that are open; what was taken is noted."""
    one = taken(found)
    if (more := one.further) is not None:
        one = taken(more)
    return completed(one, real(fewest_layers(one.plan)) if one.eased else None)


@dataclass(frozen=True, slots=True)
class Taken:
    """The plan that is taken of those that are open, and whether it fits."""

    open: OpenTraining
    plan: TrainingPlan
    fits: bool

    @property
    def further(self) -> OpenTraining | None:
        """What is open where none of the plans fits; None where nothing is."""
        return None if self.fits else self.open.further()

    @property
    def eased(self) -> bool:
        """Whether fewer layers may be computed again than the plan does, which fits with all of them."""
        open_, plan = self.open.open, self.plan
        several = len(open_.recompute) > 1 and (open_.free or open_.default is None)
        return self.fits and several and plan.layout.recompute == RECOMPUTE[-1] and plan.stack.layouts.recompute_layers


def taken(found: OpenTraining, by: LayoutEvaluator = ONE_BY_ONE) -> Taken:
    """The plan that is taken of those that are open."""
    batch = found.compared
    if found.decided:
        return Taken(found, found.sound[0].at(0), True)
    if batch is not None:
        return Taken(found, *fastest_that_fits(found.sound, batch, by))
    certain = found.open.default is None and not found.draft.request.ran
    return Taken(found, *first_that_fits(found.sound, by, surely=certain))


def completed(found: Taken, layers: float | None = None, *, said: bool = True) -> TrainingPlan:
    """The plan that was taken.

    layers: of each virtual stage that are computed again [1]; None = as they are; said: with what is assumed, which
    figures alone do not need.
    """
    plan, open_, draft = found.plan, found.open.open, found.open.draft
    options, layout = draft.options, plan.layout
    if layers is not None and layers < chunk_layers(plan):
        layout = replace(layout, recompute_layers=int(layers))
    plan = replace(plan, layout=layout, guessed=guesses(options, plan, open_))
    if not said:
        return plan
    assume_layout(draft, plan, open_, fits=found.fits)
    if not options.guessed:
        assume_guesses(draft, plan)
    return replace(plan, assumptions=tuple(draft.assumptions))


_VARIED = frozenset(("devices", "seq_len", "global_batch", *names(Layout)))
"""Options that what `base_plan` assumes does not hang on."""


def base_plan(draft: Draft, catalog: Catalog, model: Model | None = None) -> TrainingPlan:
    """All of a plan but its layout, which is left at one device; raises the faults of the draft."""
    return _varied(_origin(draft, catalog, model), draft.options)


def _varied(origin: TrainingPlan, options: PlanOptions) -> TrainingPlan:
    """The plan with the lengths of these options."""
    work = origin.workload
    work = replace(work, seq_len=options.seq_len or work.seq_len, global_batch=options.global_batch or 1)
    return replace(origin, workload=work, options=options)


def _origin(draft: Draft, catalog: Catalog, model: Model | None) -> TrainingPlan:
    """`base_plan` with the lengths of the first of all that differ in layout and lengths alone: the same object."""
    options = draft.options
    if not is_lasting(options, catalog, model):
        return _base_plan(draft, catalog, model)
    words = [word for word in options.stated().items() if word[0] not in _VARIED]
    key = id(model), options.seq_len is None, *words
    kept: dict[Any, tuple[TrainingPlan, list[str], Model | None]] = catalog.once("trainings", dict)
    if key not in kept:
        if len(kept) >= MOST_KEPT:
            kept.clear()
        first = Draft(draft.request, list(draft.faults))
        plan = _base_plan(first, catalog, model)
        if first.request is not draft.request or plan.workload.target_len is not None:
            draft.request, draft.assumptions = first.request, draft.assumptions + first.assumptions
            return plan
        kept[key] = plan, first.assumptions, model  # which is held, so that its `id` stays its own
    plan, assumptions, _ = kept[key]
    draft.check()
    draft.assumptions += assumptions
    return plan


def _base_plan(draft: Draft, catalog: Catalog, model: Model | None) -> TrainingPlan:
    subject = subject_of(draft, catalog, model)
    recipe = subject.release.recipe
    if recipe is None:
        raise InputError(Fault(f"stack {subject.stack.id} does not train"))
    workload = workload_of(draft, subject.model, subject.device, recipe)
    memory, reserve = subject.device.memory, workload.memory_reserve or 0.0
    if reserve >= memory.capacity - memory.reserved:
        draft.fault(f"memory_reserve {binary(reserve, 3)} leaves nothing of {subject.device.id}", "memory_reserve")
    draft.check()
    return TrainingPlan(
        model=fitted(subject.model, workload.method), device=subject.device, cluster=subject.cluster,
        layout=UNDIVIDED, workload=workload,
        stack=subject.stack, coefficients=subject.release.coefficients, recipe=recipe, options=draft.request.options,
        guessed=draft.options.guessed or (),
    )  # fmt: skip


def _sound(plans: Iterable[Rungs]) -> tuple[list[Rungs], list[Problem]]:
    """The plans that do not contradict themselves, which no recomputation does; where there is none, the fewest
    problems that one has."""
    sound: list[Rungs] = []
    fewest: list[Problem] = []
    for rungs in plans:
        problems = problems_of(rungs.plan)
        if not problems:
            sound.append(rungs)
        elif not fewest or len(problems) < len(fewest):
            fewest = problems
    return sound, fewest


def _nothing_open(options: PlanOptions, devices: int, model: Model) -> list[Problem]:
    """No degrees exist at all: dp leaves a number of devices that tp and pp cannot make."""
    room = devices // (options.cp or 1) // (options.dp or 1)
    message = f"no tp in powers of two and pp up to the {model.layer_count} layers of {model.name} make {room} devices"
    return [(f"{message}; give tp and pp", ("devices", "dp"))]
