"""Many plans as one whose numbers are arrays: what they share stands once, what differs in numbers alone is stacked."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from operator import attrgetter, itemgetter
from typing import Any, Generic, TypeVar, cast

from llmplan.errors import InputError
from llmplan.records import dataclass, fields_of, names, replace

T = TypeVar("T")
PlanT = TypeVar("PlanT")
MadeT = TypeVar("MadeT")
SMALL = 256
"""Plans up to which an operation on arrays takes as long as on few numbers: of more, others beside them spare few."""


@dataclass(frozen=True, slots=True)
class Machines(Generic[PlanT]):
    """What many plans run on: a plan for each kind of device, cluster and software; index: which of them each has."""

    plans: tuple[PlanT, ...]
    index: Any
    gathered: dict[Hashable, Any] = field(default_factory=dict)
    """Numbers that remember how they were made, as arrays, by those that they are of: each has one."""

    @classmethod
    def of(cls, plans: Sequence[PlanT], machine: Callable[[PlanT], Hashable]) -> Machines[PlanT] | None:
        """Of many plans; None where all run on the same. machine: what tells apart what a plan runs on."""
        import numpy as np

        ones: dict[Hashable, PlanT] = {}
        names = [machine(plan) for plan in plans]
        for name, plan in zip(names, plans, strict=True):
            ones.setdefault(name, plan)
        places = {name: place for place, name in enumerate(ones)}
        return None if len(ones) == 1 else cls(tuple(ones.values()), np.array([places[name] for name in names]))

    def each(self, figure: Callable[[PlanT], T]) -> T:
        """A figure that hangs on what a plan runs on: of every plan, in arrays."""
        return stacked([figure(one) for one in self.plans], self.index, self.gathered)


def kind_of(thing: Any) -> Hashable:
    """What records must share to be stacked: everything but their numbers."""
    if _is_number(thing):
        return float
    if fields := names(thing):
        return type(thing), *[kind_of(getattr(thing, name)) for name in fields]
    if isinstance(thing, Mapping):
        return type(thing), *[(name, kind_of(part)) for name, part in sorted(thing.items())]
    return (type(thing), *map(kind_of, thing)) if isinstance(thing, tuple) else thing


def _is_number(thing: Any) -> bool:
    return isinstance(thing, (int, float)) and thing is not True and thing is not False


def stacked(things: Sequence[T], index: Any, gathered: dict[Hashable, Any] | None = None) -> T:
    """One record of several of the same kind; its numbers are arrays along `index`, or plain where all are equal.

    gathered: arrays that were made of numbers that remember, where there are such.
    """
    first: Any = things[0]
    if gathered is None and all(thing is first for thing in things):
        return cast(T, first)

    def part(parts: Iterable[Any]) -> Any:
        return stacked(list(parts), index, gathered)

    found = first
    if _is_number(first):
        found = _array(things, index, gathered)
    elif fields := names(first):
        found = replace(first, **{name: part(map(attrgetter(name), things)) for name in fields})
    elif isinstance(first, Mapping):
        found = {name: part(map(itemgetter(name), cast(Any, things))) for name in first}
    elif isinstance(first, tuple):
        found = tuple(map(part, zip(*cast(Any, things), strict=True)))
    return cast(T, found)


def _array(numbers: Sequence[Any], index: Any, gathered: dict[Hashable, Any] | None) -> Any:
    """Numbers as an array along `index`, or as one where all are equal."""
    import numpy as np

    if gathered is not None and any(hasattr(number, "made") for number in numbers):
        return _gathered(numbers, index, gathered)
    first = numbers[0]
    return first if numbers.count(first) == len(numbers) else np.array(numbers, dtype=float)[index]


def _gathered(numbers: Sequence[Any], index: Any, known: dict[Hashable, Any]) -> Any:
    """Numbers that remember how they were made, one of each machine, as an array that does."""
    from llmplan.formulas.traced_arrays import Gathered

    key = tuple(map(id, numbers))
    if key not in known:
        known[key] = Gathered(tuple(numbers), index)
    return known[key]


def grouped(plans: Sequence[PlanT], key: Callable[[PlanT], Hashable]) -> list[list[int]]:
    """Places of the plans that have a key in common; those whose key is None are in no group."""
    groups: dict[Hashable, list[int]] = {}
    for place, plan in enumerate(plans):
        groups.setdefault(key(plan), []).append(place)
    groups.pop(None, None)
    return list(groups.values())


def alike(
    plans: Sequence[PlanT], few: int, shared: Callable[[PlanT], Hashable], machine: Callable[[PlanT], Hashable],
    kind: Callable[[PlanT], Hashable], wider: Callable[[PlanT], Hashable] | None = None,
) -> list[list[int]]:  # fmt: skip
    """Places of plans that may be stacked, so many or more; what is in none of them is worked out alone.

    shared: what they must have in common, None for what goes alone; machine: what tells apart what they run on;
    kind: what machines must have in common; wider: what is enough to have in common where few have all of that. A plan
    without kernels goes alone, and says so by itself.
    """
    found: list[list[int]] = []
    for places in _widened(plans, grouped(plans, shared), wider):
        if len(places) < few:
            continue
        parts: dict[Hashable, list[int]] = {}
        for same in grouped([plans[place] for place in places], machine):
            with suppress(InputError):
                parts.setdefault(kind(plans[places[same[0]]]), []).extend(places[one] for one in same)
        found += [sorted(part) for part in parts.values() if len(part) >= few]
    return found


def _widened(
    plans: Sequence[PlanT], groups: list[list[int]], wider: Callable[[PlanT], Hashable] | None
) -> list[list[int]]:
    """Groups of places, the small ones joined by what is enough to have in common."""
    if wider is None:
        return groups
    found: dict[Hashable, list[int]] = {}
    for places in groups:
        name = wider(plans[places[0]]) if len(places) <= SMALL else places[0]
        found.setdefault(name, []).extend(places)
    return list(found.values())


def unstacked(whole: T, count: int) -> Iterator[T]:
    """A record of arrays as one of plain numbers for each place; what is None or one for all stays so."""
    columns = [unstacked(part, count) if names(part) else column(part, count) for part in fields_of(whole).values()]
    return map(type(whole), *columns)


def column(values: Any, count: int) -> list[Any]:
    """An array, or one value for all, as so many plain values."""
    import numpy as np

    if not isinstance(values, np.ndarray) or values.ndim == 0:
        return [values.item() if isinstance(values, (np.ndarray, np.generic)) else values] * count
    whole = values if values.shape == (count,) else np.broadcast_to(values, count)  # which takes longer than the list
    found: list[Any] = whole.tolist()
    return found


def each(make: Callable[[Any], MadeT], things: Iterable[Any]) -> list[MadeT | InputError]:
    """What is made of each thing, or why nothing is."""
    return list(one_by_one(make, things))


def one_by_one(make: Callable[[Any], MadeT], things: Iterable[Any]) -> Iterator[MadeT | InputError]:
    """The same, when it is asked for."""
    for thing in things:
        try:
            yield thing if isinstance(thing, InputError) else make(thing)
        except InputError as error:
            yield error
