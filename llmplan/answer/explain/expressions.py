"""The expression by which the planner makes a part of memory or time, as it stands in the code, and its numbers."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from llmplan.training import step
from llmplan.work import memory


@dataclass(frozen=True, slots=True)
class Expression:
    """Text of an expression, and the function that it stands in."""

    text: str = ""
    function: str = ""

    def numbers(self, variables: Mapping[str, Any]) -> dict[str, float]:
        """The numbers behind its names, by name, in order; variables: those of its function."""
        if not self.text:
            return {}
        found = {path: _looked_up(path, variables) for path in _paths(ast.parse(self.text, mode="eval"))}
        return {path: float(value) for path, value in found.items() if isinstance(value, (int, float))}


def expression(part: str) -> Expression:
    """`stage.tensor * micro_batches` for `tensor_parallel_seconds`; an empty one for what is no part."""
    found = [one for module in (step, memory) for one in _expressions(inspect.getsource(module)).get(part, ())]
    telling = [one for one in found if one.text != "0.0"]
    return telling[-1] if telling else Expression()


def _paths(node: ast.AST) -> Iterator[str]:
    """Names and dotted names, without those of the functions that are called."""
    if isinstance(node, (ast.Name, ast.Attribute)):
        yield ast.unparse(node)
    elif isinstance(node, ast.Call):
        for argument in node.args:
            yield from _paths(argument)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _paths(child)


def _looked_up(path: str, variables: Mapping[str, Any]) -> Any:
    first, *rest = path.split(".")
    value = variables.get(first)
    for name in rest:
        value = getattr(value, name, None)
    return value


@lru_cache(maxsize=8)
def _expressions(source: str) -> dict[str, list[Expression]]:
    """Keyword or dictionary key to the expressions that it is given, variables replaced by what they were set to."""
    found: dict[str, list[Expression]] = {}
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue
        set_to = {
            node.targets[0].id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for name, value in _given(function):
            text = ast.unparse(_followed(value, set_to))
            found.setdefault(name, []).append(Expression(text, function.name))
    return found


def _followed(value: ast.expr, set_to: dict[str, ast.expr]) -> ast.expr:
    """What a variable was set to, and so on; anything else as it is."""
    seen: set[str] = set()
    while isinstance(value, ast.Name) and value.id in set_to and value.id not in seen:
        seen.add(value.id)
        value = set_to[value.id]
    return value


def _given(function: ast.FunctionDef) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(function):
        if isinstance(node, ast.keyword) and node.arg:
            yield node.arg, node.value
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value, value
