"""What the fitted numbers of a stack must satisfy: known, inside their plausible range, and few."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmplan.catalog.catalog import numbers
from llmplan.files import Path_
from llmplan.software.stack import Stack

MOST_NUMBERS = 8  # fitted numbers of a stack for training, and of a variant for serving: more would fit rows

Problem = tuple[Path_, str]


def stack_problems(stack: Stack) -> Iterator[Problem]:
    """Every number that is unknown or implausible, in every version; too many of them; bands turned around."""
    training = numbers("training")
    yield from _numbers(stack.fitted, training, ("fitted",))
    for index, item in enumerate(stack.variants):
        yield from _numbers(item.fitted, training, ("variants", index, "fitted"))
    count = len(stack.fitted) + sum(len(item.fitted) for item in stack.variants)
    if count > MOST_NUMBERS:
        yield ("fitted",), f"{count} fitted numbers with those of older versions, more than {MOST_NUMBERS}"
    if stack.serving is not None:
        serving = numbers("serving")
        for index, one in enumerate(stack.serving.variants):
            yield from _numbers(one.fitted, serving, ("serving", "variants", index, "fitted"))
            if len(one.fitted) > MOST_NUMBERS:
                yield ("serving", "variants", index), f"{len(one.fitted)} fitted numbers, more than {MOST_NUMBERS}"


def _numbers(fitted: dict[str, float], meanings: dict[str, Any], at: Path_) -> Iterator[Problem]:
    for name, value in fitted.items():
        if name not in meanings:
            yield (*at, name), f"numbers.yaml does not explain {name!r}"
            continue
        low, high = meanings[name]["range"]
        if not low <= value <= high:
            yield (*at, name), f"{name} {value:g} lies outside its plausible range {low:g} .. {high:g}"
