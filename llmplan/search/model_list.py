"""Which models of the catalogue run on a machine: the widest precision that fits, how fast, with how long a context."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from llmplan.answer.data import SameAs
from llmplan.answer.limits import LimitAnswer
from llmplan.answer.resolve import resolve
from llmplan.answer.summary import summary_of
from llmplan.catalog.catalog import Catalog
from llmplan.catalog.load_model import load_model
from llmplan.errors import InputError
from llmplan.formulas.numeric import real
from llmplan.machine.precision import STORED_BYTES
from llmplan.model.model import Model
from llmplan.records import dataclass, replace
from llmplan.serving.defaults import STORED, wide_precision
from llmplan.serving.estimate import ServingEstimate, estimate_serving
from llmplan.serving.plan import ServingPlan
from llmplan.setup.draft import Draft
from llmplan.setup.named import draft_of
from llmplan.setup.options import PlanOptions
from llmplan.setup.plan import Setup
from llmplan.setup.request import Request
from llmplan.setup.subject import subject_of
from llmplan.software.band import Interval, Verdict
from llmplan.training.estimate import TrainingEstimate, estimate
from llmplan.training.many import chosen_of_many
from llmplan.training.resolve import open_training
from llmplan.version import __version__
from llmplan.vocabulary import Amount

NARROWER = ("fp8", "int8", "int4")
"""Precisions of weights that are tried below the released one, the widest first; fp8 where the device multiplies in
it, int8 elsewhere."""
QUANTIZED = (None, "int8", "nf4")
"""The same of the frozen base under adapters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """A model at one precision."""

    id: str
    parameters: int
    active_parameters: int
    """That one token passes."""
    precision: str
    """Of the weights; the widest that fits."""
    verdict: Verdict
    needed_bytes: Interval
    """Of the fullest device; serving with one request of the plan's lengths."""
    usable_bytes: Amount
    longest_tokens: Amount | None = None
    """Of one request that fits, prompt and answer; no more than the model was made for."""
    tokens_per_second: Interval | None = None
    """Serving: written for one request; training: of all devices."""
    ttft_seconds: Interval | None = None
    limits: dict[str, LimitAnswer] | None = None
    """Limits that were asked for, by name."""

    @property
    def does(self) -> bool:
        """Whether it fits and keeps all limits."""
        return self.fits and all(limit.kept for limit in (self.limits or {}).values())

    @property
    def fits(self) -> bool:
        """Whether the prediction, not the end of its band, is within what is usable."""
        return self.needed_bytes.value <= self.usable_bytes


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A model that could not be planned."""

    id: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelList:
    """Answer of `list`: which models of the catalogue run on a machine."""

    schema: Literal["llmplan.list/2"] = "llmplan.list/2"
    llmplan_version: str = __version__
    inputs: Annotated[dict[str, Any], SameAs(PlanOptions)]
    """What was asked; it names no model."""
    sort: str
    assumptions: tuple[str, ...]
    """What holds for all of them."""
    models: tuple[ListedModel, ...]
    too_large: tuple[ListedModel, ...]
    """Those that fit at no precision, at the narrowest."""
    left_out: tuple[LeftOut, ...]


SORTS: dict[str, Callable[[ListedModel], Any]] = {
    "size": lambda one: (-one.parameters, one.id),
    "speed": lambda one: (-(one.tokens_per_second.value if one.tokens_per_second else 0.0), one.id),
    "context": lambda one: (-(one.longest_tokens or 0.0), one.id),
    "name": lambda one: (one.id,),
}
"""Orders of a list, by name."""


def list_models(wanted: Request, catalog: Catalog, sort: str = "size", *, every: bool = False) -> ModelList:
    """Every model of the catalogue under a request that names none, at the widest precision that keeps the limits.

    every: all precisions that fit.

    Raises InputError for what is wrong with the request whatever the model.
    """
    _check_machine(wanted, catalog)
    fitting: list[ListedModel] = []
    too_large: list[ListedModel] = []
    left_out: list[LeftOut] = []
    counted: dict[str, int] = {}
    planned = 0
    for name in catalog.ids("models"):
        tried: list[ListedModel] = []
        assumed: tuple[str, ...] = ()
        try:
            for one, lines in _tries(wanted, catalog, name, load_model(name, catalog)):
                tried.append(one)
                assumed = lines
                if one.does and not every:
                    break
        except InputError as error:
            left_out.append(LeftOut(name, error.faults[0].message))
            continue
        planned += 1
        for line in assumed:
            counted[line] = counted.get(line, 0) + 1
        fits = [one for one in tried if one.fits]
        fitting += fits if every else ([one for one in fits if one.does] or fits)[:1]
        too_large += [] if fits else tried[-1:]
    common = tuple(line for line, count in counted.items() if count == planned)
    return ModelList(
        inputs=Setup.in_order(wanted.options.stated()), sort=sort, assumptions=common,
        models=tuple(sorted(fitting, key=SORTS[sort])), too_large=tuple(sorted(too_large, key=SORTS["size"])),
        left_out=tuple(left_out),
    )  # fmt: skip


def _check_machine(wanted: Request, catalog: Catalog) -> None:
    """Raises the faults of hardware, cluster and stack before any model is blamed for them."""
    draft: Draft = draft_of(wanted, catalog)
    subject_of(draft, catalog, load_model(catalog.ids("models")[0], catalog))


def _tries(wanted: Request, catalog: Catalog, name: str, model: Model) -> Iterator[tuple[ListedModel, tuple[str, ...]]]:
    """The model at every precision that may be tried, the widest first, with what was assumed."""
    options = wanted.options
    if options.workload == "serve":
        if model.architecture == "encoder":
            raise InputError("writes no tokens")
        if model.sound is not None and model.sound.rule.inside and options.audio_seconds is None:
            raise InputError("reads sound alone: say how long it is (--audio-seconds)")
        first = resolve(wanted, catalog, model)
        assert isinstance(first, ServingPlan)
        yield _served(name, estimate_serving(first), catalog), first.assumptions
        if options.weight_precision is None:
            for precision in _narrower(model, first):
                plan = resolve(
                    wanted.changed(weight_precision=precision), catalog, replace(model, expert_precision=None)
                )
                assert isinstance(plan, ServingPlan)
                yield _served(name, estimate_serving(plan), catalog), plan.assumptions
        return
    bases = QUANTIZED if options.workload == "lora" and options.quantized_base is None else (options.quantized_base,)
    for base in bases:
        opened = open_training(draft_of(wanted.changed(quantized_base=base), catalog), catalog, model)
        (trained,) = chosen_of_many([opened])
        if isinstance(trained, InputError):
            raise trained
        yield _trained(name, estimate(trained), catalog), trained.assumptions


def _narrower(model: Model, plan: ServingPlan) -> Iterator[str]:
    """Precisions with fewer bytes than the weights have, experts included."""
    device = plan.device
    eight = "fp8" if "fp8" in device.peak and "fp8" not in device.unsupported else "int8"
    held = STORED_BYTES[plan.workload.weight_precision]
    if model.expert_precision:
        held = min(held, STORED_BYTES[STORED.get(model.expert_precision, wide_precision(device))])
    for precision in (eight, NARROWER[-1]):
        if STORED_BYTES[precision] < held:
            yield precision


def _served(name: str, found: ServingEstimate, catalog: Catalog) -> ListedModel:
    plan, model = found.plan, found.plan.model
    longest = real(found.memory.longest)
    most = longest if model.max_context is None else min(longest, float(model.max_context))
    speed = None
    if found.tpot is not None:
        at = found.tpot
        speed = Interval(1.0 / at.value, 1.0 / at.high, 1.0 / at.low)
    precision: str = plan.workload.weight_precision
    if model.expert_precision and plan.options.weight_precision is None:
        precision = f"{precision}, experts {model.expert_precision}"
    return ListedModel(
        id=name, parameters=model.parameters, active_parameters=model.active_parameters, precision=precision,
        verdict=found.verdict, needed_bytes=found.needed, usable_bytes=found.usable_bytes, longest_tokens=most,
        tokens_per_second=speed, ttft_seconds=found.ttft, limits=_limits(found, catalog),
    )  # fmt: skip


def _trained(name: str, found: TrainingEstimate, catalog: Catalog) -> ListedModel:
    model, workload = found.plan.model, found.plan.workload
    return ListedModel(
        id=name, parameters=model.parameters, active_parameters=model.active_parameters,
        precision=workload.quantized_base or workload.precision, verdict=found.verdict, needed_bytes=found.peak,
        usable_bytes=found.usable_bytes, tokens_per_second=found.tokens_per_second, limits=_limits(found, catalog),
    )  # fmt: skip


def _limits(found: ServingEstimate | TrainingEstimate, catalog: Catalog) -> dict[str, LimitAnswer] | None:
    return summary_of(found, catalog).limits if found.plan.options.limits else None
