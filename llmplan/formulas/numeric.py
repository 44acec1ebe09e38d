"""Minimum, maximum, ceiling and choice that take plain numbers and numpy arrays alike.

For plain numbers they use Python alone, so that one plan never pays for importing numpy. Numbers that remember how
they were made (`llmplan.formulas.traced`) bring their own arithmetic as `made`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Num: TypeAlias = float | NDArray[np.float64]
    Bool: TypeAlias = bool | NDArray[np.bool_]

_EXACT = frozenset((float, int, bool))
_PLAIN = (int, float)
NEAR = 1e-9
"""Share of what is wanted at which a crossing is found [1]."""
_STRAIGHT = 12
"""Tries by false position, twice what a smooth function needs [1]."""
_OF_NUMPY = {"longer": "maximum", "slower": "minimum"}
_ROUNDED_ELSEWISE: dict[str, tuple[Any, int]] = {"log2": (math.log2, 1), "power": (math.pow, 2)}
"""Functions whose last digit numpy makes another one on processors with wider vectors, and how many numbers they take:
element by element they are the same everywhere, and the same as of plain numbers."""


def real(a: Num) -> float:
    """One number, such as a count of a model, as a float.

    Not `float(a)`, which would forget how the number was made.

    >>> real(3)
    3.0
    """
    return a * 1.0  # type: ignore[return-value]


def is_zero(a: Num) -> bool:
    """Whether a plain number is 0: what is not there costs nothing to work out.

    >>> is_zero(0.0), is_zero(2.0)
    (True, False)
    """
    return isinstance(a, float) and a == 0.0


def maximum(a: Num, b: Num) -> Num:
    """The larger of a and b, elementwise.

    >>> maximum(2.0, 3.0)
    3.0
    """
    if a.__class__ in _EXACT and b.__class__ in _EXACT:
        return a if a >= b else b
    return _other("maximum", a, b)


def minimum(a: Num, b: Num) -> Num:
    """The smaller of a and b, elementwise.

    >>> minimum(2.0, 3.0)
    2.0
    """
    if a.__class__ in _EXACT and b.__class__ in _EXACT:
        return a if a <= b else b
    return _other("minimum", a, b)


def ceil(a: Num) -> Num:
    """The smallest whole number not below a, as a float.

    >>> ceil(2.1)
    3.0
    """
    return float(math.ceil(a)) if a.__class__ in _EXACT else _other("ceil", a)


def floor(a: Num) -> Num:
    """The largest whole number not above a, as a float.

    >>> floor(2.9)
    2.0
    """
    return float(math.floor(a)) if a.__class__ in _EXACT else _other("floor", a)


def log2(a: Num) -> Num:
    """Logarithm to base 2, the same to the last bit for a number and in an array.

    >>> log2(8.0)
    3.0
    """
    return math.log2(a) if a.__class__ in _EXACT else _other("log2", a)


def power(a: Num, b: Num) -> Num:
    """a to the b, the same to the last bit for numbers and in arrays.

    >>> power(2.0, 3.0)
    8.0
    """
    if a.__class__ in _EXACT and b.__class__ in _EXACT:
        return math.pow(a, b)
    return a**b if _made(a, b) is not None else _other("power", a, b)


def sqrt(a: Num) -> Num:
    """Square root, the same to the last bit for a number and in an array.

    >>> sqrt(9.0)
    3.0
    """
    return math.sqrt(a) if a.__class__ in _EXACT else _other("sqrt", a)


def where(condition: Bool, a: Num, b: Num) -> Num:
    """a where the condition holds, else b, elementwise; both are evaluated.

    >>> where(True, 1.0, 2.0)
    1.0
    """
    if isinstance(condition, bool):
        return a if condition else b
    if (made := _made(a, b)) is not None:
        return made("where", condition, a, b)  # type: ignore[no-any-return]
    return _of_numpy("where")(condition, a, b)  # type: ignore[no-any-return]


def everywhere(condition: Bool) -> bool:
    """Whether a condition holds, of arrays for every element.

    >>> everywhere(True)
    True
    """
    return condition if isinstance(condition, bool) else bool(condition.all())


def soft_maximum(a: Num, b: Num) -> Num:
    """Fourth-power mean of two times that overlap: the larger of a and b, a little more where they are close.

    (a^4 + b^4)^(1/4). A kernel near its roofline's ridge reaches neither roof: 19 % above at a = b,
    under 2 % above where they differ twofold. Both must be >= 0.

    >>> round(float(soft_maximum(1.0, 1.0)), 4), round(float(soft_maximum(1.0, 2.0)), 3)
    (1.1892, 2.031)
    """
    if not (a.__class__ in _EXACT and b.__class__ in _EXACT) and (made := _made(a, b)) is not None:
        return made("soft_maximum", a, b)  # type: ignore[no-any-return]
    a2, b2 = a * a, b * b
    return sqrt(sqrt(a2 * a2 + b2 * b2))  # unlike a power, rounded the same way for numbers and arrays


def longer(a: Num, b: Num) -> Num:
    """The larger of two times that pass at once, both of them work [s]: their maximum.

    >>> longer(2.0, 3.0)
    3.0
    """
    if a.__class__ in _EXACT and b.__class__ in _EXACT:
        return a if a >= b else b
    return _other("longer", a, b)


def slower(a: Num, b: Num) -> Num:
    """The smaller of two rates through which the same goes, one after the other [1/s]: their minimum.

    >>> slower(2.0, 3.0)
    2.0
    """
    if a.__class__ in _EXACT and b.__class__ in _EXACT:
        return a if a <= b else b
    return _other("slower", a, b)


def beyond(a: Num, cover: Num) -> Num:
    """What of a time is left when it passes beside another one that is there anyway [s]: max(0, a - cover).

    >>> beyond(3.0, 2.0), beyond(3.0, 4.0)
    (1.0, 0.0)
    """
    if not (a.__class__ in _EXACT and cover.__class__ in _EXACT) and (made := _made(a, cover)) is not None:
        return made("beyond", a, cover)  # type: ignore[no-any-return]
    return maximum(0.0, a - cover)


def crossing(
    rate: Callable[[Num], Num], wanted: Num, low: Num, high: Num, tries: int, ends: tuple[Num, Num] | None = None
) -> Num:
    """Where a growing function reaches `wanted`, between `low` and `high`; `high` where it does not, `low` where it is
    beyond it from there on.

    False position by Anderson and Björck (1973) on x wanted / rate(x) - x, which is a straight line where x / rate(x)
    is one: a time that grows evenly with what is in flight. Ends at `NEAR` or after so many tries, the later of which
    halve: where the function jumps over `wanted`, they come to the place of the jump.
    low, high: > 0, of the shape of `wanted`; ends: the rates there, where they are known.

    >>> round(crossing(lambda x: x * x, 9.0, 1.0, 100.0, 30), 6)
    3.0
    """
    if (made := _made(wanted, high)) is not None:
        return made("crossing", rate, wanted, low, high, tries)  # type: ignore[no-any-return]
    low, high = low + 0.0 * wanted, high + 0.0 * wanted
    fewest, most = (rate(low), rate(high)) if ends is None else ends
    under, over = wanted / fewest * low - low, wanted / most * high - high
    found, done, side = where(under <= 0.0, low, high), (over >= 0.0) | (under <= 0.0), 0.0 * high
    for number in range(tries):
        if everywhere(done):
            break
        middle = (low * over - high * under) / where(over < under, over - under, -1.0)
        if number > _STRAIGHT:
            middle = sqrt(low * high)
        found = where(done, found, minimum(maximum(middle, low), high))
        off = wanted / rate(found) - 1.0
        done, rises = done | (maximum(off, -off) <= NEAR), off > 0.0
        # an end that stays again counts as much as a parabola through all three points says, else half
        gone, now = where(rises, under, over), where(rises, 1.0, -1.0)
        share = 1.0 - off * found / where(gone == 0.0, 1.0, gone)
        share = where(side * now < 0.0, 1.0, where(share > 0.0, share, 1.0 / 2.0))
        over, under = where(rises, share * over, off * found), where(rises, off * found, share * under)
        low, high, side = where(rises, found, low), where(rises, high, found), now
    return found


def _other(name: str, *numbers: Num) -> Num:
    """The function of that name for what is no plain number."""
    if (made := _made(*numbers)) is not None:
        return made(name, *numbers)  # type: ignore[no-any-return]
    for number in numbers:
        if not isinstance(number, _PLAIN):
            return _of_numpy(name)(*numbers)  # type: ignore[no-any-return]
    return globals()[name](*map(float, numbers))  # type: ignore[no-any-return]  # of a kind of float, as numpy's


def _made(*numbers: Num) -> Any:
    """The arithmetic of numbers that remember how they were made; None where there are none."""
    for number in numbers:
        if hasattr(number, "made"):
            return number.made
    return None


@cache
def _of_numpy(name: str) -> Any:
    import numpy

    if name in _ROUNDED_ELSEWISE:
        function, count = _ROUNDED_ELSEWISE[name]
        each = numpy.frompyfunc(function, count, 1)
        return lambda *numbers: numpy.asarray(each(*numbers), dtype=float)
    return getattr(numpy, _OF_NUMPY.get(name, name))
