"""Whole numbers of a plan whose options may be missing or text, and what follows from several of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]


def whole(facts: Facts, name: str, missing: int | None = 1) -> int | None:
    """A whole number above 0; None where something else stands there.

    >>> whole({"tp": "8"}, "tp"), whole({}, "tp"), whole({"tp": "$TP"}, "tp")
    (8, 1, None)
    """
    value = facts.get(name)
    if value is None:
        return missing
    return whole_of(value)


def whole_of(value: object) -> int | None:
    """A whole number above 0, as a number or a text; None for anything else."""
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if number > 0 else None


def model_devices(facts: Facts) -> int | None:
    """Devices of one replica: tp x pp x cp."""
    product = 1
    for name in ("tp", "pp", "cp"):
        number = whole(facts, name)
        if number is None:
            return None
        product *= number
    return product


def replicas(facts: Facts) -> int | None:
    """Data parallelism, as given or as the devices leave it; None where neither is known."""
    if facts.get("dp") is not None:
        return whole(facts, "dp")
    devices, one = whole(facts, "devices", None), model_devices(facts)
    return devices // one if devices and one and devices % one == 0 else None
