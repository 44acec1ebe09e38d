"""JSON Schemas of what llmplan reads and writes: `llmplan schema`, and `docs/schemas/*.json`.

They are made from the classes themselves: specs of what is read, answers of what is written. Field
documentation is the text under each field.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from llmplan.answer import answer, explanation, many, serving, summary, training, validate
from llmplan.answer.data import SameAs
from llmplan.answer.economics import cost, energy, run, storage
from llmplan.answer.economics import serving as serving_economics
from llmplan.machine.hardware import Cluster, Device, PriceList
from llmplan.model.spec import ModelSpec
from llmplan.plain import kinds_of
from llmplan.pydantic_models import model_of
from llmplan.records import names
from llmplan.schema import Spec
from llmplan.search import answers, comparison, difference, model_list, sweep
from llmplan.setup.options import PlanOptions
from llmplan.software.stack import Stack

SCHEMAS: dict[str, type[Any]] = {
    "plan": PlanOptions,
    "estimate": answer.Answer,
    "estimates": answer.Answers,
    "summary": summary.PlanSummary,
    "refusal": many.Refusal,
    "compare": comparison.Comparison,
    "diff": difference.Difference,
    "fit": answers.FitAnswer,
    "sweep": sweep.SweepRow,
    "sweeps": sweep.Sweep,
    "list": model_list.ModelList,
    "validation": validate.Validation,
    "explain": explanation.Explanation,
    "model": ModelSpec,
    "device": Device,
    "cluster": Cluster,
    "stack": Stack,
    "prices": PriceList,
}
"""What `llmplan schema` knows, by name."""
_NAMES = {
    name: value
    for module in (answer, summary, sweep, training, serving, cost, energy, run, storage, serving_economics)
    for name, value in vars(module).items()
}
"""What annotations of answers name, also where the modules import it for the type checker alone."""


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one of `SCHEMAS`, with the documentation of every field."""
    top: Any = SCHEMAS[name]
    known = _classes(top)
    written = _is_answer(top)
    schema = TypeAdapter(top).json_schema(mode="serialization") if written else model_of(top).model_json_schema()
    for each, part in {top.__name__: schema, **schema.get("$defs", {})}.items():
        _document(part, known[each])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _document(part: dict[str, Any], described: type[Any]) -> None:
    """Puts the texts of a class into its part of the schema; an answer has no other key and no null."""
    properties = part.get("properties", {})
    for field, text in field_texts(described).items():
        if field in properties:
            properties[field].setdefault("description", text)
    part.setdefault("description", inspect.cleandoc(described.__doc__ or ""))  # pydantic 2.11 has none of a record
    if _is_answer(described):
        part["additionalProperties"] = False
        for field in properties.values():
            _never_null(field)


def _is_answer(described: type[Any]) -> bool:
    """Whether it is written; what is read is checked."""
    return not issubclass(described, Spec)


def _never_null(field: dict[str, Any]) -> None:
    """Takes the null out of what may be left out: it is left out then."""
    kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
    if "anyOf" in field and len(kinds) < len(field["anyOf"]):
        del field["anyOf"], field["default"]
        field |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _classes(top: type[Any]) -> dict[str, type[Any]]:
    """The class and every class that its fields mention, by name."""
    found, waiting = {}, [top]
    while waiting:
        one = waiting.pop()
        if one.__name__ not in found:
            found[one.__name__] = one
            waiting += [part for hint in _hints(one) for part in _mentioned(hint)]
    return found


def _hints(described: type[Any]) -> list[Any]:
    """Types of the fields of a class; those of a dataclass are noted in it, for pydantic to read."""
    if not _is_answer(described):
        return list(kinds_of(described).values())
    hints = get_type_hints(described, localns=_NAMES, include_extras=True)
    for field in fields(described):
        field.type = hints[field.name]
    return list(hints.values())


def _mentioned(hint: Any) -> Iterator[type[Any]]:
    """Classes with fields in a type."""
    if isinstance(hint, type) and names(hint):
        yield hint
    if isinstance(hint, SameAs):
        yield hint.described
    for part in (*getattr(hint, "__args__", ()), *getattr(hint, "__metadata__", ())):
        yield from _mentioned(part)


def field_texts(described: type[Any]) -> dict[str, str]:
    """The text under each field of a class, those of its bases included; nothing where there is no source."""
    texts: dict[str, str] = {}
    for one in reversed(described.__mro__):
        if one.__module__.startswith("llmplan"):
            texts |= _own_texts(one)
    return texts


def _own_texts(described: type[Any]) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(described)))
    except (OSError, TypeError):
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    texts = {}
    for field, text in pairwise(body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                texts[name] = " ".join(words.split())
    return texts
