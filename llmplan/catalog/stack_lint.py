"""What the fitted coefficients and the versions of a stack must satisfy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from llmplan.catalog.inheritance import numbers
from llmplan.documents import Path_
from llmplan.software.stack import Stack

Problem = tuple[Path_, str]
_ROUNDED = 1.001  # of a ceiling: entries hold four digits


def stack_problems(stack: Stack) -> Iterator[Problem]:
    """Every coefficient that is unknown or that nature does not allow; versions out of order or named twice."""
    yield from _numbers(stack.fitted, ("fitted",))
    seen: set[str] = set()
    for index, one in enumerate(stack.versions):
        yield from _numbers(one.fitted, ("versions", index, "fitted"))
        if index and one.date < stack.versions[index - 1].date:
            yield ("versions", index), f"{one.version} is older than the version before it; the oldest stands first"
        for name in dict.fromkeys((one.version, *one.also)):
            if name in seen:
                yield ("versions", index), f"{name!r} is the name of two versions"
            seen.add(name)


def _numbers(fitted: Mapping[str, float], at: Path_) -> Iterator[Problem]:
    for name, value in fitted.items():
        if name not in numbers():
            yield (*at, name), f"numbers.yaml does not explain {name!r}"
            continue
        about = numbers()[name]
        if not about.floor <= value <= about.ceiling * _ROUNDED:
            yield (*at, name), f"{name} {value:g} lies outside {about.floor:g} .. {about.ceiling:g}"
