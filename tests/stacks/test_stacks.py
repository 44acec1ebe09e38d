"""Catalogued stacks: few numbers, plausible, with bands and with the rows that they came from."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from llmplan.calibrate.meanings import meanings
from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.software.stack import Stack
from llmplan.training.step import StackNumbers

MOST = 8
MEASURED = Path(__file__).parents[2] / "hardware_catalog" / "measurements" / "training.csv"


@cache
def catalog() -> Catalog:
    return open_catalog()


def training() -> list[str]:
    return [name for name in catalog().ids("stacks") if catalog().stack(name).training is not None]


@pytest.fixture(params=training())
def stack(request: pytest.FixtureRequest) -> Stack:
    return catalog().stack(request.param)


def names(stack: Stack) -> set[str]:
    """Fitted numbers of training, those of older versions under the same names."""
    return {name for part in (stack.fitted, *(item.fitted for item in stack.variants)) for name in part}


def test_all_that_were_asked_for_are_there() -> None:
    assert {
        "megatron-lm-2021", "megatron-lm-2022", "megatron-core", "nemo", "megatron-bridge", "megatron-deepspeed",
        "deepspeed", "torchtitan", "llm-foundry", "nanotron", "maxtext", "paxml", "litgpt", "bert-nvidia-pt",
        "bert-nvidia-tf", "generic",
    } <= set(training())  # fmt: skip


def test_numbers_are_few(stack: Stack) -> None:
    assert 1 <= len(names(stack)) <= MOST


def test_numbers_mean_something_to_the_planner(stack: Stack) -> None:
    assert names(stack) <= set(meanings("training"))
    assert names(stack) <= set(StackNumbers.__dataclass_fields__)


def test_numbers_are_plausible(stack: Stack) -> None:
    for values in (stack.fitted, *(item.fitted for item in stack.variants)):
        for name, value in values.items():
            low, high = meanings("training")[name].range
            assert low <= value <= high, name


def test_priors_lie_inside_their_ranges() -> None:
    for name, number in meanings("training").items():
        low, high = number.range
        assert low < number.prior < high, name
        assert number.unit, name
        assert number.meaning, name


def test_bands(stack: Stack) -> None:
    assert {"step_seconds", "step_seconds_unmeasured_hardware", "peak_bytes"} <= set(stack.bands)
    for name, band in stack.bands.items():
        assert 0.5 < band.low < 1 < band.high < 2, name
    measured, unmeasured = (stack.bands[f"step_seconds{end}"] for end in ("", "_unmeasured_hardware"))
    assert unmeasured.low <= measured.low
    assert unmeasured.high >= measured.high


def test_the_generic_band_is_wider_than_that_of_a_stack_that_was_measured() -> None:
    generic = catalog().stack("generic").bands["step_seconds"]
    for name in ("nemo", "llm-foundry", "megatron-lm-2022", "maxtext", "megatron-deepspeed"):
        band = catalog().stack(name).bands["step_seconds"]
        assert generic.high - generic.low > band.high - band.low


def test_where_the_numbers_came_from_is_said(stack: Stack) -> None:
    assert stack.fitted_on
    assert stack.sources
    if stack.fitted_on[0].startswith("nothing"):
        assert stack.hardware == ()
        assert stack.fitted.items() <= catalog().stack("generic").fitted.items()
    else:
        assert stack.hardware
        assert all("rows" in line or "more sources" in line for line in stack.fitted_on)


def test_rows_that_were_fitted_on_are_in_the_measurements(stack: Stack) -> None:
    text = MEASURED.read_text(encoding="utf-8").replace("'", '"')
    for line in stack.fitted_on:
        source = line.rpartition(": ")[0]
        if source and not source.startswith(("nothing", "and ")):
            assert source.replace("'", '"') in text, source


def test_hardware_is_in_the_catalogue(stack: Stack) -> None:
    assert all(catalog().device(name).id == name for name in stack.hardware)
