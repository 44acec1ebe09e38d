"""Which models of the catalogue run on a machine: the widest precision that fits, how fast, with how long a context."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from llmplan.answer.resolve import resolve
from llmplan.catalog.catalog import Catalog
from llmplan.catalog.load_model import load_model
from llmplan.errors import InputError
from llmplan.formulas.numeric import real
from llmplan.machine.precision import STORED_BYTES
from llmplan.model.model import Model
from llmplan.serving.defaults import STORED, wide_precision
from llmplan.serving.estimate import ServingEstimate, estimate_serving
from llmplan.serving.plan import ServingPlan
from llmplan.setup.draft import Draft
from llmplan.setup.request import Request
from llmplan.setup.subject import subject_of
from llmplan.software.band import Interval, Verdict
from llmplan.training.estimate import TrainingEstimate, estimate

NARROWER = ("fp8", "int8", "int4")
"""Precisions of weights that are tried below the released one, the widest first; fp8 where the device multiplies in
it, int8 elsewhere."""
QUANTIZED = (None, "int8", "nf4")
"""The same of the frozen base under adapters."""


@dataclass(frozen=True, slots=True)
class OnShelf:
    """One model at one precision.

    precision: of the weights; needed: bytes of the fullest device; usable: what it has [bytes]; context: tokens of the
    longest request that fits [1], None in training; speed: tokens a second, of one request in serving and of all
    devices in training [1/s]; first: time to the first token [s].
    """

    id: str
    parameters: int
    active_parameters: int
    precision: str
    fits: bool
    verdict: Verdict
    needed: Interval
    usable: float
    context: float | None = None
    speed: Interval | None = None
    first: Interval | None = None


@dataclass(frozen=True, slots=True)
class Shelf:
    """The catalogue on a machine.

    fitting: what runs, as sorted; too_large: the narrowest of the others; left_out: id and why it was not planned;
    told: what was assumed of all.
    """

    fitting: tuple[OnShelf, ...]
    too_large: tuple[OnShelf, ...]
    left_out: tuple[tuple[str, str], ...]
    told: tuple[str, ...]


SORTS = {
    "size": lambda one: (-one.parameters, one.id),
    "speed": lambda one: (-(one.speed.value if one.speed else 0.0), one.id),
    "name": lambda one: (one.id,),
}
"""Orders of a shelf, by name."""


def shelf(wanted: Request, catalog: Catalog, sort: str = "size", *, every: bool = False) -> Shelf:
    """Every model of the catalogue under a request that names none; every: all precisions that fit, not the widest.

    Raises InputError for what is wrong with the request whatever the model.
    """
    _check_machine(wanted, catalog)
    fitting: list[OnShelf] = []
    too_large: list[OnShelf] = []
    left_out: list[tuple[str, str]] = []
    told: dict[str, int] = {}
    planned = 0
    for name in catalog.ids("models"):
        tried: list[OnShelf] = []
        assumed: tuple[str, ...] = ()
        try:
            for one, lines in _tries(wanted, catalog, name, load_model(name, catalog)):
                tried.append(one)
                assumed = lines
                if one.fits and not every:
                    break
        except InputError as error:
            left_out.append((name, error.faults[0].message))
            continue
        planned += 1
        for line in assumed:
            told[line] = told.get(line, 0) + 1
        fits = [one for one in tried if one.fits]
        fitting += fits
        too_large += [] if fits else tried[-1:]
    common = tuple(line for line, count in told.items() if count == planned)
    return Shelf(
        tuple(sorted(fitting, key=SORTS[sort])), tuple(sorted(too_large, key=SORTS["size"])), tuple(left_out), common
    )


def _check_machine(wanted: Request, catalog: Catalog) -> None:
    """Raises the faults of hardware, cluster and stack before any model is blamed for them."""
    from llmplan.setup.named import draft_of

    draft: Draft = draft_of(wanted, catalog)
    subject_of(draft, catalog, load_model(catalog.ids("models")[0], catalog))


def _tries(wanted: Request, catalog: Catalog, name: str, model: Model) -> Iterator[tuple[OnShelf, tuple[str, ...]]]:
    """The model at every precision that may be tried, the widest first, with what was assumed."""
    said = wanted.options
    if said.workload == "serve":
        if model.architecture == "encoder":
            raise InputError("writes no tokens")
        first = resolve(wanted, catalog, model)
        assert isinstance(first, ServingPlan)
        yield _served(name, estimate_serving(first)), first.assumptions
        if said.weight_precision is None:
            for precision in _narrower(model, first):
                plan = resolve(
                    wanted.changed(weight_precision=precision), catalog, replace(model, expert_precision=None)
                )
                assert isinstance(plan, ServingPlan)
                yield _served(name, estimate_serving(plan)), plan.assumptions
        return
    bases = QUANTIZED if said.workload == "lora" and said.quantized_base is None else (said.quantized_base,)
    for base in bases:
        plan = resolve(wanted.changed(quantized_base=base), catalog, model)
        assert not isinstance(plan, ServingPlan)
        yield _trained(name, estimate(plan)), plan.assumptions


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


def _served(name: str, found: ServingEstimate) -> OnShelf:
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
    return OnShelf(
        name, model.parameters, model.active_parameters, precision, found.fits, found.verdict, found.needed,
        found.usable_bytes, most, speed, found.ttft,
    )  # fmt: skip


def _trained(name: str, found: TrainingEstimate) -> OnShelf:
    model, workload = found.plan.model, found.plan.workload
    return OnShelf(
        name, model.parameters, model.active_parameters, workload.quantized_base or workload.precision, found.fits,
        found.verdict, found.peak, found.usable_bytes, None, found.tokens_per_second,
    )  # fmt: skip
