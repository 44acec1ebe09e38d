"""`llmplan schema`, and the copies in docs/schemas."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmplan.cli.main import main
from llmplan.report.schemas import SCHEMAS, json_schema

STORED = Path(__file__).parents[2] / "docs" / "schemas"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of them."""
    folder = tmp_path_factory.mktemp("schemas")
    assert main(["schema", "--write", str(folder)]) == 0
    return folder


def test_every_schema_is_written_and_stored(written: Path) -> None:
    assert {path.stem for path in STORED.glob("*.json")} == set(SCHEMAS)
    assert {path.stem for path in written.iterdir()} == set(SCHEMAS)


@pytest.mark.frozen
@pytest.mark.parametrize("name", SCHEMAS)
def test_stored_schemas_are_fresh(name: str, written: Path) -> None:
    """`llmplan schema --write docs/schemas` makes them anew."""
    stored, fresh = (json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for folder in (STORED, written))
    assert stored == fresh


def test_fields_are_documented_and_units_are_accepted() -> None:
    device = json_schema("device")
    assert "Dense FLOP/s" in device["properties"]["peak"]["description"]
    plan = json_schema("plan")
    assert all(field.get("description") for field in plan["properties"].values())
    assert not any(key.startswith("x-") for field in plan["properties"].values() for key in field)


def test_the_command(llmplan: Callable[..., Any]) -> None:
    assert llmplan("schema").out.split() == list(SCHEMAS)
    assert json.loads(llmplan("schema", "device").out) == json_schema("device")
