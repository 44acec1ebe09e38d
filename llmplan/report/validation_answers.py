"""Shapes of a validation, for the JSON Schema."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from llmplan.report.answers import Amount, Part


class ScoreAnswer(Part):
    """How far predictions of one quantity are off; rows of one publication, stack, model and hardware share a vote."""

    rows: int
    median: Amount
    """Of |predicted / measured - 1|."""
    p90: Amount
    """Its 90th percentile."""
    bias: float
    """Median of predicted / measured - 1."""
    inside_band: Amount
    """Share of the measurements inside the 80 % band."""


class RowAnswer(Part):
    """One measured run beside its prediction; quantities have the names of the measured columns."""

    id: str
    predicted: dict[str, float | bool]
    interval: dict[str, tuple[Amount, Amount]]
    """The 80 % band of each quantity."""
    measured: dict[str, float | bool]
    skipped: str | None
    """Why it could not be planned, else null."""
    remarks: tuple[str, ...] | None = None
    """What was assumed that the row does not say."""


class SummaryAnswer(Part):
    """Scores over all rows, and by stack and hardware."""

    rows: int
    skipped: int
    all: dict[str, ScoreAnswer]
    by_stack: dict[str, dict[str, ScoreAnswer]]
    by_hardware: dict[str, dict[str, ScoreAnswer]]


class Validation(Part):
    """What `llmplan validate --json` writes."""

    schema_: Annotated[Literal["llmplan.validation/1"], Field(alias="schema")] = "llmplan.validation/1"
    llmplan_version: str
    rows: tuple[RowAnswer, ...]
    summary: SummaryAnswer
