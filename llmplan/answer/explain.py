"""Figures of an estimate walked down to the catalogue fields and options that they were read from.

The plan is estimated once more with numbers that remember how they were made, so that an explanation is the calculation
itself: no figure, branch or origin is shown that the planner did not take.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from llmplan.answer.named import named
from llmplan.answer.origins import Origins, shown
from llmplan.answer.recording import Constant, defined_in, recorded
from llmplan.answer.terms import Figures, Term, terms_of
from llmplan.errors import InputError
from llmplan.records import dataclass, replace
from llmplan.training.plan import TrainingPlan

if TYPE_CHECKING:
    from llmplan.answer.resolve import AnyPlan
    from llmplan.catalog.catalog import Catalog
    from llmplan.model.encoder_input import EncoderInput
    from llmplan.serving.plan import ServingPlan, ServingWorkload


@dataclass(frozen=True, slots=True)
class Explained:
    """Figures that remember, by term, and where their leaves were read."""

    plan: AnyPlan
    terms: dict[str, Term]
    values: dict[str, Any]
    origins: Origins

    def entries(self) -> Iterator[tuple[str, str, dict[str, str]]]:
        """The catalogue entries of the plan: file, date, and what it names as sources of what."""
        plan, catalog = self.plan, self.origins.catalog
        for kind, entry in (("devices", plan.device), ("clusters", plan.cluster), ("stacks", plan.stack)):
            sources = {source.what: source.where for source in entry.sources}
            if kind == "devices" and plan.device.efficiency.source:
                sources["measured efficiency"] = plan.device.efficiency.source
            yield shown(catalog.find(kind, entry.id)), entry.date, sources

    def origin(self, number: Any) -> str:
        """Where a leaf was read."""
        if isinstance(number.note, Constant):
            return f"{defined_in(number.note)}: {number.note.name}"
        return self.origins.of(str(number.note))


def explain(plan: AnyPlan, catalog: Catalog, names: Sequence[str]) -> Explained:
    """Terms of a plan; those that are nothing are left out unless asked for alone. InputError where none is known."""
    known, (remembering, file) = terms_of(plan), _named_plan(plan, catalog)
    figures, plain = Figures(remembering, catalog), Figures(plan, catalog)
    asked = [name for name in names if not figures.simulates(name)]
    asked = [name for name in asked if known[name].read(plain) is not None]  # loads all that is to be recorded
    with recorded():
        found = {name: known[name].read(figures) for name in asked}
    kept = {name: value for name, value in found.items() if value != 0 or len(names) == 1}
    if not kept:
        raise InputError(figures.why_nothing(names[0]))
    return Explained(plan, {name: known[name] for name in kept}, kept, Origins(plan, catalog, file))


def _named_plan(plan: AnyPlan, catalog: Catalog) -> tuple[AnyPlan, str]:
    """The plan with every number named, and the file of its model where that was read again."""
    model, file = _named_model(plan, catalog)
    parts = ("device", "cluster", "coefficients", "layout", "workload", "stack", "options", "recipe", "engine",
             "prefill", "image", "sound")  # fmt: skip
    new = {part: named(getattr(plan, part), part) for part in parts if hasattr(plan, part)}
    if not isinstance(plan, TrainingPlan) and plan.encoded_tokens:
        new["workload"] = _with_encoded(plan, new["workload"], new["image"], new["sound"])
    return replace(plan, model=named(model, "model"), **new), file


def _with_encoded(
    plan: ServingPlan, work: ServingWorkload, image: EncoderInput | None, sound: EncoderInput | None
) -> ServingWorkload:
    """The workload with its prompt put together from text, images and sound."""
    prompt = named(plan.workload.input_tokens - plan.encoded_tokens, "workload.input_tokens")
    prompt = prompt + (0 if image is None else (work.images or 0) * image.tokens)
    return replace(work, input_tokens=prompt + (0 if sound is None else sound.tokens))


def _named_model(plan: AnyPlan, catalog: Catalog) -> tuple[Any, str]:
    """The model put together from the named numbers of its entry, where it is the plan's; else as it is."""
    from llmplan.catalog.load_model import find_model

    given = plan.options.model
    if not isinstance(given, str):
        return plan.model, ""
    try:
        found = find_model(given, catalog)
    except InputError:  # the path was written in a plan file of another folder
        return plan.model, ""
    model = found.lowered(named(found.spec, "spec"))
    return (model, str(found.file)) if model == plan.model else (plan.model, "")
