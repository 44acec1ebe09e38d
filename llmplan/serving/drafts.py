"""What drafts tokens for a model to check: its options, what it holds, and the time of one draft."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llmplan.catalog.load_model import find_model
from llmplan.formulas.numeric import real, where
from llmplan.formulas.speculation import accepted_tokens
from llmplan.machine.precision import WIDE_BYTES
from llmplan.records import replace
from llmplan.setup.checks import tensor_problems
from llmplan.software.band import Interval
from llmplan.software.drafts import DraftTable
from llmplan.work.states import local_parameters

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog
    from llmplan.formulas.numeric import Num
    from llmplan.model.layer import Layer
    from llmplan.model.model import Model
    from llmplan.serving.plan import ServingPlan, ServingWorkload
    from llmplan.setup.draft import Draft
    from llmplan.setup.options import PlanOptions
    from llmplan.software.engine import ServingPolicy

DRAFT_MODEL, MEDUSA = "draft-model", "medusa"


def draft_options(
    draft: Draft, work: ServingWorkload, policy: ServingPolicy, catalog: Catalog
) -> tuple[ServingWorkload, Model | None]:
    """The workload with what its drafts need, and the model that drafts, if one does; faults for missing options."""
    options = draft.options
    kind = work.speculation
    if kind != DRAFT_MODEL and options.draft_model is not None:
        draft.fault("draft_model goes with speculation draft-model", "draft_model", "speculation")
    if kind == "none":
        for name in ("draft_tokens", "acceptance"):
            if getattr(options, name) is not None:
                draft.fault(f"{name} goes with speculation, and none was named", name)
        return work, None
    if options.draft_tokens is None:
        fewer = policy.draft_tokens_spread
        where_spread = "" if fewer is None else f"; {fewer} where attention is data parallel"
        draft.assume("draft_tokens", policy.draft_tokens, f"the stack's{where_spread}")
    if options.acceptance is None and kind == "mtp":
        draft.assume("acceptance", policy.acceptance, "the stack's; it hangs on the text, measure yours")
    elif options.acceptance is None:
        table = catalog.table("drafts", DraftTable).acceptance
        if kind not in table:
            draft.fault("acceptance is missing: that of a draft model hangs on both models, measure it", "speculation")
            return work, None
        work = replace(work, acceptance=table[kind])
        draft.assume("acceptance", table[kind], f"{kind}'s as published; it hangs on the text, measure yours")
    if kind != DRAFT_MODEL:
        return work, None
    if options.draft_model is None:
        draft.fault("draft_model is missing: which model drafts?", "speculation")
        return work, None
    name = options.draft_model
    found = draft.read("draft_model", lambda: find_model(name, catalog, download=bool(options.download)))
    return work, None if found is None else found.model


def drafted_tokens(work: ServingWorkload, policy: ServingPolicy, layout: Any) -> Num:
    """Tokens that are drafted for a sequence and checked in one step [1]: fewer where devices exchange tokens of their
    own sequences, whose steps are full without."""
    if work.draft_tokens is not None or policy.draft_tokens_spread is None:
        return real(work.draft_tokens or policy.draft_tokens)
    apart: Any = 1.0 * layout.ep > 1.0 * layout.tp
    return where(apart, real(policy.draft_tokens_spread), real(policy.draft_tokens))


def spread_of(work: ServingWorkload, options: PlanOptions, catalog: Catalog) -> float:
    """How far the acceptance may be off, where it was not given [1]."""
    if work.speculation == "none" or options.acceptance is not None:
        return 0.0
    return catalog.table("drafts", DraftTable).spread


def widened(found: Interval, plan: ServingPlan, drafted: Num) -> Interval:
    """A time per token with what its acceptance may be off, both apart from each other: ends far on a logarithmic
    scale by the root of the sum of squares; drafted: tokens of a step [1]."""
    spread = plan.acceptance_spread
    if spread == 0.0:
        return found
    right = plan.workload.acceptance or plan.engine.policy.acceptance
    written = real(accepted_tokens(drafted, right))
    more, fewer = (real(accepted_tokens(drafted, min(max(right + by, 0.0), 0.99))) for by in (spread, -spread))
    low = math.hypot(math.log(found.value / found.low), math.log(more / written))
    high = math.hypot(math.log(found.high / found.value), math.log(written / fewer))
    return replace(found, low=found.value * math.exp(-low), high=found.value * math.exp(high))


def draft_problems(plan: ServingPlan) -> list[str]:
    """Why the model that drafts cannot run on the layout of the one that it drafts for."""
    if plan.draft is None:
        return []
    found = [message for message, _ in tensor_problems(plan.draft, plan.layout.tp, 1)]
    if plan.draft.vocab != plan.model.vocab:
        found.append(f"{plan.draft.name} has {plan.draft.vocab} tokens and {plan.model.name} {plan.model.vocab}")
    return [f"draft_model: {message}" for message in found]


def drafting_plan(plan: ServingPlan) -> ServingPlan:
    """The plan of the model that drafts, beside the other one on the same devices, without experts spread."""
    assert plan.draft is not None
    alone = replace(plan.workload, speculation="none", images=None, lora_adapters=None)
    layout: Any = plan.layout
    none = layout.ep * 0  # of arrays of layouts too
    layout = replace(layout, ep=none + 1, redundant_experts=none)
    return replace(plan, model=plan.draft, draft=None, workload=alone, layout=layout, image=None)


def head_parameters(model: Model, layout: Any) -> Num:
    """One head of Medusa on one device [1]: a residual block and logits of its own (Cai et al. 2024, 2.1)."""
    parameters: Num = (real(model.hidden) * model.hidden + real(model.vocab) * model.hidden) / layout.tp
    return parameters


def module_bytes(model: Model, layer: Layer, layout: Any, rate: Callable[..., Num]) -> Num:
    """A drafting layer like the model's last, behind a product that joins two hidden vectors [bytes].

    rate: bytes of a parameter of one of its matrices.
    """
    held = sum((local_parameters(linear, layout) * rate(linear) for linear in layer.linears), 0.0 * layout.tp)
    join: Num = 2.0 * real(model.hidden) * model.hidden / layout.tp
    return held + (layer.extra_parameters + join) * WIDE_BYTES
