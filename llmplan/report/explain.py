"""Explanations as text: the expression of each figure, its operands, and how those were computed, level by level."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import TYPE_CHECKING, Any

from llmplan.answer.data import to_data
from llmplan.answer.expressions import Expression, expression, maker, result_name
from llmplan.answer.formula_text import FormulaText, formula_text
from llmplan.errors import InputError
from llmplan.formatting import binary, duration, plain
from llmplan.formulas.traced import remembers
from llmplan.records import dataclass
from llmplan.report.verdict import part_name

if TYPE_CHECKING:
    from llmplan.answer.explain import Explained
    from llmplan.answer.explanation import Explanation, TermAnswer
    from llmplan.answer.recording import Call
    from llmplan.report.sheet import Sheet
    from llmplan.setup.codes import Code

_LEVELS, _LEVELS_OF_MANY = 3, 1  # of calls that are shown of one figure, and of each of many
_DIGITS = 6
_FORMULAS = "llmplan.formulas."


def explanation_lines(found: Explained, depth: int | None) -> Iterator[str]:
    """Every term, then the catalogue entries; plain text, so that a pipe gets the same.

    depth: levels of calls to show; None = three of one term, one of many.
    """
    usual = _LEVELS if len(found.values) == 1 else _LEVELS_OF_MANY
    writer = _Writer(found, usual if depth is None else depth)
    for name, value in found.values.items():
        for line in writer.term(name, value):
            yield line.rstrip()
        yield ""
    yield "Catalogue entries"
    for entry, date, sources in found.entries():
        yield f"  {entry}, checked {date}"
        for what, where in sources.items():
            yield f"    {' '.join(what.split())}: {' '.join(where.split())}"


@dataclass(slots=True)
class _Writer:
    """Writes figures; shown: what was written once and need not be repeated."""

    found: Explained
    depth: int
    shown: set[Any] = field(default_factory=set)
    cut: bool = False

    def term(self, name: str, value: Any) -> Iterator[str]:
        unit = self.found.terms[name].unit
        handy = {"bytes": lambda number: binary(number, 3), "s": duration}.get(unit)
        yield f"{part_name(name)} = {_amount(value, unit)}{f' ({handy(float(value))})' if handy else ''}"
        made = maker(value)
        if not remembers(made) or made.op == "leaf":
            yield f"    {self._leaf(part_name(name), made)}"
            return
        self.cut = False
        self.shown.add(id(made))
        yield from self._body(made, 1)
        if self.cut:
            yield f"  (more levels: --depth {self.depth + 1})"

    def _body(self, number: Any, level: int) -> Iterator[str]:
        """The expression of a number and its operands."""
        pad = "  " * level
        call = number.note.call if number.op == "name" else None
        if call is not None:
            yield from (f"{pad}  {line}" for line in self._says(call))
        written = expression(number)
        yield from _expression(written, pad)
        units = {} if call is None else {one.name: one.unit for one in formula_text(call.function).arguments}
        for symbol, operand in written.operands.items():
            yield from self._operand(symbol, operand, level, units.get(symbol, ""))

    def _operand(self, symbol: str, operand: Any, level: int, unit: str) -> Iterator[str]:
        """An operand: where it was read, or how it was computed."""
        pad, made = "  " * (level + 1), maker(operand)
        if not remembers(made) or made.op == "leaf":
            yield f"{pad}{self._leaf(symbol, made, unit)}"
            return
        if made.op == "name":
            unit = formula_text(made.note.call.function).unit
            name = result_name(made.note)
            through = "" if symbol.partition(" #")[0] == name else f" = {name}"
            line = f"{pad}{symbol} = {_amount(made, unit)}{through}"
            if id(made) in self.shown or self._is_last(level):
                yield line
                return
            self.shown.add(id(made))
            yield line
            yield from self._body(made, level + 1)
            return
        yield f"{pad}{symbol} = {_amount(made, unit)}"
        if id(made) not in self.shown:
            self.shown.add(id(made))
            yield from self._body(made, level + 1)

    def _is_last(self, level: int) -> bool:
        """Whether this is the last level shown, which is recorded."""
        self.cut = self.cut or level >= self.depth
        return level >= self.depth

    def _leaf(self, symbol: str, number: Any, unit: str = "") -> str:
        if not remembers(number):
            return f"{symbol} {_amount(number, unit)}"
        return f"{symbol} {_amount(number, unit)}  <- {self.found.origin(number)}"

    def _says(self, call: Call) -> Iterator[str]:
        """The docstring of a function, once: its summary, and for formulas the formula and the sources."""
        if call.function in self.shown:
            return
        self.shown.add(call.function)
        text: FormulaText = formula_text(call.function)
        if text.says:
            yield text.says
        if text.module.startswith(_FORMULAS):
            if text.formula:
                yield text.formula
            yield from (f"source: {one}" for one in text.references if one not in text.says + text.formula)


def _expression(written: Expression, pad: str) -> Iterator[str]:
    yield f"{pad}= {written.text}"
    for letter, text in written.where.items():
        yield f"{pad}  where {letter} = {text}"


def _amount(value: Any, unit: str) -> str:
    number = f"{float(value):.{_DIGITS}g}"
    return number if unit in ("", "1") else f"{number} {unit}"


def code_text(name: str, code: Code) -> str:
    """A warning's code for people: title, the sentence with its blanks, the paragraph."""
    return f"{name}: {code.title}\n\n  {code.in_general}\n\n{code.doc}\n"


def sheet(found: Explanation) -> Sheet:
    """Terms, or codes, as rows, each with an annotation."""
    from llmplan.report.sheet import Annotation, Sheet, SheetRow

    lines = [
        SheetRow(
            name=part_name(one.term), cells={"value": _figure(one), "expression": one.expression}, data=one,
            annotations=(Annotation("notice", part_name(one.term), f"{_figure(one)} = {one.expression}"),),
        )
        for one in found.terms or ()
    ]  # fmt: skip
    lines += [
        SheetRow(
            name=name, cells={"title": one.title, "sentence": one.sentence}, data={"code": name, **to_data(one)},
            annotations=(Annotation("notice", name, one.title),),
        )
        for name, one in (found.codes or {}).items()
    ]  # fmt: skip
    return Sheet(lines=lines)


def _figure(one: TermAnswer) -> str:
    """A figure in a readable unit."""
    handy = {"bytes": lambda number: binary(number, 3), "s": duration}.get(one.unit)
    return handy(one.value) if handy else _amount(one.value, one.unit)


def picture(found: Explanation) -> str:
    """Terms as bars, those of one unit on one scale."""
    from llmplan.report.svg import Bar, Chart, svg

    units = dict.fromkeys(one.unit for one in found.terms or ())
    if not units:
        raise InputError("--format svg draws figures of a plan; a code has none")
    charts = []
    for unit in units:
        terms = [one for one in found.terms or () if one.unit == unit]
        handy = {"bytes": lambda number: binary(number, 3), "s": duration}.get(unit, plain)
        bars = [Bar(part_name(one.term), {one.term: one.value}) for one in terms]
        charts.append(Chart(f"Figures in {unit}" if unit not in ("", "1") else "Shares", bars, handy))
    return svg("llmplan explain", charts)
