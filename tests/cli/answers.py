"""What a command answered: read, and compared with what is stored."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from llmplan.report.schemas import json_schema

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str, text: str) -> None:
    """Compares with the stored output; LLMPLAN_UPDATE_GOLDEN=1 stores it anew."""
    path = GOLDEN / name
    if os.environ.get("LLMPLAN_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def result(run: Any) -> dict[str, Any]:
    """The JSON of a run that succeeded."""
    assert run.code == 0, run.err
    answer: dict[str, Any] = json.loads(run.out)
    return answer


def holds(name: str, answer: Any) -> None:
    """Holds an answer to its JSON Schema: every key is described, every needed one is there, types and bounds agree."""
    schema = _schema(name)
    faults = list(_faults(schema, answer, schema.get("$defs", {}), name))
    assert faults == []


@cache
def _schema(name: str) -> dict[str, Any]:
    return json_schema(name)


KINDS = {
    "object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
    "null": type(None),
}  # fmt: skip


def _faults(schema: Any, value: Any, parts: dict[str, Any], path: str) -> Iterator[str]:
    """Faults by the words of JSON Schema that ours use."""
    if "$ref" in schema:
        yield from _faults(parts[schema["$ref"].rpartition("/")[2]], value, parts, path)
        return
    if "anyOf" in schema:
        tried = [list(_faults(one, value, parts, path)) for one in schema["anyOf"]]
        if all(tried):
            yield min(tried, key=len)[0]
        return
    kind = KINDS[schema["type"]] if "type" in schema else object
    if not isinstance(value, kind) or (isinstance(value, bool) and kind not in (bool, object)):
        yield f"{path}: {value!r} is no {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    if value != schema.get("const", value):
        yield f"{path}: {value!r} is not {schema['const']!r}"
    if isinstance(value, (int, float)) and value < schema.get("minimum", value):
        yield f"{path}: {value} is too small"
    if isinstance(value, list):
        for number, item in enumerate(value):
            each = schema.get("prefixItems", [schema.get("items", {})] * len(value))[number]
            yield from _faults(each, item, parts, f"{path}[{number}]")
    if isinstance(value, dict):
        yield from _faults_of_keys(schema, value, parts, path)


def _faults_of_keys(schema: Any, value: dict[str, Any], parts: dict[str, Any], path: str) -> Iterator[str]:
    known, rest = schema.get("properties", {}), schema.get("additionalProperties", {})
    yield from (f"{path}: {key} is missing" for key in schema.get("required", ()) if key not in value)
    for key, item in value.items():
        if key not in known and rest is False:
            yield f"{path}: {key} is not described"
        else:
            yield from _faults(known.get(key, rest if isinstance(rest, dict) else {}), item, parts, f"{path}.{key}")
