"""Many plans at once, each answered or refused by itself: what shares a model and a machine is worked out together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from llmplan.answer.answer import Answer, answer_of
from llmplan.answer.resolve import resolve
from llmplan.answer.summary import PlanSummary, summary_of
from llmplan.errors import InputError
from llmplan.serving.estimate import estimate_serving
from llmplan.setup.request import Request
from llmplan.training.many import estimate_many
from llmplan.training.plan import TrainingPlan
from llmplan.version import __version__

if TYPE_CHECKING:
    from llmplan.answer.answer import Estimate
    from llmplan.answer.resolve import Plan
    from llmplan.catalog.catalog import Catalog

MadeT = TypeVar("MadeT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What stands in the place of an answer that there is none of."""

    schema: Literal["llmplan.refusal/1"] = "llmplan.refusal/1"
    llmplan_version: str = __version__
    line: int | None = None
    """Of the file, where the plan stands in one."""
    errors: tuple[str, ...]
    """Every fault of the plan."""


def answers(
    wanted: Sequence[Request | Plan | InputError], catalog: Catalog, *, summary: bool = False
) -> list[Answer | PlanSummary | InputError]:
    """An answer for every request, in their order; an InputError stands in the place of one that there is none of."""

    def resolved(one: Request | Plan) -> Plan:
        return resolve(one, catalog) if isinstance(one, Request) else one

    def answered(found: Estimate) -> Answer | PlanSummary:
        return summary_of(found, catalog) if summary else answer_of(found, catalog)

    return _each(answered, estimates(_each(resolved, wanted)))


def estimates(plans: Sequence[Plan | InputError]) -> list[Estimate | InputError]:
    """The estimate of every plan, to the last digit that of the plan alone."""
    trained = [plan for plan in plans if isinstance(plan, TrainingPlan)]
    found = iter(estimate_many(trained))

    def estimated(plan: Plan) -> Estimate:
        return next(found) if isinstance(plan, TrainingPlan) else estimate_serving(plan)

    return _each(estimated, plans)


def _each(make: Callable[[Any], MadeT], things: Iterable[Any]) -> list[MadeT | InputError]:
    """What is made of each thing, or why nothing is."""
    found: list[MadeT | InputError] = []
    for thing in things:
        try:
            found.append(thing if isinstance(thing, InputError) else make(thing))
        except InputError as error:
            found.append(error)
    return found
