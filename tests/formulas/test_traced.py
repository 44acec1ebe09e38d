"""Numbers that remember how they were made: the same value to the last bit, and the derivatives of what was done."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmplan
from llmplan.formulas import attention, collectives, decode, kv_cache, matmul, numeric, pipeline, queueing, reliability
from llmplan.formulas import step as step_formulas
from llmplan.formulas.traced import Traced, Whole, by_leaf, leaf, plain, remembers, slopes
from llmplan.formulas.traced_arrays import ArrayTape, bare

Formula = Callable[..., Any]
PHYSICS = (attention, collectives, decode, kv_cache, matmul, pipeline, queueing, reliability, step_formulas)
NUDGE = 1e-6


def formulas(*modules: ModuleType) -> Iterator[Any]:
    """Public formulas whose arguments are all numbers."""
    for module in modules:
        for name, function in vars(module).items():
            if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_"):
                parameters = inspect.signature(function).parameters.values()
                if all(one.annotation == "Num" for one in parameters):
                    yield pytest.param(function, id=f"{module.__name__.rsplit('.', 1)[-1]}.{name}")


def arguments(function: Formula, values: st.DataObject) -> dict[str, float]:
    """Numbers of one size, but that there are more experts than a token takes of them."""
    ordinary, many = st.floats(1.5, 50.0), st.floats(60.0, 100.0)
    names = inspect.signature(function).parameters
    return {name: values.draw(many if name == "experts" else ordinary, name) for name in names}


@pytest.mark.parametrize("function", list(formulas(*PHYSICS)))
@given(values=st.data())
def test_a_formula_of_such_numbers_gives_the_same_number(function: Formula, values: st.DataObject) -> None:
    given = arguments(function, values)
    made = function(**{name: leaf(value, name) for name, value in given.items()})
    assert plain(made) == function(**given)


@pytest.mark.parametrize("function", list(formulas(*PHYSICS)))
@given(values=st.data())
def test_derivatives_are_those_of_finite_differences(function: Formula, values: st.DataObject) -> None:
    given = arguments(function, values)
    leaves = {name: leaf(value, name) for name, value in given.items()}
    made = function(**leaves)
    found = {id(node): slope for node, slope in slopes(made)} if remembers(made) else {}
    for name, value in given.items():
        more, less = (function(**given | {name: value * (1.0 + sign * NUDGE)}) for sign in (1, -1))
        here = function(**given)
        right, left = (more - here) / (value * NUDGE), (here - less) / (value * NUDGE)
        scale = 1e-4 * max(abs(here / value), abs(right), abs(left))
        if abs(right - left) < scale:  # no kink and no step
            assert found.get(id(leaves[name]), 0.0) == pytest.approx((right + left) / 2, rel=1e-3, abs=scale)


def test_whole_numbers_stay_whole() -> None:
    tp = leaf(8, "tp")
    assert isinstance(tp, Whole)
    assert list(range(tp)) == list(range(8))
    assert f"{tp}" == "8"
    assert isinstance(tp * 2, Whole)
    assert tp // 3 == 2
    assert isinstance(tp / 2, Traced)
    assert isinstance(numeric.real(tp), Traced)
    assert isinstance(math.ceil(tp / 3), Whole)
    assert "ab" * tp == "abababababababab"
    assert [0] * tp == 8 * [0]
    assert remembers(2.0 * tp)
    assert {8: 1}[tp] == 1


def test_what_changes_nothing_is_left_out() -> None:
    x = leaf(3.0, "x")
    assert [0 + x, x + 0.0, x * 1, 1.0 * x, x / 1.0, x - 0.0, x**1] == [x] * 7
    assert all(one is x for one in (0 + x, x * 1, x / 1.0))
    assert not remembers(0.0 * x)


def test_only_the_branch_that_was_taken_is_remembered() -> None:
    a, b = leaf(3.0, "a"), leaf(2.0, "b")
    assert numeric.where(a > b, a, b) is a
    larger = numeric.maximum(a, b)
    assert larger.op == "maximum"
    assert {one.note: slope for one, slope in by_leaf(larger)} == {"a": 3.0, "b": 0.0}


def test_work_counts_what_is_hidden() -> None:
    compute, traffic = leaf(1.0, "compute"), leaf(3.0, "traffic")
    both = numeric.soft_maximum(compute, traffic)
    assert sum(slope for _, slope in by_leaf(both)) == pytest.approx(both)
    assert {one.note: slope for one, slope in by_leaf(both, at_work=True)} == {"compute": 1.0, "traffic": 3.0}
    hidden = numeric.beyond(compute, traffic)
    assert hidden == 0.0
    assert {one.note: slope for one, slope in by_leaf(hidden, at_work=True)} == {"compute": 1.0, "traffic": 0.0}
    near, far = leaf(4.0, "near"), leaf(1.0, "far")
    both = 8.0 / numeric.slower(near, far)
    assert both == 8.0
    assert {one.note: -slope for one, slope in by_leaf(both, at_work=True)} == {"near": 2.0, "far": 8.0}


def test_a_crossing_moves_as_the_function_does() -> None:
    """x^2 k = w crosses at sqrt(w / k), whose logarithm moves by half of either's."""
    k, wanted = leaf(2.0, "k"), leaf(18.0, "wanted")
    found = numeric.crossing(lambda x: x * x * k, wanted, 0.1, 100.0, 40)
    assert found == numeric.crossing(lambda x: x * x * 2.0, 18.0, 0.1, 100.0, 40) == pytest.approx(3.0)
    moved = {one.note: slope / float(found) for one, slope in by_leaf(found)}
    assert moved == {"k": pytest.approx(-0.5), "wanted": pytest.approx(0.5)}


def test_the_physics_never_forgets() -> None:
    """`float(x)` would: the rooms that work numbers out say `real(x)`."""
    root = Path(llmplan.__file__).parent
    for room in ("machine", "work", "training", "serving", "answer/economics"):
        for path in (root / room).rglob("*.py"):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                assert " float(" not in line.replace('float("inf")', ""), f"{path}:{number}"


@pytest.mark.parametrize("function", list(formulas(*PHYSICS)))
@given(values=st.data())
def test_an_array_that_remembers_has_the_values_and_derivatives_of_its_elements(
    function: Formula, values: st.DataObject
) -> None:
    given = arguments(function, values)
    name = values.draw(st.sampled_from(sorted(given)), "argument that is an array")
    elements = [given[name], given[name] * 0.75, given[name] * 1.5]
    leaves = {other: leaf(value, other) for other, value in given.items() if other != name}
    made = function(**leaves, **{name: np.array(elements)})
    if not remembers(made):  # none of the others has a part in it
        return
    found = {node.note: slope for node, slope in ArrayTape(made).by_leaf(made)}
    for place, element in enumerate(elements):
        one = {other: leaf(value, other) for other, value in given.items() if other != name}
        alone = function(**one, **{name: element})
        assert np.broadcast_to(bare(made), len(elements))[place] == alone
        for other, slope in by_leaf(alone) if remembers(alone) else ():
            assert np.broadcast_to(found.get(other.note, 0.0), len(elements))[place] == slope
