"""The order of rooms: no import goes back up, none goes in a circle; every formula is called by somebody."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import llmplan

PACKAGE = Path(llmplan.__file__).parent
BEFORE = (
    "version", "interrupts", "records", "vocabulary", "errors", "si", "digits", "units", "formatting", "documents",
    "files", "rules", "plain", "pydantic_models", "schema",
)  # fmt: skip
"""Modules that stand before all rooms."""
ROOMS = (
    ("formulas",), ("model",), ("machine",), ("software",), ("catalog",), ("setup",), ("work",),
    ("training", "serving"), ("answer",), ("search",), ("launch",), ("calibration",), ("report",), ("cli", "api"),
)  # fmt: skip
"""Each imports from those before it, of those that stand together either from itself alone."""
BEHIND = ("__init__", "__main__", "calibrate", "program")
PLACES = {room: place for place, together in enumerate(ROOMS) for room in together}


def modules() -> dict[str, Path]:
    found = {
        ".".join(("llmplan", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in PACKAGE.rglob("*.py")
    }
    return {name.removesuffix(".__init__"): path for name, path in found.items()}


MODULES = modules()


def imported(path: Path) -> Iterator[str]:
    """Modules of the project that a module imports, at its head, inside functions, or for its types alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                yield from (one for one in (name, node.module or "") if one in MODULES)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)


def room(module: str) -> str:
    """The room that a module stands in, or its own name where it stands in none."""
    return [*module.split("."), "__init__"][1]


def test_every_module_stands_in_a_room() -> None:
    assert {room(name) for name in MODULES} == {*BEFORE, *PLACES, *BEHIND}


def test_imports_go_down() -> None:
    def place(name: str) -> int:
        return len(ROOMS) if name in BEHIND else PLACES.get(name, -1)

    wrong = []
    for name, path in MODULES.items():
        for other in set(imported(path)) - {"llmplan"}:
            mine, its = room(name), room(other)
            if mine != its and (place(its) > place(mine) or (place(its) == place(mine) and mine in PLACES)):
                wrong.append(f"{name} imports {other}")
    assert sorted(wrong) == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    # a module of a package needs the package's __init__, which every room keeps empty
    graph = {
        name: {other for other in imported(path) if other not in ("llmplan", name)} for name, path in MODULES.items()
    }
    assert len(graph) > 150
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def names_read(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_every_formula_is_called_by_somebody() -> None:
    """By a room, or by another formula; its own example is no call."""
    read = set().union(*map(names_read, MODULES.values()))
    unused = []
    for name, path in MODULES.items():
        if room(name) == "formulas":
            body = ast.parse(path.read_text(encoding="utf-8")).body
            functions = (node.name for node in body if isinstance(node, ast.FunctionDef))
            unused += [f"{name}.{function}" for function in functions if function not in read]
    assert unused == []
