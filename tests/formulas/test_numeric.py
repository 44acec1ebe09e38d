"""Functions that take numbers and arrays alike: arrays are rounded as numbers are, on every processor."""

from __future__ import annotations

import math

import numpy as np
import pytest

from llmplan.formulas.numeric import log2, power, soft_maximum, sqrt
from llmplan.formulas.traced import leaf, slopes

DRAWN = np.random.default_rng(7)
BASES, EXPONENTS = DRAWN.uniform(0.0, 3.0, 10_000), DRAWN.uniform(-20.0, 40.0, 10_000)


@pytest.mark.parametrize("function", [log2, sqrt])
def test_a_function_of_an_array_is_that_of_its_numbers(function) -> None:
    assert function(BASES).tolist() == [function(base) for base in BASES.tolist()]


@pytest.mark.parametrize("function", [power, soft_maximum])
def test_a_function_of_two_arrays_is_that_of_their_numbers(function) -> None:
    """numpy's own power differs in the last digit of one in twenty where vectors have 512 bits."""
    pairs = zip(BASES.tolist(), EXPONENTS.tolist(), strict=True)
    assert function(BASES, EXPONENTS).tolist() == [function(base, exponent) for base, exponent in pairs]


def test_a_number_beside_an_array_is_the_base_or_the_exponent() -> None:
    exponents, bases = EXPONENTS.tolist(), BASES.tolist()
    assert power(2.5, EXPONENTS).tolist() == [math.pow(2.5, exponent) for exponent in exponents]
    assert power(BASES, 1.7).tolist() == [math.pow(base, 1.7) for base in bases]


def test_slopes_of_a_logarithm_and_of_a_power_by_hand() -> None:
    x = leaf(8.0, "x")
    ((_, slope),) = [one for one in slopes(log2(x)) if one[0] is x]
    assert slope == pytest.approx(1 / (8 * 0.693147), rel=1e-5)
    ((_, slope),) = [one for one in slopes(power(2.0, x)) if one[0] is x]
    assert slope == pytest.approx(256 * 0.693147, rel=1e-5)
    ((_, slope),) = [one for one in slopes(power(x, 3.0)) if one[0] is x]
    assert slope == pytest.approx(3 * 64)
