"""Minimum, maximum, ceiling and choice that take plain numbers and numpy arrays alike.

For plain numbers they use Python alone, so that one plan never pays for importing numpy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Num: TypeAlias = float | NDArray[np.float64]
    Bool: TypeAlias = bool | NDArray[np.bool_]

_PLAIN = (int, float)


def maximum(a: Num, b: Num) -> Num:
    """The larger of a and b, elementwise.

    >>> maximum(2.0, 3.0)
    3.0
    """
    if isinstance(a, _PLAIN) and isinstance(b, _PLAIN):
        return a if a >= b else b
    return _numpy().maximum(a, b)  # type: ignore[no-any-return]


def minimum(a: Num, b: Num) -> Num:
    """The smaller of a and b, elementwise.

    >>> minimum(2.0, 3.0)
    2.0
    """
    if isinstance(a, _PLAIN) and isinstance(b, _PLAIN):
        return a if a <= b else b
    return _numpy().minimum(a, b)  # type: ignore[no-any-return]


def ceil(a: Num) -> Num:
    """The smallest whole number not below a, as a float.

    >>> ceil(2.1)
    3.0
    """
    return float(math.ceil(a)) if isinstance(a, _PLAIN) else _numpy().ceil(a)


def floor(a: Num) -> Num:
    """The largest whole number not above a, as a float.

    >>> floor(2.9)
    2.0
    """
    return float(math.floor(a)) if isinstance(a, _PLAIN) else _numpy().floor(a)


def log2(a: Num) -> Num:
    """Logarithm to base 2.

    >>> log2(8.0)
    3.0
    """
    return math.log2(a) if isinstance(a, _PLAIN) else _numpy().log2(a)


def sqrt(a: Num) -> Num:
    """Square root, the same to the last bit for a number and in an array.

    >>> sqrt(9.0)
    3.0
    """
    return math.sqrt(a) if isinstance(a, _PLAIN) else _numpy().sqrt(a)


def where(condition: Bool, a: Num, b: Num) -> Num:
    """a where the condition holds, else b, elementwise; both are evaluated.

    >>> where(True, 1.0, 2.0)
    1.0
    """
    if isinstance(condition, bool):
        return a if condition else b
    return _numpy().where(condition, a, b)  # type: ignore[no-any-return]


def soft_maximum(a: Num, b: Num) -> Num:
    """Fourth-power mean of two times that overlap: the larger of a and b, a little more where they are close.

    (a^4 + b^4)^(1/4). A kernel near its roofline's ridge reaches neither roof: 19 % above at a = b,
    under 2 % above where they differ twofold. Both must be >= 0.

    >>> round(float(soft_maximum(1.0, 1.0)), 4), round(float(soft_maximum(1.0, 2.0)), 3)
    (1.1892, 2.031)
    """
    a2, b2 = a * a, b * b
    return sqrt(sqrt(a2 * a2 + b2 * b2))  # unlike a power, rounded the same way for numbers and arrays


def _numpy() -> Any:
    import numpy

    return numpy
