"""From what a user asked `fit` about a served model to a search."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from llmplan.catalog.catalog import Catalog
from llmplan.errors import Fault, InputError
from llmplan.records import replace
from llmplan.schema import validated
from llmplan.search.ask import Ask
from llmplan.search.choices import OPEN, SERVING_DIMENSIONS, Choices
from llmplan.search.request import objective_of, opened, sizes
from llmplan.search.serving_goal import ServingSearch
from llmplan.search.serving_space import BATCHES
from llmplan.search.shared import each_shared
from llmplan.search.split import WORDS, asks_for_split
from llmplan.search.subjects import each_subject, has_many, made_for, merged_notes
from llmplan.search.terms import Market
from llmplan.serving.plan import COPIES, NOTHING_TO_WRITE, PREFILL, ServingPlan
from llmplan.serving.resolve import resolve_serving
from llmplan.serving.targets import TARGETS
from llmplan.setup.checks import expert_banks
from llmplan.setup.named import draft_of
from llmplan.setup.options import PlanOptions

PRECISIONS = ("weight_precision", "activation_precision", "kv_precision")
KNOWN = (*TARGETS, "max_cost_per_million")
"""Limits that a search of deployments can keep."""
POOL_COPIES = (COPIES, PREFILL + COPIES)
"""Options of the layouts that are searched, and the same in all of them."""


def serving_question(
    ask: Ask, catalog: Catalog, least_rate: float | None = None
) -> tuple[ServingSearch, tuple[str, ...]]:
    """The search that answers, and the sentences about what was assumed; raises InputError with every fault.

    least_rate: output tokens a second, of all devices [1/s].
    """
    wishes, open_ = ask.wishes, opened(ask, SERVING_DIMENSIONS, "training, and the workload is serve")
    numbers = sizes(open_.get("devices"), wishes.max_devices, 1)
    limits, market, many = _limits(ask), Market(catalog), has_many(ask)
    targets = {name: limits[name] for name in TARGETS if name in limits}
    objective, named = objective_of(wishes)
    money = "cost" in (objective, *(wishes.pareto or ())) or "max_cost_per_million" in limits

    def made(one: Ask) -> tuple[ServingPlan, ...]:
        plans = tuple(plan for base in _bases(one, open_, targets, catalog) for plan in each_shared(base, open_))
        if many:
            made_for(plans[0])
        if money:
            market.check(plans[0], numbers[-1])
        return plans

    subjects = each_subject(ask, catalog, made)
    if asks_for_split(open_) and (stages := open_.get("pp", OPEN).values) and 1 not in stages:
        raise InputError("--pp: devices that read prompts and devices that write are searched without pipeline stages")
    writes = all(base.workload.output_tokens > 1.0 for _, plans in subjects.found for base in plans)
    if not writes and (wishes.try_split or asks_for_split(open_)):
        raise InputError(NOTHING_TO_WRITE)
    asked = ServingSearch(
        tuple(base for _, plans in subjects.found for base in plans), numbers, wishes.max_devices, open_, objective,
        market, wishes.top, wishes.pareto, least_rate, limits.get("max_cost_per_million"), wishes.surely,
        subjects.left_out, wishes.try_split,
    )  # fmt: skip
    assumed = merged_notes(
        (options, [line for line in plans[0].assumptions if not line.startswith(("batch ", "tp ", "dp "))])
        for options, plans in subjects.found
    )
    if len({(base.layout.cp, base.workload.dcp) for base in asked.bases}) > 1:
        assumed.append("cp, dcp: devices may share prompts or caches, behind which no measured run stands")
    if asked.opens_batch:
        assumed.append(f"batch: powers of two up to {BATCHES[-1]}, and the most that keep the limits")
    return asked, (*assumed, *named)


def _limits(ask: Ask) -> dict[str, Any]:
    """Limits of the plan, and those of the command line over them; faults for those that are not of serving."""
    own = ask.wanted.options.limits
    limits = {**(own.stated() if own else {}), **ask.wishes.limits.stated()}
    unknown = [name for name in limits if name not in KNOWN]
    if unknown:
        raise InputError([Fault(f"{name} is no limit of serving; there are {', '.join(KNOWN)}") for name in unknown])
    return limits


def _bases(ask: Ask, open_: Choices, targets: dict[str, Any], catalog: Catalog) -> Iterator[ServingPlan]:
    """The plan on one device for each choice of precisions; its own layout is not used."""
    single: dict[str, Any] = {
        "devices": 1,
        "tp": 1,
        "pp": 1,
        "dp": 1,
        "cp": None,
        "ep": None,
        "dcp": None,
        **dict.fromkeys(POOL_COPIES),
    } | dict.fromkeys(WORDS)
    copies = {name: given for name in POOL_COPIES if (given := getattr(ask.wanted.options, name))}
    batch = open_.get("batch", OPEN).values
    if batch:
        single["batch"] = batch[0]
    for precisions in product(*(open_.get(name, OPEN).values or (None,) for name in PRECISIONS)):
        wanted = ask.wanted.changed(**single, **dict(zip(PRECISIONS, precisions, strict=True)))
        plan = resolve_serving(draft_of(wanted, catalog), catalog)
        given = {name: value for name, value in plan.options.stated().items() if name not in single}
        work = replace(plan.workload, **targets)
        if PREFILL + COPIES in copies and not (ask.wishes.try_split or asks_for_split(open_)):
            raise InputError("--prefill-redundant-experts goes with --try-split, or with options of the prefill pool")
        if copies and not expert_banks(plan.model):
            raise InputError([Fault(f"{name}: {plan.model.name} has no experts") for name in copies])
        yield replace(plan, options=validated(given | copies, PlanOptions), workload=work)
