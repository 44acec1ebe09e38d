"""`fit`: the best of all layouts or deployments, or why there is none and what would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.catalog.catalog import Catalog
from llmplan.digits import whole_number
from llmplan.errors import InputError
from llmplan.search.answering import maximized, minimized, serving_answer, training_answer
from llmplan.search.ask import Ask
from llmplan.search.request import question
from llmplan.search.training import search

if TYPE_CHECKING:
    from llmplan.search.answers import FitAnswer


MOST_SAID = 10**15
"""Of devices; a search has its own limit, which it tells."""


def answered(
    ask: Ask, catalog: Catalog, *, least_rate: float | None = None, maximize: str | None = None,
    minimize: str | None = None,
) -> FitAnswer:  # fmt: skip
    """The answer to what was asked; least_rate: output tokens a second in serving [1/s]; maximize, minimize: what,
    instead."""
    serves = ask.wanted.options.workload == "serve"
    if least_rate is not None and not serves:
        raise InputError("--min-output-tokens-per-second goes with workload serve")
    if maximize is not None:
        from llmplan.search.most import most

        return maximized(ask, maximize, most(ask, maximize, catalog), catalog)
    if minimize == "memory-fraction":
        from llmplan.search.most import least

        return minimized(ask, least(ask, catalog), catalog)
    if minimize == "devices":
        ask = _fewest_devices(ask)
    return _deployments(ask, catalog, least_rate) if serves else _layouts(ask, catalog)


def _fewest_devices(ask: Ask) -> Ask:
    """The question for the smallest cluster, up to the devices that were given."""
    said = ask.wishes.max_devices or ask.wanted.options.devices or ask.given.get("devices")
    most_devices = whole_number(str(said), MOST_SAID)
    if most_devices is None:
        raise InputError("--minimize devices wants the most there may be: --devices N or --max-devices N")
    return ask.changed({"devices": None}, objective="devices", max_devices=most_devices)


def _layouts(ask: Ask, catalog: Catalog) -> FitAnswer:
    asked, assumed = question(ask, catalog)
    found = search(asked)
    changes = []
    if not found.best:
        from llmplan.search.advice import what_would_do

        changes = what_would_do(ask, asked, catalog)
    return training_answer(ask, asked, found, assumed, changes, catalog)


def _deployments(ask: Ask, catalog: Catalog, least_rate: float | None) -> FitAnswer:
    from llmplan.search.serving import search_serving
    from llmplan.search.serving_request import serving_question

    asked, assumed = serving_question(ask, catalog, least_rate)
    found = search_serving(asked)
    changes = []
    if not found.best:
        from llmplan.search.advice import what_would_serve

        changes = what_would_serve(ask, asked, catalog)
    return serving_answer(ask, asked, found, assumed, changes, catalog)
