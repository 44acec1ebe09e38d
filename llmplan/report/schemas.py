"""JSON Schemas of what llmplan reads and writes: `llmplan schema`, and `docs/schemas/*.json`.

What is written is described here, beside nothing else: the answers are built as plain data
(`llmplan.report.json`), and a test validates them against these models. Field documentation is
the text under each field, as in the classes that are read.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import fields
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from llmplan.machine.hardware import Cluster, Device, PriceList
from llmplan.model.spec import ModelSpec
from llmplan.report.answers import CostAnswer, EnergyAnswer, LimitAnswer, RunAnswer, StorageAnswer
from llmplan.report.search_answers import ChangeAnswer, FitSummary, FrontAnswer, MaximizeAnswer, SearchAnswer
from llmplan.report.serving_answers import ServingResult
from llmplan.report.shelf import ModelList
from llmplan.report.validation_answers import Validation
from llmplan.setup.options import PlanOptions
from llmplan.software.stack import Stack
from llmplan.training.memory import Memory
from llmplan.training.step import StepTime

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Answer(BaseModel):
    """Base of what is written: no key beside those that are told."""

    model_config = ConfigDict(extra="forbid")


def _amounts(name: str, keys: list[str]) -> type[Answer]:
    """A model of optional amounts, one for each key: the parts of a whole."""
    optional: dict[str, Any] = dict.fromkeys(keys, (Amount | None, None))
    return create_model(name, __base__=Answer, **optional)


MemoryParts = _amounts("MemoryParts", [field.name for field in fields(Memory) if field.name != "host_bytes"])
TimeParts = _amounts("TimeParts", [field.name for field in fields(StepTime)])


class ModelAnswer(Answer):
    """The model that was planned."""

    name: str
    parameters: int
    active_parameters: int
    """Parameters that one token passes."""


class MemoryAnswer(Answer):
    """Memory of the fullest device, in bytes."""

    peak_bytes: Amount
    low_bytes: Amount
    """Lower end of the 80 % band."""
    high_bytes: Amount
    usable_bytes: Amount
    """What a process may take."""
    capacity_bytes: Amount
    """What the driver reports."""
    parts: MemoryParts  # type: ignore[valid-type]
    """They sum to the peak; a part of nothing is left out."""
    host_bytes_per_node: Amount | None = None
    """Optimizer states that were moved to the host."""


class ThroughputAnswer(Answer):
    """Trained tokens a second."""

    tokens_per_second: Amount
    tokens_per_second_per_device: Amount
    low: Amount
    """Lower end of the 80 % band of tokens_per_second."""
    high: Amount
    flops_per_second_per_device: Amount
    """Model FLOPs (without recomputation) a second."""


class TimeAnswer(Answer):
    """Wall time of one optimizer step, in seconds."""

    step_seconds: Amount
    low_seconds: Amount
    high_seconds: Amount
    parts: TimeParts  # type: ignore[valid-type]
    """They sum to the step; a part of nothing is left out."""


class WarningAnswer(Answer):
    """Something to know about the answer."""

    code: str
    message: str


class ElasticityAnswer(Answer):
    """What 10 % more of a resource would change."""

    step_seconds: Amount
    speedup: Amount
    """Speed over that of now."""
    fits: bool


class BottleneckAnswer(Answer):
    """What holds the plan back."""

    resource: str
    """What most of the step waits for, or `memory_capacity` where the plan does not fit."""
    parts: dict[str, Amount]
    """The step by resource, in seconds; they sum to it."""
    utilization: dict[str, Amount]
    """Share of each resource's capacity that is in use, hidden or not."""
    elasticity: dict[str, ElasticityAnswer]
    advice: WarningAnswer


class Result(Answer):
    """The answer itself."""

    model: ModelAnswer
    fits: bool
    """Whether the predicted peak is within what is usable."""
    verdict: Literal["fits", "marginal", "does-not-fit"]
    """`marginal` where the limit lies inside the band."""
    memory: MemoryAnswer
    throughput: ThroughputAnswer
    time: TimeAnswer
    mfu: Amount
    """Model FLOPs over the dense peak of the workload's precision."""
    hfu: Amount
    """The same with recomputed FLOPs."""
    bottleneck: BottleneckAnswer
    run: RunAnswer | None = None
    """This and what follows: where the length of the run was said."""
    cost: CostAnswer | None = None
    energy: EnergyAnswer | None = None
    storage: StorageAnswer | None = None
    limits: dict[str, LimitAnswer] | None = None
    """Limits of the plan, by name."""


class Estimate(Answer):
    """One estimate. SI base units, the unit in the key; what does not apply is left out."""

    schema_: Annotated[Literal["llmplan.estimate/1"], Field(alias="schema")] = "llmplan.estimate/1"
    llmplan_version: str
    inputs: PlanOptions
    """The plan, complete: given back as a plan file it is the same plan."""
    assumptions: list[str]
    """What was filled in, one sentence each."""
    result: Result | ServingResult
    """Of a training run, or of a deployment."""
    warnings: list[WarningAnswer]


class Estimates(Answer):
    """Many estimates, in the order of the plans."""

    schema_: Annotated[Literal["llmplan.estimates/1"], Field(alias="schema")] = "llmplan.estimates/1"
    llmplan_version: str
    results: list[Estimate]


class FitResult(Estimate):
    """One of the best layouts."""

    rank: int
    as_good_within_error: bool
    """Whether its error band and the first's overlap in the objective."""
    objective: dict[str, float]
    """The objective, under a key with its unit."""


class Fit(Answer):
    """Answer of `fit`: the best layouts, or what misses by least and what would do."""

    schema_: Annotated[Literal["llmplan.fit/1"], Field(alias="schema")] = "llmplan.fit/1"
    llmplan_version: str
    inputs: dict[str, Any]
    """What was asked, in the words of a plan; lists and ranges as they were given."""
    objective: str | None = None
    limits: dict[str, float | bool] | None = None
    assumptions: list[str] | None = None
    search: SearchAnswer | None = None
    results: list[FitResult | Estimate]
    """Best first; none where nothing does."""
    simplest: Estimate | None = None
    """Less model parallelism than the best, and within 2 % of it in the objective."""
    surely_fits: Estimate | None = None
    """Where the best is marginal: the best whose whole memory band fits."""
    pareto: FrontAnswer | None = None
    nearest_misses: list[FitSummary] | None = None
    """Where nothing does."""
    changes: list[ChangeAnswer] | None = None
    """Where nothing does: what would."""
    maximize: MaximizeAnswer | None = None
    """With `--maximize`, instead of a search."""


class Compared(Estimate):
    """An alternative that could be planned: its estimate, and how it stands to the first."""

    name: str
    rank: int
    words: dict[str, Any]
    """What sets it apart from the others."""
    ratios: dict[str, Amount]
    """Figures over those of the first, by measure."""
    beyond_error: dict[str, bool]
    """Whether the error bands of the two do not overlap, by measure."""


class NotPlanned(Answer):
    """An alternative that could not be planned."""

    name: str
    rank: int
    words: dict[str, Any]
    problems: list[str]
    """Why, one sentence each."""


class Comparison(Answer):
    """Alternatives side by side, ranked where that was asked for."""

    schema_: Annotated[Literal["llmplan.compare/1"], Field(alias="schema")] = "llmplan.compare/1"
    llmplan_version: str
    by: str | None = None
    results: list[Compared | NotPlanned]


SCHEMAS: dict[str, type[BaseModel]] = {
    "plan": PlanOptions,
    "estimate": Estimate,
    "estimates": Estimates,
    "compare": Comparison,
    "fit": Fit,
    "list": ModelList,
    "validation": Validation,
    "model": ModelSpec,
    "device": Device,
    "cluster": Cluster,
    "stack": Stack,
    "prices": PriceList,
}
"""What `llmplan schema` knows, by name."""
WRITTEN = ("estimate", "estimates", "compare", "fit", "list", "validation")


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one of `SCHEMAS`, with the documentation of every field."""
    model = SCHEMAS[name]
    reading = name not in WRITTEN
    schema = model.model_json_schema(mode="validation" if reading else "serialization")
    _document(schema, model)
    for field in schema["properties"].values():  # what the command line's help needs is no part of the contract
        for key in [key for key in field if key.startswith("x-")]:
            del field[key]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _document(schema: dict[str, Any], top: type[BaseModel]) -> None:
    """Puts the texts under the fields of each class into its part of the schema."""
    parts = {top.__name__: schema, **schema.get("$defs", {})}
    for model in _classes(top):
        properties = parts.get(model.__name__, {}).get("properties", {})
        for field, text in field_texts(model).items():
            if field in properties:
                properties[field].setdefault("description", text)


def _classes(top: type[BaseModel]) -> list[type[BaseModel]]:
    """The class and every pydantic class that its fields mention."""
    found: list[type[BaseModel]] = [top]
    for model in found:
        for info in model.model_fields.values():
            for part in _mentioned(info.annotation):
                if isinstance(part, type) and issubclass(part, BaseModel) and part not in found:
                    found.append(part)
    return found


def _mentioned(annotation: Any) -> list[Any]:
    inner = [part for argument in getattr(annotation, "__args__", ()) for part in _mentioned(argument)]
    return [annotation, *inner]


def field_texts(model: type[BaseModel]) -> dict[str, str]:
    """The text under each field of a class, from its source; nothing where there is no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    except (OSError, TypeError):
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    texts = {}
    for field, text in pairwise(body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                texts[name] = " ".join(words.split())
    return texts
