"""The figures of an answer that can be explained, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from llmplan.answer.named import NamedCatalog
from llmplan.errors import Fault, InputError, did_you_mean
from llmplan.records import dataclass, names
from llmplan.training.memory import Memory
from llmplan.training.plan import TrainingPlan
from llmplan.training.step import StepTime

if TYPE_CHECKING:
    from llmplan.answer.resolve import AnyPlan
    from llmplan.catalog.catalog import Catalog

ALL = "all"


@dataclass
class Figures:
    """What a plan's figures are read from, worked out when one is."""

    plan: AnyPlan
    catalog: Catalog

    @cached_property
    def estimate(self) -> Any:
        """Of the plan."""
        if isinstance(self.plan, TrainingPlan):
            from llmplan.training.estimate import estimate

            return estimate(self.plan)
        from llmplan.serving.estimate import estimate_serving
        from llmplan.serving.targets import without_simulation

        return estimate_serving(without_simulation(self.plan))

    @cached_property
    def economics(self) -> Any:
        """What the run or its tokens take."""
        catalog = NamedCatalog.of(self.catalog)
        if isinstance(self.plan, TrainingPlan):
            from llmplan.answer.economics.summary import economics

            return economics(self.estimate, catalog)
        from llmplan.answer.economics.serving import serving_economics

        return serving_economics(self.estimate, catalog)

    def simulates(self, name: str) -> bool:
        """Whether no formula gives a term: times of requests that come in bursts, or evenly, are simulated."""
        if name not in _OF_REQUESTS or isinstance(self.plan, TrainingPlan):
            return False
        from llmplan.serving.percentiles import by_formula

        return self.plan.workload.load == "open" and not by_formula(self.plan.workload)

    def why_nothing(self, name: str) -> str:
        """Why a term has no value."""
        plan = self.plan
        if self.simulates(name):
            return f"{name} is simulated request by request with this --arrival-cv, and no formula gives it"
        if isinstance(plan, TrainingPlan):
            return f"{name} of this plan is not known: it takes the run's length (--tokens), a price or a power"
        if name == "encoder_seconds":
            return "encoder_seconds does not apply: requests have no images (--images) and no sound (--audio-seconds)"
        if name in _OF_OUTPUT and plan.model.architecture == "encoder":
            return f"{name} does not apply: {plan.model.name} is an encoder and writes no tokens"
        if name in _OF_OUTPUT and plan.workload.output_tokens <= 1:
            return f"{name} does not apply: answers of one token have none to decode (--output-tokens)"
        return f"{name} of this plan is not known: it takes a price (--price) or a power (--device-power)"


@dataclass(frozen=True, slots=True)
class Term:
    """A figure: its unit, and how to read it; None where it does not apply."""

    unit: str
    read: Callable[[Figures], Any]


def _of(unit: str, path: str) -> Term:
    """A figure at a path from `estimate` or `economics`, None where the path ends early."""

    def read(figures: Figures) -> Any:
        found: Any = figures
        for name in path.split("."):
            found = None if found is None else getattr(found, name)
        return found

    return Term(unit, read)


def _parts(kind: type, of: str, unit: str) -> dict[str, Term]:
    return {name: _of(unit, f"{of}.{name}") for name in names(kind) if name != "host_bytes"}


TRAINING: dict[str, Term] = {
    **_parts(Memory, "estimate.memory", "bytes"),
    "peak_bytes": _of("bytes", "estimate.peak.value"),
    "host_bytes": _of("bytes", "estimate.memory.host_bytes"),
    **_parts(StepTime, "estimate.time", "s"),
    "step_seconds": _of("s", "estimate.step.value"),
    "tokens_per_second": _of("1/s", "estimate.tokens_per_second.value"),
    "mfu": _of("1", "estimate.mfu"),
    "hfu": _of("1", "estimate.hfu"),
    "run_seconds": _of("s", "economics.run.wall_seconds.value"),
    "checkpoint_bytes": _of("bytes", "economics.storage.checkpoint_bytes"),
    "checkpoint_interval_seconds": _of("s", "economics.run.reliability.checkpoint_interval_seconds"),
    "data_bandwidth": _of("bytes/s", "economics.storage.needed_bytes_per_second"),
    "goodput": _of("1", "economics.run.reliability.goodput"),
    "cost": _of("USD", "economics.cost.usd.value"),
    "energy": _of("J", "economics.energy.joules.value"),
    "carbon": _of("kg", "economics.energy.co2e_kilograms.value"),
    "embodied_carbon": _of("kg", "economics.energy.embodied_co2e_kilograms"),
}
"""Every part of memory and time, what they sum to, and figures of the whole run."""

_DECODE_ONLY = Term("s", lambda figures: figures.estimate.decode.total if figures.estimate.tpot else None)
SERVING: dict[str, Term] = {
    **{
        f"{name}_bytes": _of("bytes", f"estimate.memory.{name}_bytes")
        for name in ("weights", "kv_cache", "activations", "overhead", "needed")
    },
    "kv_tokens": _of("1", "estimate.memory.kv_tokens"),
    "resident_sequences": _of("1", "estimate.resident"),
    "decode_step_seconds": _DECODE_ONLY,
    "prefill_seconds": _of("s", "estimate.prefill.total"),
    "encoder_seconds": _of("s", "estimate.encoder"),
    "ttft_seconds": _of("s", "estimate.ttft.value"),
    "tpot_seconds": _of("s", "estimate.tpot.value"),
    "request_seconds": _of("s", "estimate.request.value"),
    "requests_per_second": _of("1/s", "estimate.requests_per_second.value"),
    "output_tokens_per_second": _of("1/s", "estimate.output_tokens_per_second.value"),
    "capacity": _of("1/s", "estimate.capacity"),
    "input_cost": _of("USD per million", "economics.cost.usd_per_million.input_tokens.value"),
    "output_cost": _of("USD per million", "economics.cost.usd_per_million.output_tokens.value"),
    "output_energy": _of("J per million", "economics.energy.joules_per_million.output_tokens.value"),
    "output_carbon": _of("kg per million", "economics.energy.co2e_kilograms_per_million.output_tokens.value"),
}
"""The parts of a deployment's memory, its times and rates, and what a million tokens take."""
_OF_REQUESTS = ("ttft_seconds", "tpot_seconds", "request_seconds")
_OF_OUTPUT = ("decode_step_seconds", "tpot_seconds", *(name for name in SERVING if name.startswith("output_")))


def terms_of(plan: AnyPlan) -> dict[str, Term]:
    """The terms of a training, or of a deployment."""
    return TRAINING if isinstance(plan, TrainingPlan) else SERVING


def terms_named(text: str, plan: AnyPlan) -> list[str]:
    """The terms that a name means: `all`, a name, or a name without its unit. Raises InputError otherwise."""
    terms = terms_of(plan)
    wanted = text.strip().lower().replace("-", "_")
    if wanted == ALL:
        return list(terms)
    short = {name.rsplit("_", 1)[0]: name for name in terms if name.endswith(("_bytes", "_seconds"))}
    found = wanted if wanted in terms else short.get(wanted)
    if found is None:
        hint = did_you_mean(wanted, [*terms, *short])
        raise InputError(Fault(f"unknown term {text[:60]!r}{hint}; there are {', '.join([ALL, *terms])}"))
    return [found]
