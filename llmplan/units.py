"""Quantities with units, as people write them in YAML, to plain SI floats; parsed once, here.

Bytes are bytes: GB is 10^9 and GiB is 2^30, and the two never mix. Rates are per second,
links are per direction. `llmplan.formatting` formats the other way.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from llmplan.rules import ReadBy
from llmplan.si import DAY, HOUR

_DECIMAL = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
_BITS = 8.0
SMALLEST = 1e-30
"""The smallest quantity that is not nothing, in base units, and the inverse of the largest: products of several are
numbers still."""
_NUMBER = re.compile(r"\s*([-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S.*?)?\s*\Z")


def _prefixed(unit: str, *, binary: bool = False, scale: float = 1.0) -> dict[str, float]:
    prefixes = _DECIMAL | (_BINARY if binary else {})
    return {prefix + unit: factor * scale for prefix, factor in prefixes.items()}


# dimension -> {unit as written: factor to the SI base unit}
UNITS: dict[str, dict[str, float]] = {
    "bytes": _prefixed("B", binary=True),
    "bytes/s": _prefixed("B/s", binary=True) | _prefixed("b/s", scale=1 / _BITS) | _prefixed("bit/s", scale=1 / _BITS),
    "FLOP/s": _prefixed("FLOP/s") | _prefixed("FLOPS") | _prefixed("OP/s"),
    "s": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "min": 60.0, "h": HOUR, "d": DAY, "days": DAY},
    "W": _prefixed("W"),
    "J": _prefixed("J") | _prefixed("Wh", scale=HOUR) | {"pJ": 1e-12},
    "Hz": _prefixed("Hz"),
    "USD": {"USD": 1.0, "$": 1.0},
    "USD/h": {"USD/h": 1.0, "$/h": 1.0},
    "kg": {"kg": 1.0, "g": 1e-3, "t": 1e3, "kgCO2e": 1.0, "tCO2e": 1e3, "gCO2e": 1e-3},
    "kg/J": {"gCO2e/kWh": 1e-3 / 3.6e6, "kgCO2e/kWh": 1 / 3.6e6},
}


def parse_quantity(value: Any, dimension: str) -> float:
    """`"3.35 TB/s"` to `3.35e12`; a bare number is already in the base unit.

    Raises ValueError, with the units that are known, for a wrong unit, NaN, infinity, and what nothing is as small or
    large as.

    >>> parse_quantity("3.35 TB/s", "bytes/s")
    3350000000000.0
    >>> parse_quantity("80 GiB", "bytes") == 80 * 2**30
    True
    """
    units = UNITS[dimension]
    if isinstance(value, bool) or value is None:
        raise ValueError(f"expected a quantity in {dimension}, got {value!r}")
    if isinstance(value, (int, float)):
        number, unit = _as_float(value), None
    else:
        match = _NUMBER.match(str(value))
        if match is None:
            raise ValueError(f"{value!r} is not a quantity in {dimension}, such as '2 {_example(dimension)}'")
        number, unit = float(match[1]), match[2]
    if unit is not None and unit not in units:
        raise ValueError(f"unit {unit!r} of {value!r} is not one of {dimension}, such as {_example(dimension)}")
    result = number * (units[unit] if unit is not None else 1.0)
    if not math.isfinite(result):
        raise ValueError(f"{_shown(value)} is not finite")
    if result and not SMALLEST <= abs(result) <= 1.0 / SMALLEST:
        raise ValueError(f"{_shown(value)} is not between {SMALLEST:g} and {1.0 / SMALLEST:g} {dimension}")
    return result


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number beyond all floats
        return math.inf


def _shown(value: Any) -> str:
    """A value as it was written, or its size where that has more digits than anybody reads."""
    return f"a number of {value.bit_length()} bits" if isinstance(value, int) else repr(value)


def _example(dimension: str) -> str:
    return ", ".join(list(UNITS[dimension])[:8])


def _quantity(dimension: str) -> Any:
    return ReadBy(lambda value: parse_quantity(value, dimension), str | float)


Bytes = Annotated[float, _quantity("bytes")]
BytesPerSecond = Annotated[float, _quantity("bytes/s")]
FlopPerSecond = Annotated[float, _quantity("FLOP/s")]
Seconds = Annotated[float, _quantity("s")]
Joules = Annotated[float, _quantity("J")]
Watts = Annotated[float, _quantity("W")]
Usd = Annotated[float, _quantity("USD")]
UsdPerHour = Annotated[float, _quantity("USD/h")]
KilogramPerJoule = Annotated[float, _quantity("kg/J")]
Kilogram = Annotated[float, _quantity("kg")]
