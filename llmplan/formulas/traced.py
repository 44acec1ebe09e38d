"""A number that remembers how it was made: it runs through the formulas as they are.

`leaf(3.35e12, note)` is a number with a note of where it was read. What operators and the functions of
`llmplan.formulas.numeric` work out from it is the same to the last bit as without, and holds the operation, its
operands and its derivatives. So one evaluation of a plan whose numbers are leaves can be walked down to where each was
read, and `slopes` has the derivatives by all of them in one pass backwards.

A comparison gives a plain bool, so that of two branches only the one that was taken is remembered. Steps that change
nothing (adding 0, multiplying by 1) are left out, and what is multiplied by 0 is a plain 0. Whole numbers stay whole:
they count, index and print as before. Ignored: kinks, where the derivative of one side is given; whole numbers that are
too large for a float (beyond 2^53), which no plan has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from llmplan.formulas import numeric

Gradient = Callable[..., tuple[float, ...]]


class _Made:
    """What a number of either kind remembers.

    op: the operation (`leaf` where it was read, `name` where it only got another name); of: its operands; grads: the
    derivatives by them; note: about a leaf or a name, by whoever gave it.
    """

    __slots__ = ()
    op: str
    of: tuple[Any, ...]
    grads: tuple[float, ...]
    note: Any

    @staticmethod
    def made(name: str, *operands: Any) -> Any:
        """The result of a function of `numeric`."""
        if name == "crossing":
            return _crossing(*operands)
        plain = tuple(map(float, operands))
        return _node(name, getattr(numeric, name)(*plain), operands, _FUNCTIONS[name](*plain))


class Traced(_Made, float):
    """A float that remembers."""

    __slots__ = ("grads", "note", "of", "op")


class TracedInt(_Made, int):
    """A whole number that remembers."""


def _node(op: str, value: float, of: tuple[Any, ...], grads: tuple[float, ...], note: Any = None) -> Any:
    """A number of the kind of its value."""
    new: Any = int.__new__(TracedInt, value) if value.__class__ is int else float.__new__(Traced, value)
    new.op, new.of, new.grads, new.note = op, of, grads, note
    return new


def leaf(value: float, note: Any) -> Any:
    """A number as it was read; note: where."""
    return _node("leaf", value, (), (), note)


def renamed(value: Any, note: Any) -> Any:
    """The same number under another name: an argument of a function, or its result."""
    return _node("name", plain(value), (value,), (1.0,), note)


def plain(value: Any) -> Any:
    """The number alone."""
    return int(value) if isinstance(value, int) else float(value)


def remembers(value: Any) -> bool:
    """Whether it is such a number."""
    return isinstance(value, _Made)


def as_float(value: Any) -> Any:
    """A whole number as a float that remembers the same."""
    return value if isinstance(value, float) else _node(value.op, float(value), value.of, value.grads, value.note)


def _slopes_of_power(a: float, b: float) -> tuple[float, float]:
    by_a = b * a ** (b - 1.0) if a or b >= 1.0 else 0.0
    return by_a, a**b * math.log(a) if a > 0.0 else 0.0


def _slopes_of_soft_maximum(a: float, b: float) -> tuple[float, float]:
    """(a / m)^3 and (b / m)^3, with m the soft maximum."""
    m = float(numeric.soft_maximum(a, b))
    return ((a / m) ** 3, (b / m) ** 3) if m else (1.0, 0.0)


# Derivatives by each operand of what operators and functions of numeric give.
_OPERATORS: dict[str, tuple[str, Callable[[Any, Any], Any], Gradient]] = {
    "add": ("+", lambda a, b: a + b, lambda a, b: (1.0, 1.0)),
    "sub": ("-", lambda a, b: a - b, lambda a, b: (1.0, -1.0)),
    "mul": ("*", lambda a, b: a * b, lambda a, b: (b, a)),
    "truediv": ("/", lambda a, b: a / b, lambda a, b: (1.0 / b, -a / b / b)),
    "floordiv": ("//", lambda a, b: a // b, lambda a, b: (0.0, 0.0)),
    "pow": ("**", lambda a, b: a**b, _slopes_of_power),
}
_FUNCTIONS: dict[str, Gradient] = {
    "maximum": lambda a, b: (1.0, 0.0) if a >= b else (0.0, 1.0),
    "minimum": lambda a, b: (1.0, 0.0) if a <= b else (0.0, 1.0),
    "longer": lambda a, b: (1.0, 0.0) if a >= b else (0.0, 1.0),
    "beyond": lambda a, b: (1.0, -1.0) if a > b else (0.0, 0.0),
    "soft_maximum": _slopes_of_soft_maximum,
    "ceil": lambda a: (0.0,),
    "floor": lambda a: (0.0,),
    "sqrt": lambda a: (0.5 / math.sqrt(a) if a else 0.0,),
    "log2": lambda a: (1.0 / (a * math.log(2.0)),),
}
AT_WORK = {"longer": (1.0, 1.0), "soft_maximum": (1.0, 1.0), "beyond": (1.0, 0.0)}
"""Of times that overlap: what each adds to the work that is done, hidden or not."""


def _unchanged(op: str, a: Any, b: Any) -> Any:
    """The operand that the operation leaves as it is; None where there is none. a, b: one of them remembers."""
    if b.__class__ is float or b.__class__ is int or b.__class__ is bool:
        kept = a if (b == 0 and op in "+-") or (b == 1 and op in ("*", "/", "**")) else None
    elif a.__class__ is float or a.__class__ is int or a.__class__ is bool:
        kept = b if (a == 0 and op == "+") or (a == 1 and op == "*") else None
    else:
        return None
    return kept


def _lifted(op: str, operate: Callable[[Any, Any], Any], gradient: Gradient, a: Any, b: Any) -> Any:
    """The result of an operator on two numbers, one of which remembers."""
    one, two = plain(a), plain(b)
    value = operate(one, two)
    if (kept := _unchanged(op, a, b)) is not None:
        return kept if value.__class__ is int else as_float(kept)
    if op == "*" and ((one == 0 and not remembers(a)) or (two == 0 and not remembers(b))):
        return value
    return _node(op, value, (a, b), gradient(float(one), float(two)))


def _operator(op: str, operate: Callable[[Any, Any], Any], gradient: Gradient) -> tuple[Any, Any]:
    def method(self: Any, other: Any) -> Any:
        return _lifted(op, operate, gradient, self, other) if isinstance(other, (int, float)) else NotImplemented

    def swapped(self: Any, other: Any) -> Any:
        return _lifted(op, operate, gradient, other, self) if isinstance(other, (int, float)) else NotImplemented

    return method, swapped


def _whole(name: str, operate: Callable[[Any], int]) -> Any:
    def method(self: Any) -> Any:
        return _node(name, operate(plain(self)), (self,), (0.0,))

    return method


def _negative(self: Any) -> Any:
    return _node("negative", -plain(self), (self,), (-1.0,))


def _equip() -> None:
    """Gives both kinds their operators. Each class needs its own: those of float and int come first otherwise."""
    for kind in (Traced, TracedInt):
        for name, (op, operate, gradient) in _OPERATORS.items():
            method, swapped = _operator(op, operate, gradient)
            setattr(kind, f"__{name}__", method)
            setattr(kind, f"__r{name}__", swapped)
        kind.__neg__ = _negative  # type: ignore[method-assign]
        kind.__ceil__ = _whole("ceil", math.ceil)  # type: ignore[method-assign]
        kind.__floor__ = _whole("floor", math.floor)  # type: ignore[method-assign]


_equip()


def _crossing(rate: Callable[[Any], Any], wanted: Any, low: Any, high: Any, halvings: int) -> Any:
    """`numeric.crossing` of numbers that remember; its derivatives are those of the function that is crossed.

    From f(x, leaves) = w it follows that dx = (dw - df) / f', with df at a fixed x.
    """
    found = numeric.crossing(lambda x: plain(rate(x)), plain(wanted), plain(low), plain(high), halvings)
    at = leaf(float(found), "crossing")
    reached = rate(at)
    slope = slopes(reached).get(id(at), 0.0)
    if found >= plain(high) or not slope:  # not reached: the upper end
        return high
    held = rate(float(found))
    return _node("crossing", float(found), (wanted, held), (1.0 / slope, -1.0 / slope))


def in_order(roots: Iterable[Any]) -> list[Any]:
    """Every number that the roots are made of, each once, operands before what is made of them."""
    order: list[Any] = []
    seen: set[int] = set()
    waiting: list[tuple[Any, bool]] = [(root, False) for root in roots]
    while waiting:
        node, ready = waiting.pop()
        if ready:
            order.append(node)
        elif isinstance(node, _Made) and id(node) not in seen:
            seen.add(id(node))
            waiting.append((node, True))
            waiting.extend((operand, False) for operand in node.of)
    return order


def slopes(root: Any, *, at_work: bool = False) -> dict[int, float]:
    """Derivatives of a number by every number that it is made of, by `id`: one pass backwards.

    at_work: of times that overlap each counts in full (`AT_WORK`), so that the result is of the work that is done.
    """
    order = in_order((root,))
    found = {id(root): 1.0}
    for node in reversed(order):
        slope = found.get(id(node), 0.0)
        if slope:
            grads = AT_WORK.get(node.op, node.grads) if at_work else node.grads
            for operand, grad in zip(node.of, grads, strict=True):
                if grad and isinstance(operand, _Made):
                    found[id(operand)] = found.get(id(operand), 0.0) + slope * grad
    return found


def by_leaf(root: Any, *, at_work: bool = False) -> list[tuple[Any, float]]:
    """Every leaf of a number with d(number) / d(ln leaf) [unit of the number]."""
    found = slopes(root, at_work=at_work)
    leaves = (node for node in in_order((root,)) if node.op == "leaf")
    return [(node, found.get(id(node), 0.0) * float(node)) for node in leaves]
