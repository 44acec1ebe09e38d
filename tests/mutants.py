"""Which constants of the physics could be wrong unseen: `make mutants`, or `python tests/mutants.py [PART ...]`.

Moves every number in a named constant (module level, UPPER_CASE) of the physics, and every one that has a
name inside a function, by 5 %, one at a time, in a copy of the tree, and runs the truth tests on it: all but those
marked `frozen`, which compare with what the program itself once printed, and so say that something changed and not that
it is wrong. Lists the constants that no truth test holds; exit code 1 if there are any.

The test that caught a number is written to tests/caught.csv and is the first that is run the next time, so that a run
takes minutes where little has changed: it is run, not believed.
"""

from __future__ import annotations

import argparse
import ast
import csv
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Lock

ROOT = Path(__file__).parents[1]
PHYSICS = (
    *(f"{room}/**/*.py" for room in ("formulas", "machine", "work", "training", "serving", "answer/economics")),
    "model/lowering*.py",
)
STEP = 1.05
COPIED = (
    *("llmplan", "hardware_catalog", "tests", "docs", "benchmarks"),
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml", "Makefile"),
)

CAUGHT = ROOT / "tests/caught.csv"

# The likely killers run first, then all others; each run stops at the first failure.
STAGES_OF_TESTS = (
    ("tests/truth",),
    ("llmplan/formulas", "tests/formulas"),
    ("tests/planner",),
    ("tests/serving",),
)
# Derivatives agree with finite differences whatever the numbers are, and properties are slow and hold few of them. The
# error of a thousand measured runs that crosses its bound by a hair holds no constant; tests of the search say that it
# and the planner agree, those of the catalogue that entries are read; the others are about words, files and programs
# around the physics.
LEFT_OUT = (
    *("tests/formulas/test_traced.py", "tests/planner/test_properties.py"),
    *(f"tests/{name}" for name in ("measurements", "docs", "search", "catalog", "gate", "launch", "cli", "bulk")),
    *(f"tests/{name}" for name in ("names", "kernels", "weights", "fuzz")),
)
REST = [f"--ignore={path}" for stage in STAGES_OF_TESTS for path in stage]
STAGES = [[*stage, *(f"--ignore={path}" for path in LEFT_OUT)] for stage in (*STAGES_OF_TESTS, REST)]

# Numbers that are no physics: 5 % more of them changes no answer beyond rounding.
ALLOWED = {
    "formulas/experts.py _LEAST_VARIANCE": "where two formulas agree to six digits",
    "serving/copies.py MOST_SPREAD": "where a search for copies gives up",
    "formulas/images.py _DIGITS": "digits that a rounding keeps",
    "formulas/reliability.py _MOST_EXPONENT": "guards exp() against overflow",
    "machine/links.py _NO_MATTER": "longer than any time",
    "work/products.py _LEAST_ROWS": "guards a division by zero",
    "formulas/numeric.py NEAR": "how exactly a crossing is found",
    "formulas/numeric.py _STRAIGHT": "from which try on a crossing is found by halving",
    "serving/loads.py _CONVERGED": "how exactly a time is one that was looked for",
    "formulas/queueing.py _LEAST_FREE": "guards a density against a share of none",
    "serving/loads.py _NO_TIME": "shorter than any time",
    "serving/loads.py _SLOWEST": "guards a division by zero",
    "serving/loads.py _NO_LIMIT": "longer than any time",
    "answer/economics/serving.py _LEAST": "guards a division by zero",
    "training/open_layouts.py GROWN": "how many defaults are tried",
    "serving/flight.py TRIES": "how exactly a crossing is found",
    "serving/flight.py FEWEST": "where the search for the number in flight starts",
    "serving/flight.py _POINTS": "how finely a table of rates is made",
    "serving/flight.py _SAVED": "from how many deployments on a table is worth its time",
    "serving/estimate.py _NOTHING": "shorter than any time",
    "serving/many.py FEW": "from how many plans on arrays are worth their time",
    "serving/many.py ROWS": "how many plans are evaluated together",
    "training/many.py GROUPS": "how many plans are evaluated together",
    "serving/percentiles.py IDLE": "so many that each is idle",
    "serving/simulation.py _CROWD": "from how few rows on the others are left out",
    "serving/simulation.py _ONE_BY_ONE": "how much is counted one by one",
    "answer/economics/cost.py YEAR(0)": "digits of a year",
    "answer/economics/reliability.py _STANDSTILL": "where months become centuries",
    "training/unstated.py TELLING": "from which change on an assumption says it",
    "training/many.py FEW": "from how many plans on arrays are worth their time",
    "training/many.py SEVERAL": "from how many plans on arrays are worth their time",
    "training/many.py ROWS": "how many plans are evaluated together",
    "serving/percentiles.py AT_ONCE": "how many numbers of copies are simulated together",
    "serving/prefix.py ROUNDED": "digits of a length that are meant",
    "serving/simulation.py LANES": "size of the sample",
    "serving/simulation.py MEASURED": "size of the sample",
    "serving/simulation.py FILLING": "how long a simulated replica runs before it is measured",
    "serving/simulation.py _FEWEST_FILLING": "how long a simulated replica runs before it is measured",
    "serving/simulation.py _SEED": "seeds the draws",
    "serving/simulation.py _GRID": "how finely a table of times is made",
    "serving/simulation.py _PROMPTS": "how finely a table of times is made",
    "serving/simulation.py _ROUNDING": "fewer tokens than any prompt has",
}


@dataclass(frozen=True)
class Number:
    """A number in a named constant: where it stands, and its text there."""

    file: str  # below llmplan/
    name: str  # of the constant, with the key or index of the number where it holds several
    line: int
    start: int  # bytes from the start of the line
    end: int
    value: float

    def __str__(self) -> str:
        return f"{self.file} {self.name}"

    def moved(self) -> float:
        """5 % more; an integer stays one and grows by 1 at least."""
        return max(round(self.value * STEP), self.value + 1) if isinstance(self.value, int) else self.value * STEP


def numbers() -> Iterator[Number]:
    """Every number other than 0 in a named constant of the physics."""
    for path in (path for pattern in PHYSICS for path in sorted((ROOT / "llmplan").glob(pattern))):
        file = path.relative_to(ROOT / "llmplan").as_posix()
        for name, value in named(ast.parse(path.read_text(encoding="utf-8"))):
            for inner, node in leaves(value, ""):
                assert isinstance(node.value, int | float)
                yield Number(file, name + inner, node.lineno, node.col_offset, node.end_col_offset or 0, node.value)


def named(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Constants of a module, `A, B = 2.0, 3.0` one by one, and numbers that have a name inside a function."""
    for statement in module.body:
        match statement:
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                pairs = [
                    (name.id, value) for name, value in zip(names, values, strict=True) if isinstance(name, ast.Name)
                ]
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pairs = [(name, value)]
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pairs = [(name, value)]
            case _:
                pairs = []
        yield from ((name, value) for name, value in pairs if name == name.upper())
    for function in (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)):
        for statement in function.body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant() as value):
                    yield f"{function.name}.{name}", value


def leaves(node: ast.expr, name: str) -> Iterator[tuple[str, ast.Constant]]:
    """The numbers of a constant's value with the key, index or argument that each stands at."""
    match node:
        case ast.Constant(value=bool()) | ast.Constant(value=0):
            return
        case ast.Constant(value=int() | float()):
            yield name, node
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            for index, part in enumerate(parts):
                yield from leaves(part, f"{name}[{index}]")
        case ast.Dict(keys=keys, values=parts):
            for key, part in zip(keys, parts, strict=True):
                yield from leaves(part, f"{name}[{ast.unparse(key) if key else '**'}]")
        case ast.Call(args=parts, keywords=words):
            for index, part in enumerate(parts):
                yield from leaves(part, f"{name}({index})")
            for word in words:
                yield from leaves(word.value, f"{name}({word.arg})")
        case ast.UnaryOp(operand=part):
            yield from leaves(part, name)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):  # tables put together
            yield from leaves(left, name)
            yield from leaves(right, name)
        case ast.BinOp(left=left):  # moving one factor moves the whole; `2.0**20` is a unit
            yield from leaves(left, name)


def catcher(number: Number, tree: Path, likely: str) -> str:
    """The truth test that fails when the number is moved in that copy of the tree; `likely` is tried first."""
    path = tree / "llmplan" / number.file
    before = path.read_bytes()
    lines = before.splitlines(keepends=True)
    line = lines[number.line - 1]
    lines[number.line - 1] = line[: number.start] + repr(number.moved()).encode() + line[number.end :]
    try:
        write(path, b"".join(lines))
        return failure(tree, [*([[likely]] if likely else []), *stages_for(number)])[0]
    finally:
        write(path, before)


def stages_for(number: Number) -> list[list[str]]:
    """All truth tests, those of the number's own room first; formulas' own tests see numbers of formulas alone."""
    truth, formulas, planner, serving, rest = STAGES
    if number.file.startswith("formulas/"):
        return [formulas, truth, planner, serving, rest]
    return [truth, *((serving, planner) if number.file.startswith("serving/") else (planner, serving)), rest]


def write(path: Path, content: bytes) -> None:
    """Writes a module, and forgets how it was compiled: its size and the second it was written in may be the same."""
    path.write_bytes(content)
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def failure(tree: Path, stages: Sequence[Sequence[str]]) -> tuple[str, str]:
    """The first truth test that fails, or cannot even be imported, in a copy of the tree, and what pytest says."""
    command = [sys.executable, "-m", "pytest", "-x", "-qq", "-rfE", "-m", "not frozen", "-p", "no:cacheprovider"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    for stage in stages:
        done = subprocess.run(
            [*command, *stage], cwd=tree, env=environment, capture_output=True, text=True, check=False
        )
        # 1: a test failed; 2: one could not be imported; 4: the test that was named is no longer there; 5: no tests
        if done.returncode in (1, 2, 3):
            failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
            return failed[1] if failed else "?", done.stdout + done.stderr
    return "", ""


def main() -> int:
    """Moves the numbers that were asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="only constants with this in file or name")
    parser.add_argument("--list", action="store_true", help="list the numbers, and run nothing")
    parser.add_argument("--new", action="store_true", help="only numbers that no test is written down for")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    found = list(numbers())
    there = {str(number) for number in found} - set(ALLOWED)
    if gone := set(ALLOWED) - {str(number) for number in found}:
        sys.exit(f"allowed, but not there: {', '.join(sorted(gone))}")
    found = [each for each in found if str(each) not in ALLOWED]
    found = [each for each in found if not asked.parts or any(part in str(each) for part in asked.parts)]
    known = caught_before()
    found = [each for each in found if not (asked.new and str(each) in known)]
    if asked.list:
        print(*(f"{each} = {each.value!r}" for each in found), sep="\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        trees: Queue[Path] = Queue()
        for index in range(asked.processes):
            trees.put(copy(Path(folder) / str(index)))
        lock = Lock()

        def work(number: Number) -> str:
            tree = trees.get()
            try:
                caught = catcher(number, tree, known.get(str(number), ""))
            finally:
                trees.put(tree)
            with lock:
                known[str(number)] = caught
                remember({each: test for each, test in known.items() if test and each in there})
                print(f"{number}: {caught or 'UNSEEN'}", file=sys.stderr, flush=True)
            return caught

        with ThreadPoolExecutor(asked.processes) as pool:
            tests = list(pool.map(work, found))
        catchers = sorted({*tests} - {""})
        if catchers and (said := failure(trees.queue[0], [catchers])[1]):
            sys.exit(f"tests that caught a number fail as things are:\n{said}")
    unseen = [number for number, test in zip(found, tests, strict=True) if not test]
    print(f"{len(found)} numbers moved by 5 %, {len(unseen)} unseen by the truth tests")
    print(*(f"  llmplan/{each.file}:{each.line} {each.name} = {each.value!r}" for each in unseen), sep="\n")
    return 1 if unseen else 0


def caught_before() -> dict[str, str]:
    """The test that last caught each number."""
    if not CAUGHT.is_file():
        return {}
    with CAUGHT.open(encoding="utf-8", newline="") as file:
        return {row["number"]: row["test"] for row in csv.DictReader(file)}


def remember(caught: dict[str, str]) -> None:
    """Writes the test that caught each number."""
    with CAUGHT.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("number", "test"))
        rows.writerows(sorted(caught.items()))


def copy(tree: Path) -> Path:
    """A copy of what the tests read."""
    tree.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name)
        else:
            shutil.copy2(source, tree / name)
    return tree


if __name__ == "__main__":
    sys.exit(main())
