"""Catalogued stacks: complete numbers, plausible, with bands and with the rows that they came from."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import yaml

from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.catalog.inheritance import numbers
from llmplan.errors import InputError
from llmplan.software.band import Band, band_of
from llmplan.software.coefficients import HOST_TIMES, NAMES
from llmplan.software.distance import Measured
from llmplan.software.stack import Stack


@cache
def catalog() -> Catalog:
    return open_catalog()


def training() -> list[str]:
    return [name for name in catalog().ids("stacks") if catalog().stack(name).training is not None]


@pytest.fixture(params=training())
def stack(request: pytest.FixtureRequest) -> Stack:
    return catalog().stack(request.param)


def test_all_that_were_asked_for_are_there() -> None:
    assert {
        "megatron-lm-2021", "megatron-lm-2022", "megatron-core", "nemo", "megatron-bridge", "megatron-deepspeed",
        "deepspeed", "torchtitan", "llm-foundry", "nanotron", "maxtext", "paxml", "litgpt", "bert-nvidia-pt",
        "bert-nvidia-tf", "generic",
    } <= set(training())  # fmt: skip


def test_entries_are_complete(stack: Stack) -> None:
    """A plan opens no further file for a number."""
    text = yaml.safe_load(Path(open_catalog().find("stacks", stack.id)).read_text(encoding="utf-8"))
    assert set(text["fitted"]) == set(NAMES)


def test_numbers_mean_something() -> None:
    assert set(numbers()) == set(NAMES)
    assert {name for name, item in numbers().items() if item.unit == "s"} == set(HOST_TIMES)
    for name, item in numbers().items():
        assert item.floor < item.prior < item.ceiling, name


def test_absent_means_the_parent(tmp_path: Path) -> None:
    (tmp_path / "stacks").mkdir()
    entry = """name: Ours
parent: nemo
fitted: {matmul_efficiency: 0.7}
sources: [{what: all, where: our runs}]
date: "2026-11-27"
"""
    (tmp_path / "stacks" / "ours.yaml").write_text(entry, encoding="utf-8")
    (tmp_path / "stacks" / "lone.yaml").write_text(
        entry.replace("parent: nemo", "workloads: [pretrain]\nmemory: {context: 1 GiB}"), encoding="utf-8"
    )
    opened = open_catalog([tmp_path])
    ours, nemo, lone, generic = (opened.stack(name) for name in ("ours", "nemo", "lone", "generic"))
    assert ours.fitted == nemo.fitted | {"matmul_efficiency": 0.7}
    assert ours.training == nemo.training
    assert ours.name == "Ours"
    assert lone.fitted == generic.fitted | {"matmul_efficiency": 0.7}


def test_stacks_are_not_their_own_parents(tmp_path: Path) -> None:
    (tmp_path / "stacks").mkdir()
    for one, other in (("one", "other"), ("other", "one")):
        (tmp_path / "stacks" / f"{one}.yaml").write_text(f"name: {one}\nparent: {other}\n", encoding="utf-8")
    with pytest.raises(InputError, match="parents of each other"):
        open_catalog([tmp_path]).stack("one")
    (tmp_path / "stacks" / "same.yaml").write_text("name: same\naliases: [ours]\nparent: ours\n", encoding="utf-8")
    with pytest.raises(InputError, match="same -> same are parents of each other"):
        open_catalog([tmp_path]).stack("same")


@pytest.mark.parametrize("parent", ["x", "[1]", "fitted: 5", ""])
def test_a_parent_that_is_no_stack_is_refused(parent: str, tmp_path: Path) -> None:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "ours.yaml").write_text("name: ours\nparent: above\n", encoding="utf-8")
    (tmp_path / "stacks" / "above.yaml").write_text(parent, encoding="utf-8")
    with pytest.raises(InputError, match=r"above\.yaml"):
        open_catalog([tmp_path]).stack("ours")


@pytest.mark.parametrize(
    "line",
    [
        "fitted: {scale_out_efficiency: -0.3}", "fitted: {memory_efficiency: 0}", "fitted: {memory_efficency: 1}",
        "versions: [{version: '1', date: '2026-01', fitted: {matmul_efficiency: 0}}]", "training: {optimizer: adamw2}",
    ],
    ids=["negative", "nothing", "misspelt", "of a version", "unknown"],
)  # fmt: skip
def test_rates_of_nothing_and_unknown_optimizers_are_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "ours.yaml").write_text(f"name: ours\nparent: generic\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"ours\.yaml:3"):
        open_catalog([tmp_path]).stack("ours")


def test_bands(stack: Stack) -> None:
    assert {"step_seconds", "peak_bytes", "reserved_bytes", "allocated_bytes"} <= set(stack.bands)
    for name, band in stack.bands.items():
        assert 0.1 < band.low < 1 < band.high < 10, name
    assert all(factor >= 1 for factors in stack.widening.values() for factor in factors.values())


def test_where_the_numbers_came_from_is_said(stack: Stack) -> None:
    assert stack.fitted_on
    assert stack.sources
    if stack.fitted_on[0].startswith(("nothing", "the mean over ")):
        assert stack.measured == Measured()
        assert stack.fitted == catalog().stack("generic").fitted
    else:
        assert stack.measured.devices


def test_measured_devices_are_in_the_catalogue(stack: Stack) -> None:
    assert all(catalog().device(name).id == name for name in stack.measured.devices)


def test_no_band_is_wider_than_numbers_go() -> None:
    bands, widening = {"step_seconds": Band(low=0.5, high=2.0)}, {"training": {"unknown_stack": 1e300}}
    found = band_of(bands, "step_seconds", widening, ("unknown_stack",))
    assert (found.low, found.high) == (pytest.approx(1e-6), pytest.approx(1e6))
