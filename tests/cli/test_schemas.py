"""`llmplan schema`, and the copies in docs/schemas."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmplan.cli.schema import text
from llmplan.report.schemas import SCHEMAS, json_schema

STORED = Path(__file__).parents[2] / "docs" / "schemas"


@pytest.mark.frozen
@pytest.mark.parametrize("name", SCHEMAS)
def test_stored_schemas_are_fresh(name: str) -> None:
    """`llmplan schema --write docs/schemas` makes them anew."""
    assert json.loads((STORED / f"{name}.json").read_text(encoding="utf-8")) == json_schema(name)
    assert json.loads(text(json_schema(name))) == json_schema(name)


def test_every_stored_schema_is_known() -> None:
    assert {path.stem for path in STORED.glob("*.json")} == set(SCHEMAS)


def test_fields_are_documented_and_units_are_accepted() -> None:
    device = json_schema("device")
    assert "Dense FLOP/s" in device["properties"]["peak"]["description"]
    plan = json_schema("plan")
    assert all(field.get("description") for field in plan["properties"].values())
    assert not any(key.startswith("x-") for field in plan["properties"].values() for key in field)


def test_the_command(llmplan: Callable[..., Any], here: Path) -> None:
    assert llmplan("schema").out.split() == list(SCHEMAS)
    assert json.loads(llmplan("schema", "estimate").out) == json_schema("estimate")
    assert llmplan("schema", "--write", "out").code == 0
    assert {path.stem for path in (here / "out").iterdir()} == set(SCHEMAS)
