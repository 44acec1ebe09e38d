"""Whether the figures of an answer keep the limits of its plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from llmplan.records import dataclass, fields_of
from llmplan.serving.targets import TARGETS
from llmplan.vocabulary import Amount

if TYPE_CHECKING:
    from llmplan.answer.economics.serving import ServingEconomics
    from llmplan.answer.economics.summary import Economics
    from llmplan.serving.estimate import ServingEstimate
    from llmplan.setup.limits import Limits
    from llmplan.training.estimate import TrainingEstimate

Figures = Mapping[str, float | None]
"""What each limit is about, SI base units, days where so named; None = not known. What is not there does not apply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitAnswer:
    """A limit of the plan and the figure that it is about, in the limit's unit."""

    limit: Amount
    value: Amount | None = None
    """Left out where it is not known; a limit on it is then not kept."""
    kept: bool


def limits_kept(limits: Limits, figures: Figures) -> dict[str, LimitAnswer]:
    """Every limit that applies, by name, in the order in which they are described."""
    wanted = fields_of(limits)
    return {
        name: LimitAnswer(limit=float(limit), value=figures[name], kept=_kept(name, float(limit), figures[name]))
        for name, limit in wanted.items()
        if limit is not None and name in figures
    }


def _kept(name: str, limit: float, value: float | None) -> bool:
    """A figure that is not known keeps no limit."""
    if value is None:
        return False
    return value <= limit if name.startswith("max_") else value >= limit


def training_figures(found: TrainingEstimate, run: Economics | None) -> Figures:
    """What the limits on a training are about."""
    figures: dict[str, float | None] = {
        "max_step": found.step.value, "max_memory": found.peak.value, "min_mfu": found.mfu,
        "min_tokens_per_second": found.tokens_per_second.value,
    }  # fmt: skip
    if run is None:
        return figures | dict.fromkeys(("max_days", "max_cost", "max_energy", "max_carbon", "min_goodput"))
    usd, joules, carbon = run.cost.usd, run.energy.joules, run.energy.co2e_kilograms
    return figures | {
        "max_days": run.run.days, "max_cost": usd.value if usd else None,
        "max_energy": joules.value if joules else None, "max_carbon": carbon.value if carbon else None,
        "min_goodput": run.run.reliability.goodput,
    }  # fmt: skip


def serving_figures(found: ServingEstimate, economics: ServingEconomics) -> Figures:
    """What the limits on a deployment are about; cost: all of it over the tokens written, or read where none are."""
    work, output, usd = found.plan.workload, found.output_tokens_per_second, economics.cost.usd_per_million
    tokens = work.output_tokens if work.output_tokens > 1.0 else work.input_tokens
    known = {"ttft_p95": found.p95_ttft.value, **(found.percentiles or {})}
    return {
        "max_memory": found.needed.value, "min_tokens_per_second": output.value if output else None,
        "max_ttft": found.ttft.value, "max_tpot": found.tpot.value if found.tpot else None,
        "max_request": found.request.value,
        **{name: known.get(name.removeprefix("max_")) for name, (_, share) in TARGETS.items() if share is not None},
        "max_cost_per_million": usd.requests.value / tokens if usd else None,
    }  # fmt: skip
