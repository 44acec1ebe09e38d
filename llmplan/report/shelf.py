"""The models that run on a machine, as a table, JSON or CSV."""

from __future__ import annotations

import csv
import io
from typing import Annotated, Any, Literal

from pydantic import Field

from llmplan.formatting import binary, count, duration, plain
from llmplan.report.answers import Amount, Part
from llmplan.search.shelf import OnShelf, Shelf
from llmplan.setup.options import PlanOptions
from llmplan.setup.request import Request
from llmplan.software.band import Interval
from llmplan.version import __version__

SCHEMA = "llmplan.list/1"
SHOWN = 5  # models that are too large, by name


class IntervalAnswer(Part):
    """A predicted value with its 80 % band."""

    value: Amount
    low: Amount
    high: Amount


class ListedModel(Part):
    """A model at one precision."""

    id: str
    parameters: int
    active_parameters: int
    """Parameters that one token passes."""
    precision: str
    """Of the weights; the widest that fits."""
    verdict: Literal["fits", "marginal", "does-not-fit"]
    needed_bytes: IntervalAnswer
    """Of the fullest device: serving with one request of the plan's lengths."""
    usable_bytes: Amount
    longest_tokens: Amount | None = None
    """Of one request that fits, prompt and answer; no more than the model was made for."""
    tokens_per_second: IntervalAnswer | None = None
    """Serving: written for one request; training: of all devices."""
    ttft_seconds: IntervalAnswer | None = None


class LeftOut(Part):
    """A model that could not be planned."""

    id: str
    problem: str


class ModelList(Part):
    """Answer of `list`: which models of the catalogue run on a machine."""

    schema_: Annotated[Literal["llmplan.list/1"], Field(alias="schema")] = "llmplan.list/1"
    llmplan_version: str
    inputs: PlanOptions
    """What was asked; it names no model."""
    sort: str
    assumptions: list[str]
    """What holds for all of them."""
    models: list[ListedModel]
    too_large: list[ListedModel]
    """Those that fit at no precision, at the narrowest."""
    left_out: list[LeftOut]


def shelf_json(found: Shelf, wanted: Request, sort: str) -> dict[str, Any]:
    """The whole answer as plain data."""
    said = wanted.options.said()
    if "limits" in said:
        said["limits"] = said["limits"].model_dump(exclude_none=True)
    return {
        "schema": SCHEMA,
        "llmplan_version": __version__,
        "inputs": {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()},
        "sort": sort,
        "assumptions": list(found.told),
        "models": [row_json(one) for one in found.fitting],
        "too_large": [row_json(one) for one in found.too_large],
        "left_out": [{"id": name, "problem": why} for name, why in found.left_out],
    }


def row_json(one: OnShelf) -> dict[str, Any]:
    """One model as plain data; what does not apply is left out."""
    row = {
        "id": one.id, "parameters": one.parameters, "active_parameters": one.active_parameters,
        "precision": one.precision, "verdict": one.verdict, "needed_bytes": _interval(one.needed),
        "usable_bytes": one.usable, "longest_tokens": one.context, "tokens_per_second": _interval(one.speed),
        "ttft_seconds": _interval(one.first),
    }  # fmt: skip
    return {name: value for name, value in row.items() if value is not None}


def _interval(found: Interval | None) -> dict[str, float] | None:
    return None if found is None else {"value": found.value, "low": found.low, "high": found.high}


def shelf_csv(found: Shelf) -> str:
    """The models that fit, a header and a line each."""
    names = ["id", "parameters", "active_parameters", "precision", "verdict", "needed_bytes", "usable_bytes",
             "longest_tokens", "tokens_per_second", "ttft_seconds"]  # fmt: skip
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    for one in found.fitting:
        row = row_json(one)
        writer.writerow({name: value["value"] if isinstance(value, dict) else value for name, value in row.items()})
    return buffer.getvalue()


def shelf_lines(found: Shelf) -> list[str]:
    """A table, what is too large, and what was assumed."""
    head = ["model", "parameters", "active", "weights", "needs", "context", "tokens/s", "first token"]
    rows = [_cells(one) for one in found.fitting]
    used = [index for index in range(len(head)) if any(row[index] for row in rows)]
    widths = [max(len(row[index]) for row in [head, *rows]) for index in used]
    lines = []
    for row in [head, *rows] if rows else []:
        cells = [row[index].ljust(width) if index in (0, 3) else row[index].rjust(width)
                 for index, width in zip(used, widths, strict=True)]  # fmt: skip
        lines.append("  ".join(cells).rstrip())
    lines += ["", _summary(found)]
    return [*lines, "", "Assumed", *(f"  - {line}" for line in found.told)] if found.told else lines


def _cells(one: OnShelf) -> list[str]:
    mark = " ?" if one.verdict == "marginal" else ""
    active = "" if one.active_parameters == one.parameters else count(one.active_parameters)
    return [
        one.id, count(one.parameters), active, one.precision, binary(one.needed.value, 3) + mark,
        "" if one.context is None else count(one.context), "" if one.speed is None else plain(one.speed.value),
        "" if one.first is None else duration(one.first.value),
    ]  # fmt: skip


def _summary(found: Shelf) -> str:
    fitting = {one.id for one in found.fitting}
    text = f"{len(fitting)} of {len(fitting) + len(found.too_large)} models fit"
    if any(one.verdict == "marginal" for one in found.fitting):
        text += "; ? = the limit lies inside the error band"
    if found.too_large:
        least = [one.id for one in reversed(found.too_large)][:SHOWN]
        text += f"; too large at any precision: {', '.join(least)}{', ...' if len(found.too_large) > SHOWN else ''}"
    return text
