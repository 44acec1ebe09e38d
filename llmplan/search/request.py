"""From what a user asked `fit` to a search: sizes, choices, one plan for each precision, and what was assumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from llmplan.catalog.catalog import Catalog
from llmplan.errors import Fault, InputError
from llmplan.records import replace
from llmplan.search.ask import Ask, Wishes
from llmplan.search.choices import DIMENSIONS, OPEN, SUBJECTS, Choice, Choices, choices
from llmplan.search.goal import Goal
from llmplan.search.space import LEAST_PIECE, MOST_MICRO_BATCH
from llmplan.search.subjects import each_subject, has_many, made_for, merged_notes
from llmplan.search.terms import Market
from llmplan.search.training import Search
from llmplan.setup.draft import Draft
from llmplan.setup.limits import Limits
from llmplan.setup.named import draft_of
from llmplan.setup.option_checks import check_options
from llmplan.training.open_layouts import ROUNDS, accumulated, whole
from llmplan.training.plan import TrainingPlan
from llmplan.training.published import nearest_published
from llmplan.training.resolve import base_plan

EVERY_NODE = 16
"""Numbers of nodes that are tried one by one; above, powers of two and one and a half times them."""


def question(ask: Ask, catalog: Catalog) -> tuple[Search, tuple[str, ...]]:
    """The search that answers, and the sentences about what was assumed; raises InputError with every fault."""
    wishes, open_ = ask.wishes, opened(ask, DIMENSIONS, "workload serve")
    if wishes.try_offload:
        open_["offload_optimizer"] = Choice((False, True))
    precisions = open_.get("precision", OPEN).values or (None,)
    market, many = Market(catalog), has_many(ask)
    objective, named = objective_of(wishes)
    limits = replace(ask.wanted.options.limits or Limits(), **wishes.limits.stated())
    goal = Goal(market, objective, limits, wishes.surely, wishes.pareto or ())

    def made(one: Ask) -> tuple[list[Draft], list[TrainingPlan]]:
        rest = one.wanted.changed(**dict.fromkeys(DIMENSIONS))
        drafts = [draft_of(rest.changed(precision=precision), catalog) for precision in precisions]
        plans = [_base(draft, catalog) for draft in drafts]
        if many:
            made_for(plans[0])
            if goal.counts_money:
                market.check(plans[0], plans[0].cluster.devices_per_node)
        return drafts, plans

    subjects = each_subject(ask, catalog, made)
    nodes = {plans[0].cluster.devices_per_node for _, (_, plans) in subjects.found}
    tried = {size for node in nodes for size in sizes(open_.get("devices"), wishes.max_devices, node)}
    devices = tuple(sorted(tried))
    bases: list[TrainingPlan] = []
    notes: list[tuple[Mapping[str, str], list[str]]] = []
    for options, (drafts, plans) in subjects.found:
        sized = [_with_batch(plan, ask, devices[-1]) for plan in plans]
        lines = [line for line in drafts[0].assumptions if not line.startswith("devices ")]  # what is searched for
        near = nearest_published(plans[0].model, plans[0].device.id, devices[-1])
        notes.append((options, [*lines, *_filled_in(ask, open_, sized[0], devices), *([near] if near else [])]))
        bases += sized
    asked = Search(tuple(bases), devices, open_, goal, wishes.top, wishes.pareto, subjects.left_out)
    return asked, (*merged_notes(notes), *named)


def opened(ask: Ask, dimensions: tuple[str, ...], foreign: str) -> dict[str, Choice]:
    """A choice for each dimension that was given; raises InputError for one that goes with something `foreign`."""
    own = {name: value for name, value in ask.wanted.options.stated().items() if name in dimensions}
    given = {name: value for name, value in ask.given.items() if name not in SUBJECTS}
    wrong = [name for name in given if name not in dimensions]
    if wrong:
        raise InputError([Fault(f"--{name.replace('_', '-')} goes with {foreign}") for name in wrong])
    return choices({**own, **given})


def objective_of(wishes: Wishes) -> tuple[str, list[str]]:
    """The objective, and a sentence where it was not named."""
    if wishes.objective is not None:
        return wishes.objective, []
    objective = "throughput" if wishes.max_devices is None else "devices"
    return objective, [f"objective {objective}: none was named"]


def _base(draft: Draft, catalog: Catalog) -> TrainingPlan:
    check_options(draft)
    return base_plan(draft, catalog)


def _with_batch(plan: TrainingPlan, ask: Ask, devices: int) -> TrainingPlan:
    """The plan with the batch that was given, or what is usual and gives each device of the largest size its share."""
    options = ask.wanted.options
    usual = accumulated(options, plan)
    batch = options.global_batch or (whole(usual, devices) if usual else ROUNDS * devices)
    return replace(plan, workload=replace(plan.workload, global_batch=batch))


def _filled_in(ask: Ask, open_: Choices, base: TrainingPlan, devices: tuple[int, ...]) -> Iterator[str]:
    """What was filled in, and where an open dimension ends before what is legal."""
    if open_.get("devices", OPEN).values is None:
        yield (
            f"devices: powers of two inside a node of {base.cluster.devices_per_node}, every number of nodes up to "
            f"{EVERY_NODE}, then powers of two and one and a half times them"
        )
    if ask.wanted.options.global_batch is None:
        batch = base.workload.global_batch
        each = batch // devices[-1]
        usual = (
            "about 4M tokens, usual in pre-training: " if accumulated(ask.wanted.options, base) > devices[-1] else ""
        )
        yield f"global_batch {batch}: {usual}{each} sequence{'s' * (each > 1)} for each of {devices[-1]} devices"
    yield from _where_choices_end(open_, base)


def _where_choices_end(open_: Choices, base: TrainingPlan) -> Iterator[str]:
    """Where open dimensions end."""
    known = base.stack.layouts
    one = [name for name in known.one if name not in open_]
    if one or known.zero or known.recompute:
        words = [f"{', '.join(one)} 1"] if one else []
        words += [f"zero {', '.join(map(str, known.zero))}"] if known.zero and "zero" not in open_ else []
        words += [f"recompute {', '.join(known.recompute)}"] if known.recompute and "recompute" not in open_ else []
        yield f"layouts: what {base.stack.id} can run ({'; '.join(words) or 'as given'})"
    if open_.get("micro_batch", OPEN).values is None:
        yield f"micro_batch: divisors of the global batch up to {MOST_MICRO_BATCH}"
    if open_.get("cp", OPEN).values is None and base.workload.seq_len >= 2 * LEAST_PIECE:
        yield f"cp: leaves a device at least {LEAST_PIECE} tokens of a sequence"


def sizes(devices: Choice | None, most: int | None, per_node: int) -> tuple[int, ...]:
    """Numbers of devices to try, ascending."""
    if devices is not None and most is not None:
        raise InputError(Fault("--devices and --max-devices exclude each other"))
    if devices is None and most is None:
        raise InputError(
            Fault("devices are missing: --devices N, or --max-devices N for the smallest cluster that does it")
        )
    if devices is not None and devices.values is not None:
        return tuple(devices.values)
    low, high = (1, most) if devices is None else (max(1, devices.low), devices.high)
    assert high is not None
    found = {n for n in _usual(per_node, high) if low <= n <= high}  # a larger limit never tries fewer sizes
    return tuple(sorted(found)) or (high,)


def _usual(per_node: int, most: int) -> Iterator[int]:
    """Powers of two inside a node, then whole nodes."""
    inside = 1
    while inside < min(per_node, most + 1):
        yield inside
        inside *= 2
    for nodes in range(1, EVERY_NODE + 1):
        yield nodes * per_node
    nodes = EVERY_NODE
    while nodes * per_node <= most:
        yield nodes * per_node
        yield nodes * per_node * 3 // 2
        nodes *= 2
