"""How many requests are in flight at a rate; of many deployments at once, those of like replicas share a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from llmplan.formulas.numeric import crossing
from llmplan.setup.layout import LayoutArrays

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num
    from llmplan.serving.iteration import Replica

TRIES = 24  # at the number in flight, of which a handful is needed
FEWEST = 1e-3  # sequences in flight at which an idle replica is looked at
_POINTS = 12  # of a table, from one sequence to all places
_SAVED = 4  # times that a table saves each deployment to work out its rate

RateOf = Callable[["Replica", "Num", "Num"], "Num"]
"""Requests a second that so many in flight at a replica complete, of so many that there can be [1/s]."""


def in_flight(rate_of: RateOf, at: Replica, rate: Num, resident: Num) -> Num:
    """Requests in flight of a replica that completes so many a second [1]; resident: the most there can be [1]."""
    low, high, ends = FEWEST, resident, None
    if isinstance(at.layout, LayoutArrays):
        low, high, ends = _between(rate_of, at, rate, resident)
    return crossing(lambda sequences: rate_of(at, sequences, resident), rate, low, high, TRIES, ends)


def _between(rate_of: RateOf, at: Replica, rate: Any, resident: Any) -> tuple[Any, Any, Any]:
    """Fewer and more requests than each has in flight, and their rates, from one table for all replicas that are alike:
    deployments of a search differ in their number of replicas above all."""
    import numpy as np

    layout = at.layout
    keys = np.stack(np.broadcast_arrays(layout.tp, layout.pp, layout.ep, resident, rate * 1.0)[:4], axis=-1)
    _, first, alike = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    if len(first) * _POINTS > _SAVED * len(keys):
        return FEWEST, resident, None
    grid = np.column_stack([np.full(len(first), FEWEST), np.geomspace(1.0, keys[first, 3], _POINTS, axis=1)])
    index = np.repeat(first, grid.shape[1])
    table = np.broadcast_to(rate_of(_some(at, index), grid.ravel(), keys[index, 3]), index.shape).reshape(grid.shape)
    place = alike.ravel()
    above = np.clip((table[place] < np.asarray(rate)[..., None]).sum(axis=1), 1, grid.shape[1] - 1)
    return grid[place, above - 1], grid[place, above], (table[place, above - 1], table[place, above])


def _some(at: Replica, index: Any) -> Replica:
    """Some of the replicas that arrays of degrees stand for."""
    layout = at.layout
    taken = {field.name: getattr(layout, field.name) for field in fields(layout)}
    some = replace(layout, **{name: value[index] if len(value) > 1 else value for name, value in taken.items()})
    return replace(at, layout=some, drafter=None if at.drafter is None else _some(at.drafter, index))
