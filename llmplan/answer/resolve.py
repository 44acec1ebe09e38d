"""From what was asked to a plan of either kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.errors import Fault, InputError
from llmplan.model.model import Model
from llmplan.setup.named import draft_of
from llmplan.setup.options import PlanOptions
from llmplan.setup.request import Request, request

if TYPE_CHECKING:
    from llmplan.serving.plan import ServingPlan
    from llmplan.training.plan import TrainingPlan

AnyPlan: TypeAlias = "TrainingPlan | ServingPlan"
"""A plan of either kind."""


def plan_from(
    options: PlanOptions | Mapping[str, Any], *, catalog: Catalog | None = None, model: Model | None = None
) -> AnyPlan:
    """A complete plan from a `Plan` or a mapping in its words: everything left out is filled in, and says why.

    model: a model at hand, instead of the one that the options name.

    `plan_from({"model": "llama-3.1-8b", "hardware": "h100", "devices": 8})`
    """
    wanted = Request(options) if isinstance(options, PlanOptions) else request(options)
    return resolve(wanted, catalog, model)


def resolve(wanted: Request, catalog: Catalog | None = None, model: Model | None = None) -> AnyPlan:
    """One request as a plan: checked, complete, and saying what was assumed."""
    catalog = catalog or open_catalog()
    if wanted.options.workload == "serve":
        from llmplan.serving.resolve import resolve_serving

        return resolve_serving(draft_of(wanted, catalog), catalog, model)
    from llmplan.training.resolve import resolve_training

    return resolve_training(draft_of(wanted, catalog), catalog, model)


def resolve_all(wanted: Iterable[Request], catalog: Catalog | None = None) -> list[AnyPlan]:
    """Every request as a plan; raises InputError with the faults of all of them."""
    plans: list[AnyPlan] = []
    faults: dict[Fault, None] = {}  # each once, in their order
    for one in wanted:
        try:
            plans.append(resolve(one, catalog))
        except InputError as error:
            faults |= dict.fromkeys(error.faults)
    if faults:
        raise InputError(faults)
    return plans
