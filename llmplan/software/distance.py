"""How far a plan is from what its stack was measured on: each of these widens a band."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, NamedTuple

from llmplan.rules import Within
from llmplan.schema import Spec
from llmplan.vocabulary import Guess

UNKNOWN_STACK = "unknown_stack"
"""No run of it was measured: the mean over all stacks is used."""
UNKNOWN_VERSION = "unknown_version"
"""A version, a newer one too, of which no run was measured."""
NEW_DEVICE = "new_device"
"""A device on which no run of the stack was measured."""
NEW_PRECISION = "new_precision"
"""Matrix products of so many bits were never measured with it."""
NEW_LAYERS = "new_layers"
"""Layers of experts, with a recurrent state, or adapters were never measured with it."""
OPEN_LOAD = "open_load"
"""Requests come at a rate: how long they wait hangs on how near the capacity is, which no prediction has to a few
percent."""
APPROXIMATE = "approximate"
"""A model that was read by likeness to other families; stated in `hardware_catalog/distances.yaml`, for it hangs on no
stack and nothing of the kind was measured."""
DISTANCES = (UNKNOWN_STACK, UNKNOWN_VERSION, NEW_DEVICE, NEW_PRECISION, NEW_LAYERS, OPEN_LOAD)

_BITS = {"fp32": "32", "tf32": "32", "fp8": "8", "mxfp8": "8", "int8": "8", "nvfp4": "4", "mxfp4": "4", "int4": "4"}


class Traits(NamedTuple):
    """What a plan is, as far as bands go; version: as it was asked for; approximate: its model was
    read by likeness; guessed: options that the recipe or a guess fills in; open_load: requests come at a rate."""

    device: str
    version: str
    bits: str
    layers: frozenset[str]
    approximate: bool = False
    guessed: tuple[Guess, ...] = ()
    open_load: bool = False


class StatedDistance(Spec):
    """A distance that is stated, as no rows show it: factors on the logarithms of a band's ends by family."""

    training: Annotated[float, Within(ge=1)]
    serving: Annotated[float, Within(ge=1)]
    memory: Annotated[float, Within(ge=1)]
    reason: str


class StatedDistances(Spec):
    """`hardware_catalog/distances.yaml`."""

    approximate: StatedDistance
    unstated: dict[str, dict[Guess, Annotated[float, Within(ge=0, le=1)]]]
    """Half widths by family and option that was not given (`Stack.unstated`)."""
    date: str


class Measured(Spec):
    """What a stack was measured on."""

    devices: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    """As the sources print them; an empty one for rows that name none."""
    bits: tuple[str, ...] = ()
    """Of the inputs of matrix products."""
    layers: tuple[str, ...] = ()

    @classmethod
    def of(cls, seen: Iterable[Traits]) -> Measured:
        """From the traits of the runs."""
        every = list(seen)
        return cls(
            devices=tuple(sorted({one.device for one in every})),
            versions=tuple(sorted({one.version for one in every if one.version})),
            bits=tuple(sorted({one.bits for one in every})),
            layers=tuple(sorted({name for one in every for name in one.layers})),
        )

    def distances(self, plan: Traits, *, version_known: bool) -> Iterator[str]:
        """What sets a plan apart; version_known: whether runs of the version that is taken were measured."""
        if not self.devices:
            yield UNKNOWN_STACK
        else:
            if not version_known:
                yield UNKNOWN_VERSION
            if plan.device not in self.devices:
                yield NEW_DEVICE
            if plan.bits not in self.bits:
                yield NEW_PRECISION
            if not plan.layers <= set(self.layers):
                yield NEW_LAYERS
        if plan.open_load:
            yield OPEN_LOAD
        if plan.approximate:
            yield APPROXIMATE


def bits_of(precision: str) -> str:
    """Bits of the inputs of matrix products.

    >>> bits_of("bf16"), bits_of("mxfp8")
    ('16', '8')
    """
    return _BITS.get(precision, "16")
