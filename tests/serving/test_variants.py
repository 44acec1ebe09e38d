"""Which age of an engine a version means."""

from __future__ import annotations

import pytest

from llmplan.catalog.catalog import stack
from llmplan.software.engine import ServingDefaults


def serving(name: str) -> ServingDefaults:
    found = stack(name).serving
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("version", "taken"),
    [
        ("0.5.0", "0.5.0"), ("0.9.1", "0.8.0"), ("1.0.0rc3", "1.0"), ("2.3", "1.0"), ("0.1", "0.5.0"),
        ("MLPerf v4.1", "MLPerf v4.1"), ("MLPerf v5.0", "MLPerf v4.1"), ("0.14.0", "0.14"),
    ],
)  # fmt: skip
def test_the_newest_that_is_not_newer(version: str, taken: str) -> None:
    assert serving("tensorrt-llm").variant(version, "closed").version == taken


@pytest.mark.parametrize(
    ("load", "taken"), [("closed", "1.0"), ("saturated", "0.17"), ("static", "0.10"), ("open", "1.0")]
)
def test_without_a_version_the_newest_measured_under_the_load(load: str, taken: str) -> None:
    assert serving("tensorrt-llm").variant(None, load).version == taken


@pytest.mark.parametrize(
    ("version", "taken"), [("0.4.2", "0.2"), ("0.7.3", "0.5"), ("0.8.0", "0.12"), ("0.11", "0.12")]
)
def test_a_variant_stands_for_versions_before_it_since_the_engine_was_rewritten(version: str, taken: str) -> None:
    assert serving("vllm").variant(version, "static").version == taken


@pytest.mark.parametrize(
    ("date", "taken"),
    [
        ("2023-11", "0.2"),
        ("2023", "0.2"),
        ("2024-07-01", "0.5"),
        ("2019", "0.2"),
        ("2027-01", "0.12"),
        ("2024-10", "0.5"),
        ("2025-06", "0.12"),
    ],
)
def test_a_date_takes_what_was_current(date: str, taken: str) -> None:
    assert serving("vllm").variant(date, "static").version == taken


def test_a_variant_changes_only_what_it_says() -> None:
    engine = serving("vllm")
    old = engine.variant("0.2", "static")
    policy = engine.policy_of(old)
    assert not policy.mixed_steps
    assert policy.max_sequences == 256
    assert policy.memory_fraction == engine.policy.memory_fraction


def test_no_variant_has_more_than_eight_numbers() -> None:
    for name in (
        "tensorrt-llm",
        "vllm",
        "sglang",
        "fastertransformer",
        "gpt-fast",
        "deepspeed-mii",
        "jetstream",
        "generic",
    ):
        for variant in serving(name).variants:
            assert len(variant.fitted) <= 8, (name, variant.version)
