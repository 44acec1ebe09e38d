"""Which version of a stack a plan means: one rule for training and serving."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from llmplan import plan_from
from llmplan.catalog.catalog import open_catalog
from llmplan.software.coefficients import NAMES
from llmplan.software.versions import choose, version_key


@dataclass(frozen=True)
class One:
    version: str
    date: str
    also: tuple[str, ...] = ()


ENGINE = (
    One("0.5.0", "2023-10"), One("0.8.0", "2024-02"), One("0.10", "2024-06"), One("MLPerf v4.1", "2024-08"),
    One("1.0", "2025-07", ("spring",)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ("0.5.0", "0.5.0"), ("0.9.1", "0.8.0"), ("1.0.0rc3", "1.0"), ("2.3", "1.0"), ("0.1", "0.5.0"),
        ("mlperf v4.1", "MLPerf v4.1"), ("MLPerf v5.0", "MLPerf v4.1"), ("MLPerf v3", "MLPerf v4.1"),
        ("Spring", "1.0"), ("release:0.9.0rc2", "0.8.0"), ("nightly-5b8c30d62b754b57", "1.0"), ("main", "1.0"),
        ("2023", "0.5.0"), ("2024-07-01", "0.10"), ("2019", "0.5.0"), ("2027-01", "1.0"), ("2024", "0.10"),
        (None, "1.0"), ("", "1.0"),
    ],
)  # fmt: skip
def test_the_newest_that_is_not_newer(asked: str | None, taken: str) -> None:
    found = choose(ENGINE, asked)
    assert found is not None
    assert found.version == taken


def test_a_version_tuned_for_a_benchmark_is_never_the_newest() -> None:
    found = choose((*ENGINE, One("MLPerf v6.0", "2026-09")), None)
    assert found is not None
    assert found.version == "1.0"


def test_an_entry_without_versions_has_none() -> None:
    assert choose((), "1.0") is None


def test_numbers_of_a_version() -> None:
    assert version_key("v25.04.02") < version_key("26")
    assert version_key("c8cfe2f") == ("", ())


@pytest.mark.parametrize("load", ["static", "closed", "saturated"])
def test_the_load_picks_no_version(load: str) -> None:
    words = {"model": "llama-3.1-8b", "hardware": "h100", "devices": 1, "workload": "serve", "stack": "vllm"}
    plan = plan_from({**words, "load": load})
    assert plan.engine.version == open_catalog().stack("vllm").versions[-1].version  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ("25.09", "25.09"),
        ("25.11", "25.09"),
        ("2025", "25.09"),
        ("26.04.01", "26.02"),
        ("26.08", "26.06"),
        (None, "26.06"),
    ],
)
def test_training_stacks_have_versions_too(asked: str | None, taken: str) -> None:
    """What a version's entry says holds; of the rest, what the stack's says."""
    entry = open_catalog().stack("megatron-bridge")
    own = next(version.fitted for version in entry.versions if version.version == taken)
    found = entry.at(asked)
    assert found.version == taken
    assert own
    assert own != entry.fitted
    for name in NAMES:
        assert getattr(found.coefficients, name) == own.get(name, entry.fitted[name])


def test_a_version_changes_only_what_it_says() -> None:
    old, new = open_catalog().stack("vllm").at("0.2"), open_catalog().stack("vllm").at(None)
    assert old.policy is not None
    assert new.policy is not None
    assert not old.policy.mixed_steps
    assert new.policy.mixed_steps
    assert (old.policy.memory_fraction, new.policy.memory_fraction) == (0.9, 0.92)
    assert old.policy.memory_fraction_of == new.policy.memory_fraction_of


def test_an_answer_says_which_version_was_taken() -> None:
    words = {"model": "llama-3.1-8b", "hardware": "h100", "devices": 1, "workload": "serve", "stack": "vllm"}
    plan = plan_from({**words, "stack_version": "0.3"})
    assert any("numbers of vllm 0.2 (2023-11) are taken, '0.3' is not in the catalogue" in a for a in plan.assumptions)
    assert not any("stack_version" in a for a in plan_from({**words, "stack_version": "0.2"}).assumptions)
