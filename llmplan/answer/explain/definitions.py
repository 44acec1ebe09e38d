"""What the variables of a function of the planner were set to when it ran, read from its source.

Branches that were not taken are left out; a loop that adds up is a sum. What cannot be written as one expression
(a bisection, a list that grows) stays a name: its number is known, its making is not told.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

SetTo = dict[str, ast.expr]
Holds = Callable[[ast.expr], bool]

GIVEN = "given_"
"""Stands before the name of an argument that the function sets anew: what it was called with."""
_UNTOLD = ast.Constant(...)  # in the place of what is not one expression


def definitions(function: ast.FunctionDef, holds: Holds) -> tuple[SetTo, ast.expr | None]:
    """Variable to the last expression that it was set to, and what was returned; holds: whether a condition did."""
    arguments = {one.arg for one in (*function.args.args, *function.args.kwonlyargs)}
    given: SetTo = {name: ast.Name(GIVEN + name) for name in arguments & _stored(function.body)}
    known, returned = _read(function.body, given, holds)
    blocks = [node for node in ast.walk(function) if isinstance(node, (ast.For, ast.While, ast.With, ast.Try))]
    early = any(isinstance(node, ast.Return) for block in blocks for node in ast.walk(block))
    return known, None if early else returned  # which pass of a loop returned is not known


def element(node: ast.expr, index: int) -> ast.expr:
    """One of several things: its own expression in a tuple or comprehension, else `node[index]`."""
    match node:
        case ast.Tuple(elts) if not any(isinstance(one, ast.Starred) for one in elts):
            return elts[index]
        case ast.GeneratorExp(elt, [ast.comprehension(ast.Name(name), several, [])]):
            return _with(elt, {name: element(several, index)})
        case ast.ListComp(elt, [ast.comprehension(ast.Name(name), several, [])]):
            return _with(elt, {name: element(several, index)})
    return ast.Subscript(node, ast.Constant(index))


def _read(statements: Sequence[ast.stmt], known: SetTo, holds: Holds) -> tuple[SetTo, ast.expr | None]:
    for one in statements:
        if isinstance(one, ast.Return):
            return known, one.value and _chosen(one.value, holds)
        if isinstance(one, ast.If):
            known, returned = _read(one.body if holds(one.test) else one.orelse, known, holds)
            if returned is not None:
                return known, returned
        else:
            known = _set(known, {name: _chosen(value, holds) for name, value in _changes(one).items()})
    return known, None


def _set(known: SetTo, new: SetTo) -> SetTo:
    """Both; a variable that is set anew is replaced in all expressions by what it was before."""
    before = {name: known[name] for name in new if name in known}
    return {name: _placed(name, value, before) for name, value in (known | new).items()}


def _placed(name: str, value: ast.expr, by: SetTo) -> ast.expr:
    """The expression of a variable with names replaced; its own name where there is none."""
    match _with(value, by):
        case ast.Constant(untold) if untold is ...:
            return ast.Name(name)
        case ast.BinOp(ast.Constant(0.0), ast.Add(), rest):
            return rest
        case found:
            return found


def _changes(statement: ast.stmt) -> SetTo:
    """The variables that a statement sets, and to what."""
    match statement:
        case ast.For():
            return _gathered(statement)
        case ast.AnnAssign(target, _, ast.expr() as value) | ast.Assign([target], value):
            several = target.elts if isinstance(target, ast.Tuple) else []
            parts = {ast.unparse(one): element(value, index) for index, one in enumerate(several)}
            return parts or {ast.unparse(target): value}
        case ast.AugAssign(ast.Name(name), operator, value):
            return {name: ast.BinOp(ast.Name(name), operator, value)}
        case ast.While() | ast.With() | ast.Try() | ast.If():
            return dict.fromkeys(_stored([statement]), _UNTOLD)
    return {}


def _gathered(loop: ast.For) -> SetTo:
    """What a loop makes of each variable: a sum or a maximum over its passes, where it is one of these."""
    once: SetTo = {}  # after one pass, in terms of what stood before it
    for statement in loop.body:
        once |= {name: _placed(name, value, once) for name, value in _changes(statement).items()}
    return {name: _over(loop, name, value, set(once)) for name, value in once.items()}


def _over(loop: ast.For, name: str, value: ast.expr, carried: set[str]) -> ast.expr:
    """`name + sum(.. for .. in ..)` where a pass makes `name + ..` of it, the same with a maximum."""
    passes = [ast.comprehension(loop.target, loop.iter, [], 0)]
    match value:
        case ast.BinOp(ast.Name(before), ast.Add(), one) if before == name and not _names(one) & carried:
            return ast.BinOp(ast.Name(name), ast.Add(), _called("sum", ast.GeneratorExp(one, passes)))
        case ast.Call(ast.Name("maximum"), [ast.Name(before), one]) if before == name and not _names(one) & carried:
            return _called("maximum", ast.Name(name), _called("max", ast.GeneratorExp(one, passes)))
    return _UNTOLD


def _called(function: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(function), list(arguments), [])


def _stored(statements: Sequence[ast.stmt]) -> set[str]:
    nodes = (node for one in statements for node in ast.walk(one))
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _with(node: ast.expr, by: Mapping[str, ast.expr]) -> ast.expr:
    """An expression with names replaced, those excepted that a comprehension binds."""

    def change(one: ast.AST) -> ast.AST | None:
        if isinstance(one, ast.Name):
            return by.get(one.id)
        if isinstance(one, (ast.GeneratorExp, ast.ListComp)):
            bound = {name for of in one.generators for name in _names(of.target)} & by.keys()
            return _with(one, {name: by[name] for name in by if name not in bound}) if bound else None
        return None

    found: ast.expr = _rebuilt(node, change)
    return found


def _chosen(node: ast.expr, holds: Holds) -> ast.expr:
    """An expression with the side of `a if c else b`, `where(c, a, b)` and `a or b` that was taken; all, in a loop."""

    def change(one: ast.AST) -> ast.AST | None:
        match one:
            case ast.IfExp(test, this, other) | ast.Call(ast.Name("where"), [test, this, other]):
                return _chosen(this if holds(test) else other, holds)
            case ast.BoolOp(ast.Or(), [this, other]):
                return _chosen(this if holds(this) else other, holds)
            case ast.GeneratorExp() | ast.ListComp():
                return one
        return None

    found: ast.expr = _rebuilt(node, change)
    return found


def _rebuilt(node: Any, change: Callable[[ast.AST], ast.AST | None]) -> Any:
    """A copy of a tree, with what `change` puts in the place of a node; where it says None, the parts are looked at."""
    if isinstance(node, list):
        return [_rebuilt(one, change) for one in node]
    if not isinstance(node, ast.AST):
        return node
    changed = change(node)
    if changed is not None:
        return changed
    found = copy(node)
    for name, value in ast.iter_fields(node):
        setattr(found, name, _rebuilt(value, change))
    return found
