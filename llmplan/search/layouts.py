"""Many layouts at once: arrays with the names of `Layout`, which the formulas take as they take one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmplan.records import dataclass, fields_of, names
from llmplan.setup.layout import RECOMPUTE, Layout, LayoutArrays

ROWS = ("tp", "pp", "vp", "cp", "ep", "dp", "micro_batch")


@dataclass(frozen=True, slots=True)
class Layouts(LayoutArrays):
    """Layouts as open axes: degrees run along the last axis, the rest along one axis each, and all broadcast.

    Kernels depend on the degrees alone, so they are computed once for all of zero x recompute x ...: only the
    last sums run over every layout. Shape: (offload, zero, sequence_parallel, recompute, rows), and before them the
    numbers of layers that are computed again where several are asked about.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """The broadcast shape."""
        return np.broadcast(*fields_of(self).values()).shape

    def at(self, index: int) -> Layout:
        """The layout at a flat index of the broadcast shape, as a plan takes it."""
        place = np.unravel_index(index, self.shape)
        found: dict[str, Any] = {}
        for name, values in fields_of(self).items():
            own = place[len(place) - values.ndim :]
            found[name] = values[tuple(min(i, n - 1) for i, n in zip(own, values.shape, strict=True))].item()
        return Layout(**{name: _scalar(value) for name, value in found.items()})

    def rows(self, index: Any, **changes: Any) -> Layouts:
        """The layouts at flat indices as rows of one axis; changes: arrays as long as it."""
        shape = self.shape
        flat = {name: np.broadcast_to(one, shape).reshape(-1)[index] for name, one in fields_of(self).items()}
        return Layouts(**flat | changes)


def joined(layouts: Sequence[Layouts]) -> tuple[Layouts, list[int]]:
    """Rows of several as rows of one, and how many each has; what does not run along them is that of the first."""
    sizes = [one.tp.shape[-1] for one in layouts]

    def whole(values: list[Any]) -> Any:
        along = all(one.shape[-1] == size for one, size in zip(values, sizes, strict=True))
        return np.concatenate(values, axis=-1) if along else values[0]

    if len(layouts) == 1:
        return layouts[0], sizes
    return Layouts(*(whole([getattr(one, name) for one in layouts]) for name in names(Layouts))), sizes


def _scalar(value: Any) -> Any:
    """A field of `Layout` out of an array: whole numbers, and None for what has no end."""
    if not isinstance(value, float):
        return value
    return None if value == np.inf else int(value)


def open_layouts(
    rows: dict[str, Any],
    zero: Sequence[int],
    divided: Sequence[bool],
    recompute: Sequence[str],
    offload: Sequence[bool],
    again: Sequence[float] = (np.inf,),
) -> Layouts:
    """Every row of degrees with every combination of the other options.

    rows: float arrays of one length, one for each of `ROWS`; again: layers that are computed again.
    """

    def axis(values: Sequence[Any], place: int) -> Any:
        kind = float if isinstance(values[0], int) and not isinstance(values[0], bool) else None
        return np.array(values, dtype=kind).reshape(-1, *[1] * place)

    return Layouts(
        **rows, recompute=axis(recompute, 1), sequence_parallel=axis(divided, 2), zero=axis(zero, 3),
        offload_optimizer=axis(offload, 4), recompute_layers=axis([float(n) for n in again], 5 * (len(again) > 1)),
        redundant_experts=np.zeros(1),
    )  # fmt: skip


def complexity(layout: Layout, devices_per_node: float) -> tuple[float, ...]:
    """What makes one layout less simple than another, the weightiest first.

    Devices, model parallelism, nodes that it crosses, then virtual stages, experts, sharding, recomputation.
    """
    parallel = layout.tp * layout.pp * layout.cp
    nodes = -(-layout.tp * layout.cp // devices_per_node)
    return (
        layout.devices, parallel, nodes, layout.vp * layout.ep, layout.offload_optimizer, layout.zero,
        RECOMPUTE.index(layout.recompute), layout.recompute_layers or 0, layout.sequence_parallel, layout.micro_batch,
        layout.tp, layout.pp, layout.ep,
    )  # fmt: skip
