"""An explanation as data, `llmplan.explain/2`: every operation of the calculation behind the figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from llmplan.answer.expressions import call_words, expression, leaf_name
from llmplan.answer.formula_text import FormulaText, formula_text
from llmplan.answer.recording import Call, ResultMark
from llmplan.formulas.traced import in_order, remembers
from llmplan.records import dataclass
from llmplan.version import __version__

if TYPE_CHECKING:
    from llmplan.answer.explain import Explained


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One number of the calculation."""

    value: float
    op: str
    """An operation (`+`, `maximum`, ...) on the numbers `of`; `leaf`: it was read at `origin`; `number`: it stands in a
    formula as it is; `argument` or `result`: the number `of`, as a function was given it or gave it."""
    of: tuple[int, ...] | None = None
    """Indices of its operands."""
    name: str | None = None
    """Of a leaf; of the argument; which of several results."""
    origin: str | None = None
    """File and field of a leaf, or the option, or what was assumed."""
    call: int | None = None
    """Index of the call of an argument or result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswer:
    """One call of a function."""

    function: str
    words: str | None = None
    """Words that it was given, and names of things."""
    arguments: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TermAnswer:
    """One figure of the estimate."""

    term: str
    unit: str
    value: float
    node: int
    """Its index."""
    expression: str
    """How it is put together, in the words of the function that does."""
    where: dict[str, str]
    """What letters in it stand for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionAnswer:
    """What a function says of itself."""

    module: str
    says: str
    formula: str
    unit: str
    units: dict[str, str]
    """Of its arguments."""
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryAnswer:
    """A catalogue entry of the plan, with what it names as sources."""

    entry: str
    date: str
    sources: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeAnswer:
    """What a warning's code means."""

    title: str
    sentence: str
    doc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Figures of one plan, each with the whole calculation behind it; or codes of warnings."""

    schema: Literal["llmplan.explain/2"] = "llmplan.explain/2"
    llmplan_version: str = __version__
    inputs: dict[str, Any] | None = None
    """The plan in the vocabulary."""
    terms: tuple[TermAnswer, ...] | None = None
    nodes: tuple[Node, ...] | None = None
    """Operands stand before what is made of them."""
    calls: tuple[CallAnswer, ...] | None = None
    functions: dict[str, FunctionAnswer] | None = None
    """By name, those of `calls`."""
    catalogue: tuple[EntryAnswer, ...] | None = None
    codes: dict[str, CodeAnswer] | None = None


def explanation(found: Explained) -> Explanation:
    """The whole calculation as data."""
    order = in_order(*found.values.values())
    index = {id(number): place for place, number in enumerate(order)}
    nodes: list[Any] = list(order)
    plain: dict[float, int] = {}
    calls: dict[int, int] = {}
    listed: list[Call] = []

    def place(number: Any) -> int:
        if remembers(number):
            return index[id(number)]
        if number not in plain:
            plain[number] = len(nodes)
            nodes.append(number)
        return plain[number]

    def node(number: Any) -> Node:
        value = float(number)
        if not remembers(number):
            return Node(value=value, op="number")
        if number.op == "leaf":
            return Node(value=value, op="leaf", name=leaf_name(number), origin=found.origin(number))
        of, note = tuple(place(operand) for operand in number.of), number.note
        if number.op != "name":
            return Node(value=value, op=number.op, of=of)
        if id(note.call) not in calls:
            calls[id(note.call)] = len(listed)
            listed.append(note.call)
        op, name = ("result", note.field) if isinstance(note, ResultMark) else ("argument", note.name)
        return Node(value=value, op=op, of=of, name=name or None, call=calls[id(note.call)])

    made = [node(number) for number in order]
    made += [node(number) for number in nodes[len(order) :]]
    functions = {call.name: call.function for call in listed}
    return Explanation(
        inputs=found.plan.as_options(),
        terms=tuple(_term(name, found, index) for name in found.values), nodes=tuple(made),
        calls=tuple(
            CallAnswer(function=call.name, words=call_words(call) or None, arguments=_numbers(call)) for call in listed
        ),
        functions={name: _function(formula_text(function)) for name, function in sorted(functions.items())},
        catalogue=tuple(
            EntryAnswer(entry=entry, date=date, sources=sources) for entry, date, sources in found.entries()
        ),
    )  # fmt: skip


def _term(name: str, found: Explained, index: dict[int, int]) -> TermAnswer:
    value, written = found.values[name], expression(found.values[name])
    return TermAnswer(
        term=name, unit=found.terms[name].unit, value=float(value), node=index[id(value)], expression=written.text,
        where=written.where,
    )  # fmt: skip


def _numbers(call: Call) -> dict[str, float]:
    """Numbers among a call's arguments."""
    numbers = {name: value for name, value in call.arguments.items() if isinstance(value, (int, float))}
    return {name: float(value) for name, value in numbers.items() if not isinstance(value, bool)}


def _function(text: FormulaText) -> FunctionAnswer:
    units = {one.name: one.unit for one in text.arguments if one.unit}
    return FunctionAnswer(
        module=text.module, says=text.says, formula=text.formula, unit=text.unit, units=units, sources=text.references
    )
