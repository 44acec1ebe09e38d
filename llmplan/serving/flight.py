"""How many requests are in flight at a rate; of many deployments at once, those of like replicas are looked at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llmplan.formulas.numeric import crossing, power
from llmplan.records import mapped, replace
from llmplan.setup.layout import LayoutArrays

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num
    from llmplan.serving.iteration import Replica

TRIES = 48  # at the number in flight, of which a handful is needed, or all where a step jumps
FEWEST = 1e-3  # sequences in flight at which an idle replica is looked at
_POINTS = 24  # of a table, from one sequence to all places
_SAVED = 4  # times that a table saves each deployment to work out its rate

RateOf = Callable[["Replica", "Num", "Num"], "Num"]
"""Requests a second that so many in flight at a replica complete, of so many that there can be [1/s]."""


def when_full(rate_of: RateOf, at: Replica, resident: Num) -> Num:
    """Requests a second of a replica with every place taken [1/s]; resident: places [1]."""
    if not isinstance(at.layout, LayoutArrays):
        return rate_of(at, resident, resident)
    first, alike = _kinds(at, resident)
    places = (resident + 0.0 * at.layout.tp)[first]
    most: Any = rate_of(_some(at, first), places, places)
    return most[alike]  # type: ignore[no-any-return]


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

    first, alike = _kinds(at, resident)
    if len(first) * _POINTS > _SAVED * len(alike):
        return FEWEST, resident, None
    places = np.broadcast_to(resident, alike.shape)[first]
    between = power(np.reshape(places, (-1, 1)), np.linspace(0.0, 1.0, _POINTS))
    grid = np.column_stack([np.full(len(first), FEWEST), between])
    index, most = np.repeat(first, grid.shape[1]), np.repeat(places, grid.shape[1])
    table = np.broadcast_to(rate_of(_some(at, index), grid.ravel(), most), index.shape).reshape(grid.shape)
    above = (table[alike] < (rate + 0.0 * places[alike])[:, None]).sum(axis=1)
    above = np.clip(above, 1, grid.shape[1] - 1)
    return grid[alike, above - 1], grid[alike, above], (table[alike, above - 1], table[alike, above])


def _kinds(at: Replica, resident: Any) -> tuple[Any, Any]:
    """The first of each kind of replica, whatever their number, and which kind each is of."""
    import numpy as np

    layout = at.layout
    return kinds(np.stack(np.broadcast_arrays(layout.tp, layout.pp, layout.ep, resident), axis=-1))


def kinds(rows: Any) -> tuple[Any, Any]:
    """The first row of each kind, and which kind each row is of: equal rows are of one.

    >>> import numpy
    >>> [one.tolist() for one in kinds(numpy.array([[3.0, 1.0], [1.0, 2.0], [3.0, 1.0]]))]
    [[1, 0], [1, 0, 1]]
    """
    import numpy as np

    _, first, alike = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first, alike.ravel()


def _some(at: Replica, index: Any) -> Replica:
    """Some of the replicas that arrays of degrees stand for."""
    import numpy as np

    def some(value: Any) -> Any:
        return value[index] if np.size(value) > 1 else value

    layout = mapped(at.layout, some)
    drafter = None if at.drafter is None else _some(at.drafter, index)
    return replace(at, layout=layout, drafted=some(at.drafted), written=some(at.written), drafter=drafter)
