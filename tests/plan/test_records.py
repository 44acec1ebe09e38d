"""Dataclasses with shared methods compare, hash, show and copy as those of the standard library."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest

from llmplan.records import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float = 0.0
    seen: list[str] = dataclasses.field(default_factory=list, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named(Point):
    name: str


@dataclass(slots=True)
class Open:
    x: float


@dataclass(frozen=True, repr=False)
class Told:
    x: float

    def __repr__(self) -> str:
        return "told"


def test_equal_where_class_and_compared_fields_are() -> None:
    assert Point(1.0, 2.0, ["a"]) == Point(1.0, 2.0, ["b"])
    assert Point(1.0) != Point(2.0)
    assert Point(1.0) != Named(x=1.0, name="a")
    assert Point(1.0) != (1.0, 0.0)


def test_frozen_ones_are_keys_and_open_ones_are_not() -> None:
    assert {Point(1.0): 1}[Point(1.0, 0.0, ["a"])] == 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(Open(1.0))


def test_shown_with_the_fields_that_are_to_be() -> None:
    assert repr(Point(1.0, 2.0)) == "Point(x=1.0, y=2.0)"
    assert repr(Named(x=1.0, name="a")) == "Named(x=1.0, y=0.0, name='a')"
    assert repr(Told(1.0)) == "told"


@pytest.mark.parametrize("one", [Point(1.0), Named(x=1.0, name="a"), Open(2.0), Told(1.0)])
def test_known_to_dataclasses_and_pickle(one: Any) -> None:
    assert dataclasses.is_dataclass(one)
    assert dataclasses.replace(one, x=3.0).x == 3.0
    assert pickle.loads(pickle.dumps(one)) == one


def test_slots_leave_no_room_for_others() -> None:
    with pytest.raises(AttributeError):
        Point(1.0).z = 1.0  # type: ignore[attr-defined]
