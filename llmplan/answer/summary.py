"""The figures of an answer that most are asked for, one line a plan: `llmplan.summary/1`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from llmplan.answer.answer import run_of
from llmplan.answer.limits import LimitAnswer, limits_kept, serving_figures, training_figures
from llmplan.answer.shown import Shown
from llmplan.records import dataclass
from llmplan.setup.plan import Setup
from llmplan.software.band import Interval, Verdict
from llmplan.training.estimate import TrainingEstimate
from llmplan.version import __version__
from llmplan.vocabulary import Amount, WorkloadKind

if TYPE_CHECKING:
    from llmplan.answer.answer import Estimate
    from llmplan.catalog.catalog import Catalog


@dataclass(frozen=True, kw_only=True)
class ChiefFigures:
    """The figures of an estimate that most are asked for. What does not apply is left out."""

    verdict: Verdict
    """`marginal` where the limit lies inside the band."""
    peak_bytes: Interval
    """Of the fullest device; in serving what weights and one request need."""
    usable_bytes: Amount
    step_seconds: Interval | None = None
    """Of an optimizer step."""
    tokens_per_second: Interval | None = None
    """Trained by all devices."""
    mfu: Amount | None = None
    """Model FLOPs over the dense peak of the workload's precision."""
    ttft_seconds: Interval | None = None
    tpot_seconds: Interval | None = None
    request_seconds: Interval | None = None
    requests_per_second: Interval | None = None
    output_tokens_per_second: Interval | None = None
    """Served by all devices."""


def chief_figures(found: Estimate) -> dict[str, Any]:
    """Fields of `ChiefFigures`."""
    known = {"verdict": found.verdict, "usable_bytes": found.usable_bytes}
    if isinstance(found, TrainingEstimate):
        return known | {
            "peak_bytes": found.peak, "step_seconds": found.step, "tokens_per_second": found.tokens_per_second,
            "mfu": found.mfu,
        }  # fmt: skip
    return known | {
        "peak_bytes": found.needed, "ttft_seconds": found.spread("ttft", found.ttft),
        "tpot_seconds": None if found.tpot is None else found.spread("tpot", found.tpot),
        "request_seconds": found.spread("request", found.request), "requests_per_second": found.requests_per_second,
        "output_tokens_per_second": found.output_tokens_per_second,
    }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """What a summary is of."""

    schema: Literal["llmplan.summary/1"] = "llmplan.summary/1"
    llmplan_version: str = __version__
    model: str
    hardware: str
    devices: int
    workload: WorkloadKind
    stack: str
    tp: int
    pp: int
    cp: int
    ep: int
    dp: int
    fits: bool
    """Whether the predicted peak, or in serving what one request needs, is within what is usable."""


@dataclass(frozen=True, kw_only=True, repr=False)
class PlanSummary(Shown, ChiefFigures, _Subject):
    """One estimate in short: what `Answer` says, without parts, bottleneck and assumptions. What does not apply is left
    out."""

    usd: Interval | None = None
    """Of the whole run, where its length was given."""
    usd_per_million: Interval | None = None
    """Of a million output tokens, the reading of their prompts included."""
    stable: bool | None = None
    """Whether a deployment keeps up with its load."""
    missed: tuple[str, ...] | None = None
    """Targets of a deployment that are not met: `ttft`, `tpot`."""
    limits: dict[str, LimitAnswer] | None = None
    """Limits of the plan, by name."""

    def headline(self) -> str:
        """What is run where, and whether it fits."""
        return f"{self.model} on {self.devices} x {self.hardware}, {self.workload}: {self.verdict}"

    @property
    def is_yes(self) -> bool:
        """Whether it fits, keeps its limits and, as a deployment, keeps up and meets its targets."""
        kept = all(limit.kept for limit in (self.limits or {}).values())
        return self.fits and kept and self.stable is not False and not self.missed


def summary_of(found: Estimate, catalog: Catalog) -> PlanSummary:
    """An estimate in short."""
    limits = found.plan.options.limits
    if isinstance(found, TrainingEstimate):
        run = run_of(found, catalog)
        return PlanSummary(
            **_subject(found.plan), **chief_figures(found), fits=found.fits, usd=run.cost.usd if run else None,
            limits=limits_kept(limits, training_figures(found, run)) if limits else None,
        )  # fmt: skip
    from llmplan.answer.economics.serving import serving_economics, usd_per_million_requests

    whole = serving_economics(found, catalog) if limits or found.plan.options.grid else None  # which may be unknown
    tokens = found.plan.workload.output_tokens if found.plan.workload.writes else found.plan.workload.input_tokens
    usd = usd_per_million_requests(found, catalog)
    return PlanSummary(
        **_subject(found.plan), **chief_figures(found), fits=found.fits,
        usd_per_million=None if usd is None else usd * (1.0 / tokens),
        stable=found.stable, missed=tuple(name for name, _, _ in found.missed),
        limits=limits_kept(limits, serving_figures(found, whole)) if limits and whole else None,
    )  # fmt: skip


def _subject(plan: Setup) -> dict[str, Any]:
    layout = plan.layout
    return {
        "model": plan.model.name, "hardware": plan.device.id, "devices": plan.devices, "workload": plan.kind,
        "stack": plan.stack.id, "tp": layout.tp, "pp": layout.pp, "cp": layout.cp, "ep": layout.ep, "dp": layout.dp,
    }  # fmt: skip
