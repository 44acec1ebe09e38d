"""Explanations for people, and as plain data."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from llmplan.formatting import binary, duration, plain
from llmplan.report.verdict import part_name
from llmplan.version import __version__

if TYPE_CHECKING:
    from llmplan.answer.explain.steps import Input, Step
    from llmplan.answer.explain.walk import Entry, Explanation
    from llmplan.setup.codes import Code

EXPLAIN = "llmplan.explain/1"
_DIGITS = 6
_COMPUTED = re.compile(r" [-+*/] ")


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
    """A call: its result, and the expression of it; the first time what it says, its sources, what arguments mean."""
    pad = "  " * depth
    times = f", {step.times} times" if step.times > 1 else ""
    code = step.formula if step.formula.startswith("= ") else ""
    yield f"{pad}{step.function}{_words(step)} = {_result(step)}{times}{' ' + code if code else ''}"
    texts = [text for text in (step.says, step.formula) if text and text not in (*told, code)]
    first = step.function not in told
    told.update((step.function, *texts))
    yield from (f"{pad}    {text}" for text in texts)
    if first:
        yield from (f"{pad}    source: {text}" for text in step.references if text not in step.says + step.formula)
    below = {one.function for one in step.steps}
    for given in step.inputs:
        if not isinstance(given.value, str) and given.name.strip("_()") not in below:
            yield f"{pad}    {_input(given, first=first)}"
    for one in step.steps:
        yield from _step(one, depth + 1, told)


def _words(step: Step) -> str:
    words = [f"{given.value}" for given in step.inputs if isinstance(given.value, str)]
    return f" ({', '.join(words)})" if words else ""


def _input(given: Input, *, first: bool) -> str:
    assert not isinstance(given.value, str)
    computed = _COMPUTED.search(given.origin)  # the formula's word for it may say too much: a share of a price
    meaning = f"  {given.meaning}" if first and given.meaning and not computed else ""
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
