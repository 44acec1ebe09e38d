"""A number that remembers how it was made: it runs through the formulas as they are.

`leaf(3.35e12, note)` is a number with a note of where it was read. What operators and the functions of
`llmplan.formulas.numeric` work out from it is the same to the last bit as without, and holds the operation, its
operands and its derivatives. So one evaluation of a plan whose numbers are leaves can be walked down to where each was
read, and `slopes` has the derivatives by all of them in one pass backwards.

A comparison gives a plain bool, so that of two branches only the one that was taken is remembered. Steps that change
nothing (adding 0, multiplying by 1) are left out, and what is multiplied by 0 is a plain 0. Whole numbers stay whole:
they count, index and print as before, though they are floats too (Python's `2.0 * n` would never ask a kind of int).
Ignored: kinks, where the derivative of one side is given; whole numbers beyond 2^53, which no plan has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from operator import attrgetter
from typing import Any

from llmplan.formulas import numeric

Gradient = Callable[..., tuple[float, ...]]
Root = tuple[Any, bool]
"""A number that is asked about, and whether what works at once counts in full (`AT_WORK`)."""
OfLeaves = Callable[[int, list[tuple[Any, Any]]], dict[str, Any]]


class Remembering:
    """What a number and an array (`llmplan.formulas.traced_arrays`) that remember are."""

    __slots__ = ()


class Traced(Remembering, float):
    """A float that remembers.

    op: the operation (`leaf` where it was read, `name` where it only got another name); of: its operands; grads: the
    derivatives by them; note: about a leaf or a name, by whoever gave it; serial: grows with each number that is made,
    so that operands come before what is made of them.
    """

    __slots__ = ("grads", "note", "of", "op", "serial")
    __array_ufunc__ = None  # so that numpy leaves operators with arrays to this class, and they remember too
    __hash__ = float.__hash__
    op: str
    of: tuple[Any, ...]
    grads: tuple[float, ...]
    note: Any
    serial: int

    @staticmethod
    def made(name: str, *operands: Any) -> Any:
        """The result of a function of `numeric`."""
        if name == "crossing":
            return _crossing(*operands)
        if not all(isinstance(one, _PLAIN) for one in operands):
            return _of_arrays(name, *operands)
        plain = tuple(map(float, operands))
        return _node(name, getattr(numeric, name)(*plain), operands, _FUNCTIONS[name](*plain))


class Whole(Traced):
    """A whole number that remembers."""

    __slots__ = ()

    def __index__(self) -> int:
        return int(float(self))

    def __str__(self) -> str:
        return str(int(self))

    def __format__(self, spec: str) -> str:
        return format(int(self) if spec in ("", "d", ",") else float(self), spec)


_PLAIN = (int, float)
next_serial = count().__next__
LN_2 = math.log(2.0)


def _node(op: str, value: float, of: tuple[Any, ...], grads: tuple[float, ...], note: Any = None) -> Any:
    """A number of the kind of its value."""
    new = Traced.__new__(Whole if value.__class__ is int else Traced, value)
    new.op, new.of, new.grads, new.note, new.serial = op, of, grads, note, next_serial()
    return new


def leaf(value: float, note: Any) -> Any:
    """A number as it was read; note: where."""
    return _node("leaf", value, (), (), note)


def renamed(value: Any, note: Any) -> Any:
    """The same number under another name: an argument of a function, or its result."""
    return _node("name", plain(value), (value,), (1.0,), note)


def plain(value: Any) -> Any:
    """The number alone."""
    return int(value) if isinstance(value, (int, Whole)) else float(value)


def remembers(value: Any) -> bool:
    """Whether it is such a number."""
    return isinstance(value, Remembering)


def as_float(value: Any) -> Any:
    """A whole number as a float that remembers the same."""
    return _node(value.op, float(value), value.of, value.grads, value.note) if isinstance(value, Whole) else value


def _slopes_of_power(a: float, b: float) -> tuple[float, float]:
    by_a = b * a ** (b - 1.0) if a or b >= 1.0 else 0.0
    return by_a, a**b * math.log2(a) * LN_2 if a > 0.0 else 0.0


def _slopes_of_soft_maximum(a: float, b: float) -> tuple[float, float]:
    """(a / m)^3 and (b / m)^3, with m the soft maximum."""
    m = float(numeric.soft_maximum(a, b))
    x, y = (a / m, b / m) if m else (1.0, 0.0)
    return x * x * x, y * y * y  # unlike a power, rounded the same way for numbers and arrays


def _squares(a: Any, b: Any) -> tuple[Any, Any]:
    return a * a, b * b


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
    "slower": lambda a, b: (1.0, 0.0) if a <= b else (0.0, 1.0),
    "beyond": lambda a, b: (1.0, -1.0) if a > b else (0.0, 0.0),
    "soft_maximum": _slopes_of_soft_maximum,
    "ceil": lambda a: (0.0,),
    "floor": lambda a: (0.0,),
    "sqrt": lambda a: (0.5 / math.sqrt(a) if a else 0.0,),
    "log2": lambda a: (1.0 / (a * LN_2),),
}
AT_WORK: dict[str, Gradient] = {
    "longer": lambda a, b: (1.0, 1.0),
    "soft_maximum": lambda a, b: (1.0, 1.0),
    "beyond": lambda a, b: (1.0, 0.0),
    "slower": lambda a, b: _squares(min(a, b) / a, min(a, b) / b),  # of a time bytes / rate: bytes / a, bytes / b
}
"""Of times that overlap, and of rates in a row: the derivatives by which each counts with all the work that it does,
hidden or not."""

_LEFT, _RIGHT = (("+",), ("*",)), (("+", "-"), ("*", "/", "**"))  # operators that 0, and 1, on that side leave alone


def _unchanged(op: str, a: Any, b: Any) -> Any:
    """The operand that the operation leaves as it is; None where there is none. a, b: one of them remembers."""
    if b in (0, 1) and not isinstance(b, Traced) and op in _RIGHT[int(b)]:
        return a
    return b if a in (0, 1) and not isinstance(a, Traced) and op in _LEFT[int(a)] else None


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
        if isinstance(other, _PLAIN):
            return _lifted(op, operate, gradient, self, other)
        return _of_arrays(op, self, other)

    def swapped(self: Any, other: Any) -> Any:
        if isinstance(other, _PLAIN):
            return _lifted(op, operate, gradient, other, self)
        return _of_arrays(op, other, self)

    return method, swapped


def _comparison(name: str) -> Any:
    compare = getattr(float, name)

    def method(self: Any, other: Any) -> Any:
        found = compare(self, other)
        if found is NotImplemented and hasattr(other, "ndim") and not isinstance(other, Remembering):
            return getattr(other, _MIRRORED[name])(plain(self))
        return found

    return method


_MIRRORED = {
    "__lt__": "__gt__", "__le__": "__ge__", "__gt__": "__lt__", "__ge__": "__le__", "__eq__": "__eq__",
    "__ne__": "__ne__",
}  # fmt: skip
"""The same comparison from the other side."""


def _of_arrays(op: str, *operands: Any) -> Any:
    """The result of an operation on numbers and arrays, by `llmplan.formulas.traced_arrays` once that is loaded."""
    return next((work(op, *operands) for work in OF_ARRAYS if any(hasattr(one, "ndim") for one in operands)),
                NotImplemented)  # fmt: skip


OF_ARRAYS: list[Callable[..., Any]] = []
"""What works out operations on arrays; none before it is loaded, and with it numpy."""


def _whole(name: str, operate: Callable[[Any], int]) -> Any:
    def method(self: Any) -> Any:
        return _node(name, operate(plain(self)), (self,), (0.0,))

    return method


def _negative(self: Any) -> Any:
    return _node("negative", -plain(self), (self,), (-1.0,))


def _equip() -> None:
    for name, (op, operate, gradient) in _OPERATORS.items():
        method, swapped = _operator(op, operate, gradient)
        setattr(Traced, f"__{name}__", method)
        setattr(Traced, f"__r{name}__", swapped)
    for name in _MIRRORED:
        setattr(Traced, name, _comparison(name))
    for name, method in {
        "neg": _negative,
        "ceil": _whole("ceil", math.ceil),
        "floor": _whole("floor", math.floor),
    }.items():
        setattr(Traced, f"__{name}__", method)


_equip()


def _crossing(rate: Callable[[Any], Any], wanted: Any, low: Any, high: Any, tries: int) -> Any:
    """`numeric.crossing` of numbers that remember; its derivatives are those of the function that is crossed.

    From f(x, leaves) = w it follows that dx = (dw - df) / f', with df at a fixed x.
    """
    found = numeric.crossing(lambda x: plain(rate(x)), plain(wanted), plain(low), plain(high), tries)
    at = leaf(float(found), "crossing")
    slope = next((slope for node, slope in slopes(rate(at)) if node is at), 0.0)
    if found >= plain(high) or not slope:  # not reached: the upper end
        return high
    held = rate(float(found))
    return _node("crossing", float(found), (wanted, held), (1.0 / slope, -1.0 / slope))


def in_order(*roots: Any) -> list[Any]:
    """Every number that the roots are made of, each once, operands before what is made of them."""
    found = {id(root): root for root in roots if remembers(root)}
    waiting = list(found.values())
    while waiting:
        for operand in waiting.pop().of:
            if id(operand) not in found and isinstance(operand, Remembering):
                found[id(operand)] = operand
                waiting.append(operand)
    return sorted(found.values(), key=attrgetter("serial"))


class Tape:
    """The numbers that some results are made of, in order, for passes backwards from any of them."""

    def __init__(self, *roots: Any) -> None:
        self.nodes = in_order(*roots)
        self._places = {id(node): place for place, node in enumerate(self.nodes)}
        self._operands = [self._of(node, node.grads) for node in self.nodes]

    def _of(self, node: Any, grads: tuple[float, ...]) -> list[tuple[int, float]]:
        """Places of a node's operands that remember, with the derivatives by them."""
        places = self._places
        return [(places[id(one)], grad) for one, grad in zip(node.of, grads, strict=True) if id(one) in places]

    def slopes(self, root: Any, *, at_work: bool = False) -> list[float]:
        """The derivative of a root by every number; at_work: what works at once counts in full (`AT_WORK`)."""
        return self.passed_back([(root, 1.0)], at_work=at_work)

    def passed_back(self, seeds: Iterable[tuple[Any, Any]], *, at_work: bool = False) -> list[Any]:
        """The derivative by every number of what has these derivatives by some of them, numbers or arrays."""
        found: list[Any] = [0.0] * len(self.nodes)
        for root, slope in seeds:
            if (at := self._places.get(id(root))) is not None:  # a plain number hangs on none
                found[at] = found[at] + slope
        for place in range(len(found) - 1, -1, -1):
            slope = found[place]
            if slope.__class__ is not float or slope:
                operands = self._operands[place]
                if at_work and (node := self.nodes[place]).op in AT_WORK:
                    operands = self._of(node, AT_WORK[node.op](*map(float, node.of)))
                for operand, grad in operands:
                    found[operand] = found[operand] + slope * grad
        return found

    def leaves(self, slopes: list[Any]) -> list[tuple[Any, Any]]:
        """Every leaf, each with a derivative by it times its value."""
        pairs = zip(self.nodes, slopes, strict=True)
        return [(node, slope * float(node)) for node, slope in pairs if node.op == "leaf"]

    def by_leaf(self, root: Any, *, at_work: bool = False) -> list[tuple[Any, float]]:
        """Every leaf with d(root) / d(ln leaf) [unit of the root]."""
        return self.leaves(self.slopes(root, at_work=at_work))

    def of_roots(self, asked: Sequence[Root], figures: OfLeaves) -> list[dict[str, Any]]:
        """Of every root figures of its leaves as `by_leaf` has them, of the machine of that number."""
        return [figures(0, self.by_leaf(root, at_work=at_work)) for root, at_work in asked]


def slopes(root: Any) -> list[tuple[Any, float]]:
    """Every number that a number is made of, with the derivative by it."""
    tape = Tape(root)
    return list(zip(tape.nodes, tape.slopes(root), strict=True))


def by_leaf(root: Any, *, at_work: bool = False) -> list[tuple[Any, float]]:
    """Every leaf of a number with d(number) / d(ln leaf) [unit of the number]."""
    return Tape(root).by_leaf(root, at_work=at_work)
