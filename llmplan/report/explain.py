"""Explanations for people, and as plain data."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from llmplan.formatting import binary, duration, plain
from llmplan.report.verdict import part_name
from llmplan.version import __version__

if TYPE_CHECKING:
    from llmplan.plan.codes import Code
    from llmplan.planner.explain.walk import Entry, Explanation, Input, Step

EXPLAIN = "llmplan.explain/1"
_DIGITS = 6


def explain_json(found: Iterable[Explanation], entries: Iterable[Entry], inputs: dict[str, Any]) -> dict[str, Any]:
    """`llmplan.explain/1`."""
    return {
        "schema": EXPLAIN,
        "llmplan_version": __version__,
        "inputs": inputs,
        "terms": [asdict(one) for one in found],
        "catalogue": [
            {**asdict(entry), "sources": [{"what": what, "where": where} for what, where in entry.sources]}
            for entry in entries
        ],
    }


def print_explanations(found: Sequence[Explanation], entries: Sequence[Entry]) -> None:
    """Every term on stdout, then the catalogue entries; plain text, so that a pipe gets the same."""
    told: set[str] = set()
    for one in found:
        for line in _explanation(one, told):
            sys.stdout.write(line.rstrip() + "\n")
        sys.stdout.write("\n")
    sys.stdout.write("Catalogue entries\n")
    for entry in entries:
        sys.stdout.write(f"  {entry.kind} {entry.id}, checked {entry.date}\n")
        for what, where in entry.sources:
            sys.stdout.write(f"    {' '.join(what.split())}: {' '.join(where.split())}\n")


def _explanation(one: Explanation, told: set[str]) -> Iterator[str]:
    yield f"{part_name(one.term)} = {_amount(one.value, one.unit)}{_handy(one)}"
    if one.expression:
        yield f"  = {one.expression}"
    for name, value in one.values.items():
        yield f"    {name} {plain(value, _DIGITS)}"
    for path, value in one.numbers.items():
        yield f"  {path} {plain(value, _DIGITS)}"
    for step in one.steps:
        yield from _step(step, 1, told)


def _handy(one: Explanation) -> str:
    """The figure once more, as people say it."""
    write = {"bytes": lambda value: binary(value, 3), "s": duration}.get(one.unit)
    return f" ({write(one.value)})" if write else ""


def _step(step: Step, depth: int, told: set[str]) -> Iterator[str]:
    """A call: its result; the first time also its formula, its sources and what the arguments mean."""
    pad = "  " * depth
    times = f", {step.times} times" if step.times > 1 else ""
    yield f"{pad}{step.function}{_words(step)} = {_result(step)}{times}"
    first = step.function not in told
    told.add(step.function)
    if first:
        yield from (f"{pad}    {text}" for text in (step.says, step.formula) if text)
        yield from (f"{pad}    source: {text}" for text in step.references if text not in step.says + step.formula)
    for given in step.inputs:
        if not isinstance(given.value, str):
            yield f"{pad}    {_input(given, first=first)}"
    for below in step.steps:
        yield from _step(below, depth + 1, told)


def _words(step: Step) -> str:
    words = [f"{given.value}" for given in step.inputs if isinstance(given.value, str)]
    return f" ({', '.join(words)})" if words else ""


def _input(given: Input, *, first: bool) -> str:
    assert not isinstance(given.value, str)
    meaning = f"  {given.meaning}" if first and given.meaning else ""
    origin = f"  <- {given.origin}" if given.origin else ""
    return f"{given.name} {_amount(given.value, given.unit)}{meaning}{origin}"


def _result(step: Step) -> str:
    if isinstance(step.result, dict):
        return ", ".join(f"{name} {plain(value, _DIGITS)}" for name, value in step.result.items()) or "-"
    return _amount(step.result, step.unit)


def _amount(value: float, unit: str) -> str:
    number = f"{value:.{_DIGITS}g}"
    return number if unit in ("", "1") else f"{number} {unit}"


def code_text(name: str, code: Code) -> str:
    """A warning's code for people: title, the sentence with its blanks, the paragraph."""
    return f"{name}: {code.title}\n\n  {code.sentence}\n\n{code.doc}\n"
