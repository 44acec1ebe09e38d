"""The answer to a plan of either kind, `llmplan.estimate/2`: an estimate, and what is derived from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from llmplan.answer.bottleneck import bottleneck
from llmplan.answer.data import SameAs
from llmplan.answer.shown import Shown
from llmplan.answer.training import TrainingResult, training_result
from llmplan.formatting import binary
from llmplan.records import dataclass
from llmplan.setup.options import PlanOptions
from llmplan.setup.plan import PlanWarning
from llmplan.training.estimate import TrainingEstimate, estimate
from llmplan.training.plan import TrainingPlan
from llmplan.training.unstated import unstated_options
from llmplan.version import __version__

if TYPE_CHECKING:
    from llmplan.answer.economics.summary import Economics
    from llmplan.answer.resolve import AnyPlan
    from llmplan.answer.serving import ServingResult
    from llmplan.answer.why import Why
    from llmplan.catalog.catalog import Catalog
    from llmplan.serving.estimate import ServingEstimate

    Estimate: TypeAlias = TrainingEstimate | ServingEstimate


@dataclass(frozen=True, kw_only=True, repr=False)
class Answer(Shown):
    """One estimate. SI base units, the unit in the key; what does not apply is left out."""

    schema: Literal["llmplan.estimate/2"] = "llmplan.estimate/2"
    llmplan_version: str = __version__
    inputs: Annotated[dict[str, Any], SameAs(PlanOptions)]
    """The plan, complete: given back as a plan file it is the same plan."""
    assumptions: tuple[str, ...]
    """What was filled in, one sentence each."""
    result: TrainingResult | ServingResult
    """Of a training run, or of a deployment."""
    warnings: tuple[PlanWarning, ...]

    @property
    def fits(self) -> bool:
        """Whether it fits the memory of a device."""
        return self.result.fits

    @property
    def is_yes(self) -> bool:
        """Whether it fits, keeps its limits and, as a deployment, keeps up and meets its targets."""
        return self.result.is_yes and all(limit.kept for limit in (self.result.limits or {}).values())

    def why(self, term: str, *, depth: int | None = None, catalog: Catalog | None = None) -> Why:
        """Where a figure comes from, such as `step_seconds`, `activations` or `ttft_seconds`.

        depth: levels of calls that are shown; catalog: the one that the answer was made with, if it was given one.
        """
        from llmplan.answer.why import why

        return why(self.inputs, term, depth, catalog)

    def headline(self) -> str:
        """What is run where, whether it fits, and how fast it is."""
        inputs, result = self.inputs, self.result
        needed = result.memory.peak_bytes if isinstance(result, TrainingResult) else result.memory.needed_bytes
        room = f"{binary(needed.value, 3)} of {binary(result.memory.usable_bytes, 3)}"
        where = f"{result.model.name} on {inputs['devices']} x {inputs['hardware']}, {inputs['workload']}"
        return f"{where}: {result.verdict} ({room}), {result.speed()}"


@dataclass(frozen=True, kw_only=True)
class Answers(Shown):
    """Many estimates, in the order of the plans."""

    schema: Literal["llmplan.estimates/2"] = "llmplan.estimates/2"
    llmplan_version: str = __version__
    results: tuple[Answer, ...]

    def headline(self) -> str:
        """How many."""
        return f"{len(self.results)} estimates"


def answer(plan: AnyPlan, catalog: Catalog) -> Answer:
    """The answer to a plan, whatever its workload."""
    return answer_of(estimated(plan), catalog)


def estimated(plan: AnyPlan) -> Estimate:
    """The estimate of a plan, whatever its workload."""
    if isinstance(plan, TrainingPlan):
        return estimate(plan)
    from llmplan.serving.estimate import estimate_serving

    return estimate_serving(plan)


def answer_of(
    found: Estimate, catalog: Catalog, waits: Any = None, steps: Mapping[str, Sequence[float]] | None = None
) -> Answer:
    """The answer that an estimate gives: with its bottleneck, its run or its load, its money and its limits.

    waits: `Waits` of a training or `ServingWaits` of a deployment, where they are at hand; steps: with
    options that a training leaves open [s].
    """
    plan = found.plan
    result: TrainingResult | ServingResult
    assumptions: tuple[str, ...] = ()
    warnings: tuple[PlanWarning, ...] = ()
    if isinstance(found, TrainingEstimate):
        run = run_of(found, catalog)
        held = bottleneck(found, run.storage.load if run else None, waits)
        result, assumptions = training_result(found, run, held), unstated_options(found, steps)
        if run is not None:
            assumptions, warnings = assumptions + run.assumptions, run.warnings
    else:
        from llmplan.answer.economics.serving import serving_economics
        from llmplan.answer.serving_bottleneck import serving_bottleneck
        from llmplan.answer.serving_result import serving_result

        served = serving_economics(found, catalog)
        result = serving_result(found, served, serving_bottleneck(found, waits))
        assumptions, warnings = served.assumptions, served.warnings
    return Answer(
        inputs=plan.as_options(), assumptions=plan.assumptions + assumptions, result=result,
        warnings=found.warnings + warnings,
    )  # fmt: skip


def outline_of(found: Estimate, catalog: Catalog) -> Answer:
    """The figures of an answer, as they are ranked by: without bottleneck, assumptions and warnings, which take longest
    to work out."""
    unasked: Any = None
    result: TrainingResult | ServingResult
    if isinstance(found, TrainingEstimate):
        result = training_result(found, run_of(found, catalog), unasked)
    else:
        from llmplan.answer.economics.serving import serving_economics
        from llmplan.answer.serving_result import serving_result

        result = serving_result(found, serving_economics(found, catalog), unasked)
    return Answer(inputs=found.plan.as_options(), assumptions=(), result=result, warnings=())


def run_of(found: TrainingEstimate, catalog: Catalog) -> Economics | None:
    """The economics of the run; None if its length is not given."""
    options = found.plan.options
    if options.tokens is None and options.steps is None and options.epochs is None:
        return None
    from llmplan.answer.economics.summary import economics

    return economics(found, catalog)
