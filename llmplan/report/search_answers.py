"""Shapes of an answer of `fit`, for the JSON Schema; `llmplan.report.search_json` writes the same keys."""

from __future__ import annotations

from typing import Literal

from llmplan.report.answers import Amount, Part
from llmplan.setup.options import PlanOptions


class SearchAnswer(Part):
    """What the search went through, in layouts."""

    considered: int
    """All combinations of the values that were tried."""
    legal: int
    """Those that the model, the devices, the batch and the schedule allow."""
    evaluated: int
    """Those that were estimated whole: every legal one."""
    fitting: int
    """Those whose predicted peak is within what is usable."""
    kept: int
    """Those that keep every limit too."""
    seconds: Amount
    removed: dict[str, int]
    """How many each reason removed; a layout counts for the first that holds."""


class FitSummary(Part):
    """A plan and its chief figures; `estimate` on the plan gives the rest."""

    inputs: PlanOptions
    """The plan, complete."""
    verdict: Literal["fits", "marginal", "does-not-fit"]
    peak_bytes: Amount
    """In serving: with one request."""
    usable_bytes: Amount
    step_seconds: Amount | None = None
    tokens_per_second: Amount | None = None
    mfu: Amount | None = None
    ttft_seconds: Amount | None = None
    tpot_seconds: Amount | None = None
    requests_per_second: Amount | None = None
    capacity_requests_per_second: Amount | None = None
    """With every place taken, all devices."""


class FrontPoint(FitSummary):
    """A layout that no other one beats in both objectives."""

    objectives: dict[str, float]
    """Both, under keys with their units."""


class FrontAnswer(Part):
    """The Pareto front of two objectives, in the order of the first."""

    objectives: list[str]
    results: list[FrontPoint]


class ChangeAnswer(FitSummary):
    """A change to what was asked after which there is an answer, and the best then."""

    change: str


class NextAnswer(Part):
    """The first value that does not do."""

    value: int
    peak_bytes: Amount | None = None
    """What it would need, where memory alone decides."""


class MaximizeAnswer(Part):
    """The most of one quantity at a fixed layout."""

    what: Literal["micro-batch", "seq-len", "batch", "context"]
    word: str
    """The word of the plan that was raised."""
    value: int | None
    """None where not even the least does."""
    next: NextAnswer | None = None
