"""Where in its caller's source a call stands, and the name that its result gets there.

`states = divided(...)` is `states`.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from types import CodeType, FrameType

Span = tuple[int, int, int, int]


def span_of(frame: FrameType) -> Span | None:
    """First line and column, last line and column of the call that a frame is making, as in its file."""
    position = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), None)
    if position is None:
        return None
    line, end_line, column, end_column = position
    if line is None or end_line is None or column is None or end_column is None:
        return None
    return line, column, end_line, end_column


def target_of(code: CodeType, at: Span | None) -> str:
    """The variable, keyword or dictionary key around a call in a function; nothing where there is none."""
    if at is None:
        return ""
    inside = [(span, name) for span, name in _targets(code) if span[:2] <= at[:2] and span[2:] >= at[2:]]
    return max(inside, key=lambda item: item[0][:2], default=(at, ""))[1]


@lru_cache(maxsize=256)
def function_named(name: str, module: str) -> ast.FunctionDef | None:
    """The source of a function, of one inside another too; nothing where there is none."""
    try:
        lines, _ = inspect.findsource(sys.modules[module])
    except (OSError, KeyError):
        return None
    found = (node for node in ast.walk(_tree("".join(lines))) if isinstance(node, ast.FunctionDef))
    return next((node for node in found if node.name == name), None)


@lru_cache(maxsize=256)
def _targets(code: CodeType) -> tuple[tuple[Span, str], ...]:
    """Every place in the source of a function whose value gets a name, with the columns of the file."""
    try:
        lines, _ = inspect.findsource(code)
    except OSError:
        return ()
    return tuple(_named(_tree("".join(lines))))


@lru_cache(maxsize=32)
def _tree(source: str) -> ast.Module:
    return ast.parse(source)


def _named(tree: ast.Module) -> Iterator[tuple[Span, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield span(node.value), node.targets[0].id
        elif isinstance(node, ast.keyword) and node.arg:
            yield span(node.value), node.arg
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield span(value), key.value


def span(node: ast.expr) -> Span:
    """First line and column, last line and column of an expression in its file."""
    return node.lineno, node.col_offset, node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
