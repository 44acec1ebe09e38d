"""Limits that an answer must keep, for `--check`: what a plan file holds under `limits`."""

from typing import Annotated, Any

from llmplan.rules import ReadBy, Within
from llmplan.schema import Spec
from llmplan.units import Bytes, Joules, Kilogram, Seconds, Usd

Least = Within(gt=0)


class Limits(Spec):
    """Most (`max_`) or least (`min_`) of a figure; quantities may be written with units."""

    max_days: Annotated[float, Least] | None = None
    """Days of the run, interruptions included."""
    max_cost: Annotated[Usd, Least] | None = None
    """Of the run."""
    max_energy: Annotated[Joules, Least] | None = None
    """Of the run, the building included."""
    max_carbon: Annotated[Kilogram, Least] | None = None
    """CO2e of the run's electricity, location based."""
    max_step: Annotated[Seconds, Least] | None = None
    """Time of a step."""
    max_memory: Annotated[Bytes, Least] | None = None
    """Peak of the fullest device."""
    min_mfu: Annotated[float, Within(gt=0, le=1)] | None = None
    min_goodput: Annotated[float, Within(gt=0, le=1)] | None = None
    """Share of the wall time that becomes progress."""
    min_tokens_per_second: Annotated[float, Least] | None = None
    max_ttft: Annotated[Seconds, Least] | None = None
    """Mean time to the first token."""
    max_ttft_p95: Annotated[Seconds, Least] | None = None
    """Time to the first token of 95 of 100 requests."""
    max_ttft_p99: Annotated[Seconds, Least] | None = None
    """Time to the first token of 99 of 100 requests."""
    max_tpot: Annotated[Seconds, Least] | None = None
    """Time per output token."""
    max_tpot_p95: Annotated[Seconds, Least] | None = None
    """Time per output token of 95 of 100 requests."""
    max_tpot_p99: Annotated[Seconds, Least] | None = None
    """Time per output token of 99 of 100 requests."""
    max_request: Annotated[Seconds, Least] | None = None
    """Mean time of a whole request."""
    max_request_p95: Annotated[Seconds, Least] | None = None
    """Time of a whole request of 95 of 100 requests."""
    max_request_p99: Annotated[Seconds, Least] | None = None
    """Time of a whole request of 99 of 100 requests."""
    max_cost_per_million: Annotated[Usd, Least] | None = None
    """Of a million output tokens, the reading of their prompts included."""


def read_limits(value: Any) -> Any:
    """`max_days=60, max_cost=2e6 USD` as a mapping; anything else as it is.

    >>> read_limits("max_days=60, max_cost=2e6 USD")
    {'max_days': '60', 'max_cost': '2e6 USD'}
    """
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if not pairs or any(not sign for _, sign, _ in pairs):
        raise ValueError(f"{value[:60]!r} is not a list of limits, such as 'max_days=60, min_mfu=0.35'")
    return {name.strip().replace("-", "_"): text.strip() for name, _, text in pairs}


LimitsField = Annotated[Limits, ReadBy(read_limits, str | Limits)]
