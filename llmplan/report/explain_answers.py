"""Shapes of an explanation, for the JSON Schema."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from llmplan.report.answers import Part
from llmplan.setup.options import PlanOptions

Number = Annotated[float, Field(allow_inf_nan=False)]


class InputAnswer(Part):
    """A number (or word) that was put in."""

    name: str
    value: Number | str
    unit: str
    meaning: str
    origin: str
    """Word of the plan, field of a catalogue entry, or earlier call that it is from; empty where that is not clear."""


class StepAnswer(Part):
    """One call: what it says of itself, what went in, what came out, and the calls that it made.

    Or, of a deployment, one variable of the planner: its name is the `function`."""

    function: str
    module: str
    says: str
    formula: str
    """In words; after `= `, the expression that stands in the code, whose numbers are the `inputs` and the `steps`."""
    unit: str
    """Of the result."""
    inputs: list[InputAnswer]
    result: Number | dict[str, Number]
    references: list[str]
    times: int
    """How often the same call was made."""
    steps: list[StepAnswer]
    """The next level down."""


class TermAnswer(Part):
    """One figure of the estimate."""

    term: str
    unit: str
    value: Number
    expression: str
    """How the planner puts it together."""
    values: dict[str, Number]
    """The numbers behind the names in it."""
    numbers: dict[str, Number]
    """Catalogue numbers that it is, by path."""
    steps: list[StepAnswer]


class SourceAnswer(Part):
    """Where figures of an entry are from."""

    what: str
    where: str


class EntryAnswer(Part):
    """A catalogue entry that numbers came from."""

    kind: str
    id: str
    date: str
    sources: list[SourceAnswer]


class Explained(Part):
    """Figures of one plan, each walked down to the catalogue."""

    schema_: Annotated[Literal["llmplan.explain/1"], Field(alias="schema")] = "llmplan.explain/1"
    llmplan_version: str
    inputs: PlanOptions
    terms: list[TermAnswer]
    catalogue: list[EntryAnswer]
