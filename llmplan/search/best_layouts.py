"""The best layouts of many requests, as `compare --fit` sets them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from llmplan.errors import InputError
from llmplan.records import dataclass, replace
from llmplan.search.ask import Ask, Wishes
from llmplan.search.request import question
from llmplan.search.training import Search
from llmplan.search.winner import Spaces, winners
from llmplan.setup.many import each

if TYPE_CHECKING:
    from llmplan.answer.resolve import AnyPlan
    from llmplan.catalog.catalog import Catalog
    from llmplan.search.serving_goal import ServingSearch
    from llmplan.serving.plan import ServingPlan
    from llmplan.setup.request import Request


@dataclass(frozen=True, slots=True)
class BestLayouts:
    """Finds the best layouts of requests; what is legal for a model is worked out once."""

    catalog: Catalog
    spaces: Spaces = field(default_factory=lambda: Spaces({}))

    def plans(self, requests: Sequence[Request]) -> list[AnyPlan | InputError]:
        """Every plan with the best layout, or why there is none: the fastest that fits, else what misses by least.

        Devices are given, so it is the cheapest too.
        """
        found = each(self._asked, requests)
        trained = iter(winners([one for one in found if isinstance(one, Search)], self.spaces))
        served = iter(_served([one for one in found if not isinstance(one, (Search, InputError))]))
        plans = [
            one if isinstance(one, InputError) else next(trained if isinstance(one, Search) else served)
            for one in found
        ]
        return each(_taken, zip(requests, plans, strict=True))

    def _asked(self, request: Request) -> Search | ServingSearch:
        """The search that answers a request. The best is wanted whether or not it keeps the limits that the request has
        for `--check`."""
        ask = Ask(request.changed(limits=None), {}, Wishes(objective="throughput", top=1))
        if request.options.workload != "serve":
            return question(ask, self.catalog)[0]
        from llmplan.search.serving_request import serving_question

        return serving_question(ask, self.catalog)[0]


def _served(asked: Sequence[ServingSearch]) -> Sequence[ServingPlan | InputError | None]:
    if not asked:
        return ()
    from llmplan.search.serving import best_of_many

    return best_of_many(asked)


def _taken(found: tuple[Request, AnyPlan | InputError | None]) -> AnyPlan:
    """The plan with the limits of its request."""
    request, plan = found
    if isinstance(plan, InputError):
        raise plan
    if plan is None:
        raise InputError("no layout is legal")
    return replace(plan, options=replace(plan.options, limits=request.options.limits))
