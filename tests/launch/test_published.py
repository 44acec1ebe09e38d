"""Command lines and files that projects publish, read as plans, and launchers held to the frameworks' own names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmplan.answer.resolve import resolve
from llmplan.catalog.catalog import open_catalog
from llmplan.catalog.hub import named_model
from llmplan.launch.checkpoints import checkpoints
from llmplan.launch.pairs import plain, spelled
from llmplan.launch.read import read_launch
from llmplan.launch.target import keys_of, target, targets
from llmplan.setup.request import requests

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "published.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_published_command_or_file(case: dict[str, Any]) -> None:
    framework = target(case["target"])
    found = read_launch(framework, ["-"], case["given"], case["text"])
    (wanted,) = requests([found.document], case["given"])
    plan = resolve(wanted, open_catalog())
    said = {**plan.as_options(), "devices": plan.devices}
    assert {name: plain(said.get(name)) for name in case["words"]} == {
        name: plain(value) for name, value in case["words"].items()
    }
    assert [str(item) for item in found.unread] == case.get("unread", [])
    if "parameters" in case:
        biases = (2 * plan.model.layer_count + 1) * plan.model.hidden
        assert plan.model.parameters - biases == case["parameters"]
    assert all(line > 0 for line in found.document.lines.values())


FEW = ("megatron-bridge", "nemo", "trl", "ms-swift")
"""Targets with one published case; the others have three."""


def test_every_target_has_published_cases() -> None:
    numbers = Counter(case["target"] for case in CASES)
    assert {one.id: numbers[one.id] for one in targets() if numbers[one.id] < (1 if one.id in FEW else 3)} == {}


def test_no_name_means_two_things() -> None:
    for one in targets():
        names = [spelled(key) for setting in (*one.settings, *one.shape) for key in set(map(spelled, keys_of(setting)))]
        assert sorted({name for name in names if names.count(name) > 1}) == [], one.id
        assert sorted(set(names) & {*map(spelled, one.ignored)}) == [], one.id


def test_every_checkpoint_means_its_entry() -> None:
    catalog = open_catalog()
    for entry, name in checkpoints().items():
        named = named_model(name, catalog)
        assert named is not None, name
        assert (named.entry, named.precision, named.open_word) == (entry, None, None)
