"""Many plans at once, each answered or refused by itself: what shares a model and a machine is worked out together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from llmplan.answer.answer import Answer, answer_of, outline_of
from llmplan.answer.resolve import resolve
from llmplan.answer.serving_waits import waits_of_many as serving_waits
from llmplan.answer.summary import PlanSummary, summary_of
from llmplan.answer.waits import waits_of_many
from llmplan.errors import InputError
from llmplan.records import dataclass
from llmplan.serving.estimate import ServingEstimate, estimate_serving
from llmplan.serving.many import estimate_many as deployments
from llmplan.serving.plan import ServingPlan
from llmplan.setup.many import each, one_by_one
from llmplan.setup.named import draft_of
from llmplan.setup.request import Request
from llmplan.training.estimate import TrainingEstimate
from llmplan.training.many import chosen_of_many, steps_with_options
from llmplan.training.many import estimate_many as estimate_trainings
from llmplan.training.plan import TrainingPlan
from llmplan.training.resolve import OpenTraining, open_training
from llmplan.version import __version__

if TYPE_CHECKING:
    from llmplan.answer.answer import Estimate
    from llmplan.answer.resolve import AnyPlan
    from llmplan.catalog.catalog import Catalog
    from llmplan.model.model import Model

MOST_OPEN = 16_384
"""Plans that are held while a batch is resolved, open ones of a request among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The answer to a plan that cannot be estimated."""

    schema: Literal["llmplan.refusal/1"] = "llmplan.refusal/1"
    llmplan_version: str = __version__
    line: int | None = None
    """Of the file, where the plan stands in one."""
    errors: tuple[str, ...]
    """Every fault of the plan."""


def answers(
    wanted: Sequence[Request | AnyPlan | InputError], catalog: Catalog, *, summary: bool = False
) -> list[Answer | PlanSummary | InputError]:
    """An answer for every request, in order; an InputError for a request that has none."""
    found = _estimated(wanted, catalog, said=not summary)
    if summary:
        return [*each(lambda one: summary_of(one, catalog), found)]
    trainings = [one for one in found if isinstance(one, TrainingEstimate)]
    trained = zip(waits_of_many([one.plan for one in trainings]), steps_with_options(trainings), strict=True)
    served = iter(serving_waits([one for one in found if isinstance(one, ServingEstimate)]))

    def answered(one: Estimate) -> Answer:
        if isinstance(one, TrainingEstimate):
            return answer_of(one, catalog, *next(trained))
        return answer_of(one, catalog, next(served))

    return [*each(answered, found)]


def outlines(wanted: Sequence[Request | AnyPlan | InputError], catalog: Catalog) -> list[Answer | InputError]:
    """The same with the figures alone, as `outline_of` has them."""
    return each(lambda one: outline_of(one, catalog), _estimated(wanted, catalog, said=False))


def _estimated(
    wanted: Sequence[Request | AnyPlan | InputError], catalog: Catalog, *, said: bool
) -> list[Estimate | InputError]:
    def plan(one: Request | AnyPlan) -> OpenTraining | AnyPlan:
        return opened(one, catalog) if isinstance(one, Request) else one

    return estimates(list(decided(one_by_one(plan, wanted), said=said)))


def opened(one: Request, catalog: Catalog, model: Model | None = None) -> OpenTraining | AnyPlan:
    """A request as a plan, or as what it leaves open; model: one at hand, not the named one."""
    if one.options.workload == "serve":
        return resolve(one, catalog, model)
    return open_training(draft_of(one, catalog), catalog, model)


def decided(
    wanted: Iterable[OpenTraining | AnyPlan | InputError], *, said: bool = True
) -> Iterator[AnyPlan | InputError]:
    """Every plan; the layouts that several leave open are worked out together, so many at a time.

    said: with what is assumed of trainings.
    """
    waiting: list[OpenTraining | AnyPlan | InputError] = []
    plans = 0
    for found in wanted:
        waiting.append(found)
        plans += found.plans if isinstance(found, OpenTraining) else 1
        if plans > MOST_OPEN:
            yield from _chosen(waiting, said)
            waiting, plans = [], 0
    yield from _chosen(waiting, said)


def _chosen(found: list[OpenTraining | AnyPlan | InputError], said: bool) -> list[AnyPlan | InputError]:
    plans = iter(chosen_of_many([one for one in found if isinstance(one, OpenTraining)], said=said))
    return [next(plans) if isinstance(one, OpenTraining) else one for one in found]


def estimates(plans: Sequence[AnyPlan | InputError]) -> list[Estimate | InputError]:
    """The estimate of every plan, to the last digit that of the plan alone."""
    trained = iter(estimate_trainings([plan for plan in plans if isinstance(plan, TrainingPlan)]))
    served = iter(deployments([plan for plan in plans if isinstance(plan, ServingPlan)]))

    def estimated(plan: AnyPlan) -> Estimate:
        return next(trained) if isinstance(plan, TrainingPlan) else next(served) or estimate_serving(plan)

    return each(estimated, plans)
