"""Many plans as one whose numbers are arrays: what they share stands once, what differs in numbers alone is stacked."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from typing import Any, Generic, TypeVar, cast

from llmplan.errors import InputError
from llmplan.records import dataclass, fields_of, names, replace

T = TypeVar("T")
PlanT = TypeVar("PlanT")
MadeT = TypeVar("MadeT")


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
    if isinstance(thing, (int, float)) and not isinstance(thing, bool):
        return float
    parts = _parts(thing)
    return thing if parts is None else (type(thing), *((name, kind_of(part)) for name, part in parts))


def stacked(things: Sequence[T], index: Any, gathered: dict[Hashable, Any] | None = None) -> T:
    """One record of several of the same kind; its numbers are arrays along `index`, or plain where all are equal.

    gathered: arrays that were made of numbers that remember, where there are such.
    """
    import numpy as np

    first, found = things[0], cast(Any, things[0])
    parts = _parts(first) if gathered is not None or any(thing is not first for thing in things) else None
    if isinstance(first, (int, float)) and not isinstance(first, bool):
        if gathered is not None and any(hasattr(thing, "made") for thing in things):
            found = _gathered(things, index, gathered)
        else:
            found = first if all(thing == first for thing in things) else np.array(things, dtype=float)[index]
    elif parts is not None:
        every = [_parts(thing) or [] for thing in things]
        made: Any = {
            name: stacked([one[place][1] for one in every], index, gathered) for place, (name, _) in enumerate(parts)
        }
        if isinstance(first, tuple):
            found = tuple(made.values())
        elif isinstance(first, Mapping):
            found = made
        else:
            found = replace(found, **made)
    return cast(T, found)


def _gathered(numbers: Sequence[Any], index: Any, known: dict[Hashable, Any]) -> Any:
    """Numbers that remember how they were made, one of each machine, as an array that does."""
    from llmplan.formulas.traced_arrays import Gathered

    key = tuple(map(id, numbers))
    if key not in known:
        known[key] = Gathered(tuple(numbers), index)
    return known[key]


def _parts(thing: Any) -> list[tuple[Any, Any]] | None:
    """The parts of a record by name; None where it has none."""
    if names(thing):
        return list(fields_of(thing).items())
    if isinstance(thing, Mapping):
        return sorted(thing.items())
    return list(enumerate(thing)) if isinstance(thing, tuple) else None


def grouped(plans: Sequence[PlanT], key: Callable[[PlanT], Hashable]) -> list[list[int]]:
    """Places of the plans that have a key in common; those whose key is None are in no group."""
    groups: dict[Hashable, list[int]] = {}
    for place, plan in enumerate(plans):
        groups.setdefault(key(plan), []).append(place)
    groups.pop(None, None)
    return list(groups.values())


def alike(
    plans: Sequence[PlanT], few: int, shared: Callable[[PlanT], Hashable], machine: Callable[[PlanT], Hashable],
    kind: Callable[[PlanT], Hashable],
) -> list[list[int]]:  # fmt: skip
    """Places of plans that may be stacked, so many or more; what is in none of them is worked out alone.

    shared: what they must have in common, None for what goes alone; machine: what tells apart what they run on;
    kind: what machines must have in common. A plan without kernels goes alone, and says so by itself.
    """
    found: list[list[int]] = []
    for places in grouped(plans, shared):
        if len(places) < few:
            continue
        parts: dict[Hashable, list[int]] = {}
        for same in grouped([plans[place] for place in places], machine):
            with suppress(InputError):
                parts.setdefault(kind(plans[places[same[0]]]), []).extend(places[one] for one in same)
        found += [sorted(part) for part in parts.values() if len(part) >= few]
    return found


def unstacked(whole: T, count: int) -> Iterator[T]:
    """A record of arrays as one of plain numbers for each place; what is None or one for all stays so."""
    columns = [unstacked(part, count) if names(part) else column(part, count) for part in fields_of(whole).values()]
    return map(type(whole), *columns)


def column(values: Any, count: int) -> list[Any]:
    """An array, or one value for all, as so many plain values."""
    import numpy as np

    if not isinstance(values, np.ndarray) or values.ndim == 0:
        return [values.item() if isinstance(values, (np.ndarray, np.generic)) else values] * count
    found: list[Any] = np.broadcast_to(values, count).tolist()
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
