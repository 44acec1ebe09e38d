"""Watches an estimate while it is made: which formulas were called, with which numbers, by whom.

The formulas stay as they are: Python's profiling hook sees their calls. What is recorded is a tree,
functions of the planner as branches and formulas as leaves, so that a figure can be walked down to
the numbers of the catalogue.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, TypeVar

from llmplan.answer.explain.call_site import Span, span_of, target_of

T = TypeVar("T")

FORMULAS = "llmplan.formulas."
PLANNER = ("llmplan.work.", "llmplan.training.", "llmplan.serving.", "llmplan.machine.", "llmplan.answer.")
_PLUMBING = ("llmplan.formulas.numeric", "llmplan.answer.explain.trace", "llmplan.answer.explain.call_site")


@dataclass(slots=True, eq=False)
class Call:
    """One call; target: the name that the caller gives its result, where it does; variables: the planner's own.

    site: where it stands in the caller's file; caller: the recorded call that made it.
    """

    function: str
    module: str
    arguments: dict[str, Any]
    target: str
    site: Span | None = None
    caller: Call | None = field(default=None, repr=False)
    result: Any = None
    calls: list[Call] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)

    @property
    def is_formula(self) -> bool:
        """Whether it is one of the formulas, not a function that puts numbers into them."""
        return self.module.startswith(FORMULAS)

    def walk(self) -> Iterator[Call]:
        """Itself and all calls below."""
        yield self
        for one in self.calls:
            yield from one.walk()


def record(run: Callable[[], T]) -> tuple[T, Call]:
    """What `run` gives, and the tree of its calls under one root.

    Not for use in several threads at once, nor under a profiler, whose hook it takes for a moment.
    """
    root = Call("", "", {}, "")
    stack: list[tuple[FrameType | None, Call]] = [(None, root)]
    here = threading.get_ident()

    def hook(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and threading.get_ident() == here and _wanted(frame):
            call = _call(frame, stack[-1][1])
            stack[-1][1].calls.append(call)
            stack.append((frame, call))
        elif event == "return" and stack[-1][0] is frame:
            call = stack.pop()[1]
            call.result = argument
            if not call.is_formula:
                call.variables = dict(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(hook)
    try:
        result = run()
    finally:
        sys.setprofile(before)
    return result, root


def _wanted(frame: FrameType) -> bool:
    module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
    if not module.startswith((FORMULAS, *PLANNER)) or module in _PLUMBING:
        return False
    if not frame.f_code.co_flags & inspect.CO_OPTIMIZED:  # the body of a module or class, run while it is imported
        return False
    return not name.startswith(("<", "__")) and frame.f_code.co_varnames[:1] not in (("self",), ("cls",))


def _call(frame: FrameType, caller: Call) -> Call:
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    arguments = {name: frame.f_locals[name] for name in names if name in frame.f_locals}
    site = span_of(frame.f_back) if frame.f_back is not None else None
    target = target_of(frame.f_back.f_code, site) if frame.f_back is not None else ""
    return Call(code.co_name, frame.f_globals["__name__"], arguments, target, site, caller)
