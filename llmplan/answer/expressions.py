"""A number that remembers, written down: the expression that made it, in the words of the function where it was made.

A function's expression ends at its arguments, at results of the functions that it calls, at its other results, at
numbers that were read, and at plain numbers. Of numbers that only get another name (passed on, chosen) the last maker
counts.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

from llmplan.answer.recording import ArgumentMark, Call, Constant, ResultMark
from llmplan.formulas.traced import remembers
from llmplan.records import dataclass

_SIGNS = {"+": (1, " + "), "-": (1, " - "), "*": (2, " x "), "/": (2, " / "), "//": (2, " // "), "**": (4, " ^ ")}
_NEGATIVE, _WHOLE = 3, 9
_WORDS = {"maximum": "max", "minimum": "min", "longer": "max", "slower": "min", "beyond": "max 0, "}
_SHOWN_ONCE = 3  # operands from which a part that stands twice gets a letter
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Expression:
    """text: the expression; where: what its letters stand for; operands: the numbers in it by name."""

    text: str
    where: dict[str, str]
    operands: dict[str, Any]


def maker(number: Any) -> Any:
    """The number that this one is under its last names: a result of a function, an operation, a leaf, or plain."""
    while remembers(number) and number.op == "name":
        inner = number.of[0]
        if isinstance(number.note, ResultMark) and not (remembers(inner) and inner.op in ("name", "leaf")):
            break
        number = inner
    return number


def expression(number: Any) -> Expression:
    """What made a number: the body of the function that it is a result of, or the operation that it is."""
    number = maker(number)
    inside = number.note.call if _is_result(number) else None
    body = number.of[0] if inside else number
    writer = _ExpressionWriter(inside, body)
    text, _ = writer.write(body, top=True)
    return Expression(text, writer.where, writer.operands)


def _is_result(number: Any) -> bool:
    return remembers(number) and number.op == "name" and isinstance(number.note, ResultMark)


@dataclass(slots=True)
class _ExpressionWriter:
    """Writes one expression; call: in whose body it stands."""

    call: Call | None
    body: Any
    where: dict[str, str] = field(default_factory=dict)
    operands: dict[str, Any] = field(default_factory=dict)
    written: dict[int, str] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)

    def write(self, number: Any, *, top: bool = False) -> tuple[str, int]:
        """Text and how tightly it binds."""
        if top:
            self._count(number)
        if not remembers(number):
            return f"{number:.6g}", _WHOLE
        if (known := self.written.get(id(number)) or self._name(number)) is not None:
            return known, _WHOLE
        if number.op == "name":
            return self.write(number.of[0])
        text, strength = self._operation(number)
        if not top and self.counts[id(number)] > 1 and self._size(number) >= _SHOWN_ONCE:
            letter = _LETTERS[len(self.where) % len(_LETTERS)]
            self.where[letter] = text
            self.written[id(number)] = letter
            return letter, _WHOLE
        return text, strength

    def _name(self, number: Any) -> str | None:
        """What a number is called here, and noted as an operand; None where its operation is to be written."""
        if (symbol := self._symbol(number)) is not None:
            return self._named(symbol, number)
        other = self._other(number)
        return None if other is None else self._named(other.note.field, other, number)

    def _symbol(self, number: Any) -> str | None:
        """The name of what an expression ends at; None for an operation, or what goes by another name here."""
        if number.op == "leaf":
            return leaf_name(number)
        if number.op == "crossing":
            return "crossing"
        if number.op != "name":
            return None
        note = number.note
        if isinstance(note, ArgumentMark):
            return note.name if note.call is self.call or not remembers(number.of[0]) else None
        if maker(number) is not number:
            return None
        return result_name(note)

    def _other(self, number: Any) -> Any:
        """What the function gave under a name of its own beside the number that is written."""
        if self.call is None or number is self.body or number.op == "name":
            return None
        found = self.call.results.get(id(number))
        return found if found is not None and found.note.field else None

    def _named(self, symbol: str, number: Any, inside: Any = None) -> str:
        """The symbol, numbered where another number has it already; inside: the number that it is in the function."""
        name, count = symbol, 1
        while name in self.operands and not _same(self.operands[name], number):
            count += 1
            name = f"{symbol} #{count}"
        self.operands[name] = number
        self.written[id(number if inside is None else inside)] = name
        return name

    def _operation(self, number: Any) -> tuple[str, int]:
        op = number.op
        if op == "+" and 0 in number.of:  # what is nothing adds nothing
            return self.write(number.of[0] if number.of[1] == 0 else number.of[1])
        parts = [self.write(operand) for operand in number.of]
        if op in _SIGNS:
            strength, sign = _SIGNS[op]
            left, right = parts
            one = left[0] if left[1] >= strength else f"({left[0]})"
            two = right[0] if right[1] > strength else f"({right[0]})"
            return f"{one}{sign}{two}", strength
        if op == "negative":
            return f"-{parts[0][0]}" if parts[0][1] > _NEGATIVE else f"-({parts[0][0]})", _NEGATIVE
        if op == "beyond":
            cover = parts[1][0] if parts[1][1] > 1 else f"({parts[1][0]})"
            return f"max(0, {parts[0][0]} - {cover})", _WHOLE
        return f"{_WORDS.get(op, op)}({', '.join(text for text, _ in parts)})", _WHOLE

    def _count(self, number: Any) -> None:
        """How often each part stands in the expression."""
        waiting = [number]
        while waiting:
            one = waiting.pop()
            if not remembers(one) or self._symbol(one) is not None or self._other(one) is not None:
                continue
            self.counts[id(one)] = self.counts.get(id(one), 0) + 1
            if self.counts[id(one)] == 1:
                waiting.extend(one.of)

    def _size(self, number: Any) -> int:
        """Operands below an operation."""
        if not remembers(number) or self._symbol(number) is not None or self._other(number) is not None:
            return 1
        return sum(self._size(operand) for operand in number.of)


def _same(one: Any, other: Any) -> bool:
    """Whether two numbers are one: read at the same place."""
    return one is other or (one.op == other.op == "leaf" and one.note == other.note)


def leaf_name(number: Any) -> str:
    """What a number that was read is called: the end of its path, or the constant."""
    if isinstance(number.note, Constant):
        return number.note.name.lstrip("_")
    keys = str(number.note).split(".")
    return ".".join(key for key in keys[-2:] if not key.isdigit()) if len(keys) > 2 else keys[-1]


def result_name(mark: ResultMark) -> str:
    """`matmul_seconds`, `layer.work.matmul`, with the words that the call was given: `product_seconds (q, forward)`."""
    words = call_words(mark.call)
    return f"{mark.call.name}{'.' if mark.field else ''}{mark.field}{f' ({words})' if words else ''}"


def call_words(call: Call) -> str:
    """Words among a call's arguments, and names of things that have one."""
    found = []
    for value in call.arguments.values():
        word = value if isinstance(value, str) else getattr(value, "name", None)
        kind = getattr(value, "role", None) is not None
        if isinstance(word, str) and (isinstance(value, str) or kind):
            found.append(word)
    return ", ".join(found)
