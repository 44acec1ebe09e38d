"""Follows an expression of the planner to what made it: through variables, arguments, calls and what they returned."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from typing import Any

from llmplan.answer.explain.call_site import Span, function_named, span
from llmplan.answer.explain.definitions import GIVEN, SetTo, definitions, element
from llmplan.answer.explain.trace import Call

Enters = Callable[[Call], bool]
"""Whether the insides of a call are told."""


@dataclass(frozen=True, slots=True)
class Made:
    """An expression in the variables of a call."""

    call: Call
    node: ast.expr

    @property
    def text(self) -> str:
        """As it stands in the source."""
        return ast.unparse(self.node)

    @property
    def value(self) -> Any:
        """Worked out with the variables of the call."""
        return _evaluated(self.node, self.call, {})

    @property
    def is_plain(self) -> bool:
        """Whether it is a number or a name: nothing more is told of its making."""
        return isinstance(self.node, ast.Constant) or _root(self.node) is not None

    def part(self, node: ast.expr) -> Made:
        """Another expression in the same variables."""
        return Made(self.call, node)


@dataclass(frozen=True, slots=True)
class Given:
    """A name in an expression and its value; made: the name in the variables of its call, None where a loop sets it."""

    name: str
    value: Any
    made: Made | None


def followed(made: Made, enters: Enters) -> Made:
    """What an expression was made by: more than a name, if it can be."""
    while (one := _once(made, enters)) is not None:
        made = one
    return made


def returned(call: Call) -> Made | None:
    """What a function of the planner returned; None of a formula, and of one that has no source."""
    node = _body(call)[1]
    return None if node is None else Made(call, node)


def argument(call: Call, name: str) -> Made | None:
    """What a call was given for an argument, in the variables of its caller; None where it was left out."""
    node = _node(call)
    if node is None or call.caller is None or any(isinstance(one, ast.Starred) for one in node.args):
        return None
    given = dict(zip(call.arguments, node.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    return Made(call.caller, given[name]) if name in given else None


def called(made: Made) -> list[tuple[ast.Call, list[Call]]]:
    """The calls in an expression that were watched, with all times that each was made."""
    nodes = (node for node in ast.walk(made.node) if isinstance(node, ast.Call))
    found = ((node, [one for one in made.call.calls if _is(one, node)]) for node in nodes)
    return [(node, calls) for node, calls in found if calls]


def inputs(made: Made, enters: Enters) -> list[Given]:
    """The names and dotted names in an expression, each once; not those given to calls whose insides are told."""
    apart = {node for node, calls in called(made) if enters(calls[0]) and returned(calls[0])}
    return list({given.name: given for given in _inputs(made.node, made.call, {}, apart)}.values())


def _once(made: Made, enters: Enters) -> Made | None:
    """One step nearer to what made an expression; None at the end."""
    match made.node:
        case ast.Name(name):
            return _of_name(made.call, name)
        case ast.Call(ast.Name("float"), [one]):
            return made.part(one)
        case ast.Call():
            inside = next((calls[0] for node, calls in called(made) if node is made.node), None)
            return returned(inside) if inside is not None and enters(inside) else None
        case ast.Attribute(one, name):
            whole = followed(made.part(one), enters)
            field = _field(whole, name)
            return whole.part(field) if field is not None else None
        case ast.Subscript(one, ast.Constant(int() as index)):
            whole = followed(made.part(one), enters)
            found = element(whole.node, index)
            return None if isinstance(found, ast.Subscript) else whole.part(found)
    return None


def _of_name(call: Call, name: str) -> Made | None:
    """The expression of a variable; of an argument, that which the caller gave."""
    known = _body(call)[0]
    if name in known:
        node = known[name]
        return None if isinstance(node, ast.Name) and node.id == name else Made(call, node)
    given = name.removeprefix(GIVEN)
    if given in call.arguments:
        return argument(call, given)
    outside = _around(call)
    return None if outside is None else Made(outside, ast.Name(name))


def _field(whole: Made, name: str) -> ast.expr | None:
    """The expression of a field, where a thing is made by `Thing(.., field=..)`."""
    if not isinstance(whole.node, ast.Call):
        return None
    given = {keyword.arg: keyword.value for keyword in whole.node.keywords}
    if name in given:
        return given[name]
    kind = _evaluated(whole.node.func, whole.call, {})
    places = [field.name for field in fields(kind)] if isinstance(kind, type) and is_dataclass(kind) else []
    several = whole.node.args
    if name not in places or not several:
        return None
    if isinstance(several[0], ast.Starred):  # Interval(*(.. for rate in rates))
        return element(several[0].value, places.index(name))
    return dict(zip(places, several, strict=False)).get(name)


@lru_cache(maxsize=64)
def _body(call: Call) -> tuple[SetTo, ast.expr | None]:
    """Variables and result of a call in terms of each other; nothing of a formula, whose docstring tells."""
    source = None if call.is_formula else function_named(call.function, call.module)
    return ({}, None) if source is None else definitions(source, lambda test: bool(_evaluated(test, call, {})))


@lru_cache(maxsize=64)
def _calls_in(function: ast.FunctionDef) -> dict[Span, ast.Call]:
    return {span(node): node for node in ast.walk(function) if isinstance(node, ast.Call)}


def _node(call: Call) -> ast.Call | None:
    """A call as it stands in the function that made it; nothing where that was not watched."""
    source = None if call.caller is None else function_named(call.caller.function, call.caller.module)
    found = _calls_in(source).get(call.site) if source is not None and call.site is not None else None
    return found if found is not None and _is(call, found) else None


def _is(call: Call, node: ast.Call) -> bool:
    named = isinstance(node.func, ast.Name) and node.func.id == call.function
    return named and hasattr(node, "lineno") and span(node) == call.site


def _around(call: Call) -> Call | None:
    """The call of the function that this one's function stands inside."""
    own, outer = (one and function_named(one.function, one.module) for one in (call, call.caller))
    return call.caller if own and outer and any(node is own for node in ast.walk(outer)) else None


def _evaluated(node: ast.expr, call: Call, more: Mapping[str, Any]) -> Any:
    """The value of an expression in the variables of a call; from the planner's own source, never a user's words."""
    given = {GIVEN + name: value for name, value in call.arguments.items()}
    known = {**vars(sys.modules[call.module]), **call.variables, **given, **more}
    return eval(ast.unparse(node), known)


def _inputs(node: ast.AST, call: Call, bound: dict[str, Any], apart: Set[ast.AST]) -> Iterator[Given]:
    """Names, dotted names and numbered things of an expression, without those of functions and of parts `apart`."""
    root = _root(node)
    if node in apart:
        return
    if root is not None and isinstance(node, ast.expr):
        yield Given(ast.unparse(node), _evaluated(node, call, bound), None if root in bound else Made(call, node))
    elif isinstance(node, (ast.GeneratorExp, ast.ListComp)):
        of = node.generators[0]
        name, several = ast.unparse(of.target), ast.unparse(of.iter)
        for index, one in enumerate(_evaluated(of.iter, call, bound)):
            for given in _inputs(node.elt, call, bound | {name: one}, apart):
                head, dot, rest = given.name.partition(".")
                yield replace(given, name=f"{several}.{index}{dot}{rest}") if head == name else given
    else:
        function = node.func if isinstance(node, ast.Call) and _root(node.func) else None
        for child in ast.iter_child_nodes(node):
            if child is not function:
                yield from _inputs(child, call, bound, apart)


def _root(node: ast.AST) -> str | None:
    """`plan` of `plan.stack.memory[0]`; nothing of another expression."""
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(one) | ast.Subscript(one, ast.Constant()):
            return _root(one)
    return None
