"""What every formula must look like: alone, short, documented, without numbers that have no name."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import llmplan.formulas

FOLDER = Path(llmplan.formulas.__file__).parent
MACHINERY = ("traced.py", "traced_arrays.py")  # how numbers remember; no formula
MODULES = sorted(path for path in FOLDER.glob("*.py") if path.name not in MACHINERY)
MOST_LINES = 25
PLAIN = {0.0, 1.0, 2.0, 0.5}  # an exponent of a half is a square root
HELPERS = "numeric.py"
"""Minimum, ceiling and the like: no quantities, so no units."""

# Numbers that stand bare in a function, each with what it is there.
KNOWN_NUMBERS = {
    ("queueing.py", "single_server_wait"): {0.98},  # where the formula is cut
    ("queueing.py", "place_wait"): {0.98},  # where the formula is cut
    ("queueing.py", "decaying"): {0.98},  # where the formula is cut
    ("kv_cache.py", "growing_length"): {1e-12, 1e12},  # guard against division by zero, and an end
}


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            yield node


FUNCTIONS = [pytest.param(path, node, id=f"{path.stem}.{node.name}") for path in MODULES for node in functions(path)]
PUBLIC = [parameter for parameter in FUNCTIONS if not parameter.values[1].name.startswith("_")]


def test_there_are_formulas_to_look_at() -> None:
    assert len(PUBLIC) > 40


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_imports_nothing_else_of_the_project(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if name.startswith("llmplan"):
                assert name.startswith("llmplan.formulas"), f"{path.name}:{node.lineno} imports {name}"
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path.name}: relative import"


def test_numpy_is_not_loaded_by_plain_numbers() -> None:
    modules = ", ".join(f"llmplan.formulas.{path.stem}" for path in MODULES if path.stem != "__init__")
    code = f"""
import sys
import {modules}
from llmplan.formulas.collectives import members_in_domain, one_shot_seconds
from llmplan.formulas.pipeline import micro_batches_in_flight, stage_layers
members_in_domain(16.0, 4.0, 8.0), one_shot_seconds(64.0, 8.0, bandwidth=1e5, base=2e-5)
micro_batches_in_flight(8.0, 3.0, 64.0), stage_layers(126.0, 16.0, 1.0)
assert "numpy" not in sys.modules
assert not [name for name in sys.modules if name.startswith("llmplan.") and not name.startswith("llmplan.formulas")
            and name != "llmplan.version"]
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=FOLDER.parent.parent)


@pytest.mark.parametrize(("path", "node"), PUBLIC)
def test_docstring_has_its_parts(path: Path, node: ast.FunctionDef) -> None:
    text = ast.get_docstring(node) or ""
    sentence = text.split("\n\n")[0]
    assert sentence, "no docstring"
    assert ">>>" in text, "no example"
    if path.name != HELPERS:
        assert "[" in sentence, f"no unit of the result in its first sentence: {sentence!r}"


@pytest.mark.parametrize(("path", "node"), PUBLIC)
def test_arguments_and_result_are_typed(path: Path, node: ast.FunctionDef) -> None:
    assert node.returns is not None
    assert all(argument.annotation is not None for argument in (*node.args.args, *node.args.kwonlyargs))
    assert "self" not in [argument.arg for argument in node.args.args]


@pytest.mark.parametrize(("path", "node"), FUNCTIONS)
def test_fits_a_screen(path: Path, node: ast.FunctionDef) -> None:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    lines = sum((statement.end_lineno or 0) - statement.lineno + 1 for statement in body)
    assert lines <= MOST_LINES


@pytest.mark.parametrize(("path", "node"), FUNCTIONS)
def test_no_number_without_a_name(path: Path, node: ast.FunctionDef) -> None:
    parts = [*node.body, *node.args.defaults, *(default for default in node.args.kw_defaults if default)]
    named = {id(part.value) for part in parts if isinstance(part, ast.Assign)}  # `million = 1e6` is a name
    found = {
        float(part.value)
        for statement in parts
        for part in ast.walk(statement)
        if isinstance(part, ast.Constant) and isinstance(part.value, (int, float)) and id(part) not in named
    }
    assert found - PLAIN == KNOWN_NUMBERS.get((path.name, node.name), set())
