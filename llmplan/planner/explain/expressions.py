"""The expression by which the planner makes a part of memory or time, as it stands in the code."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import lru_cache

from llmplan.planner.training import memory, step


def expression(part: str) -> str:
    """`stage.tensor * micro_batches` for `tensor_parallel_seconds`; nothing for what is no part."""
    found = [text for module in (step, memory) for text in _expressions(inspect.getsource(module)).get(part, ())]
    telling = [text for text in found if text != "0.0"]
    return telling[-1] if telling else ""


@lru_cache(maxsize=8)
def _expressions(source: str) -> dict[str, list[str]]:
    """Keyword or dictionary key to the expressions that it is given, variables replaced by what they were set to."""
    found: dict[str, list[str]] = {}
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue
        set_to = {
            node.targets[0].id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for name, value in _given(function):
            found.setdefault(name, []).append(ast.unparse(_followed(value, set_to)))
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
