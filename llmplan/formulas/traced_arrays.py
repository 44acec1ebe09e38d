"""Arrays that remember how they were made: `llmplan.formulas.traced` for many plans in one evaluation.

What numbers that remember are worked out to with arrays of layouts is a `TracedArray`. A pass backwards gives the
derivatives of every element, equal to the last bit to those of its plan alone: an element that does not take a branch
passes nothing on to it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmplan.formulas import numeric
from llmplan.formulas.traced import AT_WORK, LN_2, OF_ARRAYS, Remembering, Tape, Traced, in_order, next_serial, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmplan.formulas.traced import OfLeaves, Root

    Gradient = Callable[..., tuple[Any, ...]]


class TracedArray(Remembering):
    """An array that remembers: its value, the operation that gave it, its operands; serial as that of `Traced`."""

    __slots__ = ("of", "op", "serial", "value")
    __array_ufunc__ = None  # so that numpy leaves operators to this class
    made = staticmethod(Traced.made)

    def __init__(self, value: NDArray[np.float64], op: str, of: tuple[Any, ...]) -> None:
        self.value, self.op, self.of, self.serial = value, op, of, next_serial()

    @property
    def ndim(self) -> int:
        """Axes of the array."""
        return self.value.ndim


class Gathered(TracedArray):
    """An array of numbers that remember, one of each machine: numbers, and index: whose each element is."""

    __slots__ = ("index", "numbers")

    def __init__(self, numbers: tuple[Any, ...], index: Any) -> None:
        super().__init__(np.array(list(map(float, numbers)))[index], "gathered", ())
        self.numbers, self.index = numbers, index


def bare(value: Any) -> Any:
    """The number or array alone."""
    if isinstance(value, TracedArray):
        return value.value
    return plain(value) if isinstance(value, Traced) else value


def worked_out(op: str, *operands: Any) -> Any:
    """The result of an operation; without memory where nothing that remembers has a part in it."""
    operate, gradient = _OPERATIONS[op]
    value = operate(*map(bare, operands))
    if gradient is None:
        return value
    kept = _unchanged(op, *operands) if len(operands) == len(_SIDES) else None
    if kept is not None:
        return kept
    return value if op == "*" and _is_zero(operands) else TracedArray(value, op, operands)


def _is_zero(operands: tuple[Any, ...]) -> bool:
    return any(isinstance(one, (int, float)) and not isinstance(one, Traced) and one == 0 for one in operands)


def _unchanged(op: str, a: Any, b: Any) -> Any:
    """The array that the operation leaves as it is; None where there is none."""
    for array, number, operators in zip((b, a), (a, b), _SIDES, strict=True):
        plain_number = isinstance(number, (int, float)) and not isinstance(number, Traced)
        if plain_number and number in (0, 1) and op in operators[int(number)]:
            return array
    return None


_SIDES = ((("+",), ("*",)), (("+", "-"), ("*", "/", "**")))
"""Operators that 0, and 1, on the left and on the right side leave alone."""


def _one_of(condition: Any) -> tuple[Any, Any]:
    return np.where(condition, 1.0, 0.0), np.where(condition, 0.0, 1.0)


def _of_soft_maximum(a: Any, b: Any) -> tuple[Any, Any]:
    m = numeric.soft_maximum(a, b)
    x, y = np.where(m == 0.0, 1.0, a / m), np.where(m == 0.0, 0.0, b / m)
    return x * x * x, y * y * y


def _of_power(a: Any, b: Any) -> tuple[Any, Any]:
    by_a = np.where((np.asarray(a) != 0.0) | (np.asarray(b) >= 1.0), b * numeric.power(a, b - 1.0), 0.0)
    positive = np.asarray(a) > 0.0
    return by_a, np.where(positive, numeric.power(a, b) * numeric.log2(np.where(positive, a, 1.0)) * LN_2, 0.0)


_OPERATIONS: dict[str, tuple[Callable[..., Any], Gradient | None]] = {
    "+": (operator.add, lambda a, b: (1.0, 1.0)),
    "-": (operator.sub, lambda a, b: (1.0, -1.0)),
    "*": (operator.mul, lambda a, b: (b, a)),
    "/": (operator.truediv, lambda a, b: (1.0 / b, -a / b / b)),
    "**": (numeric.power, _of_power),
    "negative": (operator.neg, lambda a: (-1.0,)),
    "maximum": (numeric.maximum, lambda a, b: _one_of(a >= b)),
    "minimum": (numeric.minimum, lambda a, b: _one_of(a <= b)),
    "longer": (numeric.longer, lambda a, b: _one_of(a >= b)),
    "slower": (numeric.slower, lambda a, b: _one_of(a <= b)),
    "beyond": (numeric.beyond, lambda a, b: (np.where(a > b, 1.0, 0.0), np.where(a > b, -1.0, 0.0))),
    "soft_maximum": (numeric.soft_maximum, _of_soft_maximum),
    "sqrt": (numeric.sqrt, lambda a: (np.where(a > 0.0, 0.5 / np.sqrt(a), 0.0),)),
    "log2": (numeric.log2, lambda a: (1.0 / (a * LN_2),)),
    "where": (np.where, lambda condition, a, b: (0.0, *_one_of(condition))),
    "//": (operator.floordiv, None),
    "ceil": (numeric.ceil, None),
    "floor": (numeric.floor, None),
}
"""Of each operation: what works it out, and its derivatives by the operands; None where they are 0."""


def _slower_work(a: Any, b: Any) -> tuple[Any, Any]:
    x, y = np.minimum(a, b) / a, np.minimum(a, b) / b
    return x * x, y * y


_WORK_OF_ARRAYS = AT_WORK | {"slower": _slower_work}


def _equip() -> None:
    for name, op in {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "pow": "**"}.items():
        setattr(TracedArray, f"__{name}__", lambda self, other, op=op: worked_out(op, self, other))
        setattr(TracedArray, f"__r{name}__", lambda self, other, op=op: worked_out(op, other, self))
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        compare = getattr(operator, name)
        setattr(TracedArray, f"__{name}__", lambda self, other, compare=compare: compare(self.value, bare(other)))
    TracedArray.__neg__ = lambda self: worked_out("negative", self)  # type: ignore[operator]


_equip()
OF_ARRAYS.append(worked_out)


class ArrayTape:
    """The numbers and arrays that some results are made of, in order, for passes backwards from any of them.

    Through the arrays first, then through the numbers of each machine by themselves, of which arrays were `Gathered`.
    """

    def __init__(self, *roots: Any) -> None:
        self.nodes = in_order(*roots)
        self._places = {id(node): place for place, node in enumerate(self.nodes)}
        gathered = [node for node in self.nodes if isinstance(node, Gathered)]
        each = zip(*(node.numbers for node in gathered), strict=True)
        self._machines = [
            (np.flatnonzero(gathered[0].index == place), Tape(*numbers)) for place, numbers in enumerate(each)
        ]

    def by_leaf(self, root: Any, *, at_work: bool = False) -> list[tuple[Any, Any]]:
        """Every leaf with d(root) / d(ln leaf), an element a plan [unit of the root]; as `traced.Tape`."""
        slopes, _ = self._slopes([(root, at_work)])
        return self._leaves([None if slope is None else slope[0] for slope in slopes])

    def of_roots(self, asked: Sequence[Root], figures: OfLeaves) -> list[dict[str, Any]]:
        """Of every root figures of its leaves, an element a plan; as `traced.Tape`, all of them in one pass."""
        slopes, passed = self._slopes(asked)
        if not self._machines:
            return [figures(0, self._leaves([None if slope is None else slope[place] for slope in slopes]))
                    for place in range(len(asked))]  # fmt: skip
        shape = len(asked), len(passed[0][0].value)
        alone = len(self._machines) == shape[1]  # a plan on each machine: its numbers are plain, taken out at once
        whole = [(node.numbers, np.broadcast_to(part, shape)) for node, part in passed]
        parts = [(numbers, part.T.tolist() if alone else part) for numbers, part in whole]
        found: list[dict[str, Any]] = [{} for _ in asked]
        for place, (rows, tape) in enumerate(self._machines):
            own = [(numbers[place], part[rows[0]] if alone else
                    part[:, rows[0]].tolist() if len(rows) == 1 else part[:, rows])
                   for numbers, part in parts]  # fmt: skip
            for number, (_, at_work) in enumerate(asked):
                seeds = [(one, part[number]) for one, part in own]
                leaves = tape.leaves(tape.passed_back(seeds, at_work=at_work))
                for name, value in figures(place, leaves).items():
                    found[number].setdefault(name, np.zeros(shape[1]))[rows] = value
        return found

    def _leaves(self, slopes: list[Any]) -> list[tuple[Any, Any]]:
        pairs = zip(self.nodes, slopes, strict=True)
        return [(node, slope * float(node)) for node, slope in pairs if slope is not None and node.op == "leaf"]

    def _slopes(self, asked: Sequence[Root]) -> tuple[list[Any], list[tuple[Gathered, Any]]]:
        """The derivatives of every root by every number and array, None where none hangs on it; and what is passed on
        to numbers of machines, in the order in which it would be added up of one plan alone."""
        found: list[Any] = [None] * len(self.nodes)
        passed: list[tuple[Gathered, Any]] = []
        for number, (root, _) in enumerate(asked):
            if (at := self._places.get(id(root))) is not None:
                found[at] = np.zeros((len(asked), 1)) if found[at] is None else found[at]
                found[at][number] = 1.0
        work = np.array([[at_work] for _, at_work in asked])
        with np.errstate(all="ignore"):  # of branches that are not taken
            for place in range(len(found) - 1, -1, -1):
                slope, node = found[place], self.nodes[place]
                if slope is None or node.op == "leaf":
                    continue
                if isinstance(node, Gathered):
                    passed.append((node, slope))
                for operand, grad in zip(node.of, _grads(node, work), strict=True):
                    if isinstance(operand, Gathered):
                        passed.append((operand, _passed_on(slope, grad)))
                    elif (at := self._places.get(id(operand))) is not None:
                        part = _passed_on(slope, grad)
                        found[at] = part if found[at] is None else found[at] + part
        return found, passed


def _grads(node: Any, work: Any) -> tuple[Any, ...]:
    """Derivatives by the operands; work: of which roots what works at once counts in full."""
    grads: tuple[Any, ...]
    if isinstance(node, TracedArray):
        gradient = _OPERATIONS[node.op][1] if node.of else None
        grads = () if gradient is None else gradient(*map(bare, node.of))
    else:
        grads = node.grads
    if node.op not in AT_WORK or not work.any():
        return grads
    full = _WORK_OF_ARRAYS[node.op](*map(bare, node.of))
    return tuple(np.where(work, one, two) for one, two in zip(full, grads, strict=True))


def _passed_on(slope: Any, grad: Any) -> Any:
    """Their product; nothing where there is nothing to pass on, be the derivative no number there."""
    if grad.__class__ is float:
        return slope if grad == 1.0 else slope * grad
    part = slope * grad
    return part if math.isfinite(np.add.reduce(part, axis=None)) else np.where(slope == 0.0, 0.0, part)
