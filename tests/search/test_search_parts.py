"""The pieces of a search: choices, sizes, ranking, fronts, what a stack can run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from asking import asked
from hypothesis import given
from hypothesis import strategies as st

from llmplan.errors import InputError
from llmplan.search.ask import Wishes
from llmplan.search.choices import Choice, choice, choices
from llmplan.search.rank import first, front
from llmplan.search.request import sizes
from llmplan.search.space import Space
from llmplan.search.training import search


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("tp", "8", Choice((8,))),
        ("tp", " 8, 4,8 ", Choice((4, 8))),
        ("pp", "2..16", Choice(None, 2, 16)),
        ("pp", "4..", Choice(None, 4, 1_000_000)),
        ("pp", "..4", Choice(None, 0, 4)),
        ("zero", "0..2", Choice((0, 1, 2))),
        ("recompute", "full,none", Choice(("none", "full"))),
        ("sequence_parallel", True, Choice((True,))),
        ("kv_precision", "fp8,bf16", Choice(("bf16", "fp8"))),
    ],
)
def test_choices(name: str, text: Any, expected: Choice) -> None:
    assert choice(name, text) == expected


@pytest.mark.parametrize("text", ["", "a", "-1", "0", "1.5", "1...4", "..", "4,,8", "²", "8..4", "1_000", "0x10"])
def test_bad_choices(text: str) -> None:
    with pytest.raises(InputError):
        choice("tp", text)


def test_all_faults_of_choices_at_once() -> None:
    with pytest.raises(InputError) as caught:
        choices({"tp": "x", "pp": "y", "dp": "4"})
    assert len(caught.value.faults) == 2


def test_sizes() -> None:
    assert sizes(None, 40, 8) == (1, 2, 4, 8, 16, 24, 32, 40)
    assert sizes(None, 3, 8) == (1, 2)
    assert sizes(None, 200, 8)[-3:] == (120, 128, 192)
    assert sizes(Choice((64, 8)[::-1]), None, 8) == (8, 64)
    assert sizes(choice("devices", "16..48"), None, 8) == (16, 24, 32, 40, 48)
    assert sizes(choice("devices", "50..54"), None, 8) == (54,)
    assert all(set(sizes(None, most, 8)) <= set(sizes(None, most + 1, 8)) for most in range(1, 600))


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60),
    st.integers(1, 70),
)
def test_first_is_the_start_of_a_sort(rows: list[tuple[int, int, int]], count: int) -> None:
    keys = [np.array(column, dtype=float) for column in zip(*rows, strict=True)]
    found = first(keys, count).tolist()
    assert len(set(found)) == len(found) == min(count, len(rows))
    assert sorted(rows[i] for i in found) == sorted(rows)[:count]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=50))
def test_front_is_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    a, b = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    found = {points[i] for i in front(a, b).tolist()}
    beaten = {p for p in points for q in points if q[0] <= p[0] and q[1] <= p[1] and q != p}
    assert found == set(points) - beaten


def test_a_stack_limits_what_is_left_open_and_not_what_is_asked_for() -> None:
    words: dict[str, Any] = {"model": "llama-3.1-8b", "hardware": "h100", "workload": "pretrain", "global_batch": 128}
    wishes = Wishes(objective="memory-headroom", top=200)
    free = search(asked(wishes, devices="32", stack="megatron-core", **words)).best
    assert {one.plan.layout.zero for one in free if one.plan.layout.pp > 1} <= {0, 1}
    told = search(asked(wishes, devices="32", stack="megatron-core", zero="3", pp="2", **words)).best
    assert {one.plan.layout.zero for one in told} == {3}
    fsdp = search(asked(wishes, devices="32", stack="llm-foundry", **words)).best
    assert {(one.plan.layout.tp, one.plan.layout.pp) for one in fsdp} == {(1, 1)}


def test_equals_are_named_in_the_order_of_simplicity() -> None:
    """Sharding more than has to be is no faster without anything to send: the least comes first."""
    wishes = Wishes(objective="devices", top=60)
    found = search(asked(wishes, model="gpt2", hardware="h100", devices="4", global_batch=64, workload="pretrain")).best
    ties = [
        (one.plan.layout, other.plan.layout)
        for one in found
        for other in found
        if one.step.value == other.step.value and found.index(one) < found.index(other)
    ]
    assert ties
    for a, b in ties:
        assert (a.tp * a.pp * a.cp, a.vp * a.ep, a.zero) <= (b.tp * b.pp * b.cp, b.vp * b.ep, b.zero)


def test_copies_of_shards_divide_the_replicas() -> None:
    words = {"model": "llama-3.1-8b", "hardware": "h100", "devices": "64", "workload": "pretrain", "global_batch": 128}
    (base,) = asked(**words, dp_replicate=8).bases
    space = Space(base, 64, asked(**words, dp_replicate=8).choices)
    found = [layouts.at(index) for layouts in space.chunks() for index in range(int(np.prod(layouts.shape)))]
    assert found
    assert all(one.dp % 8 == 0 and one.zero > 0 for one in found)
    assert {one.dp for one in found} == {8, 16, 32, 64}
    with pytest.raises(InputError, match="is about shards"):
        list(Space(base, 64, asked(**words, zero="0").choices).chunks())
