"""Answers as the text that the command line prints for them: what `to_text` and notebooks show."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import singledispatch
from typing import TYPE_CHECKING

from llmplan.answer.answer import Answer, Answers
from llmplan.answer.shown import Shown
from llmplan.answer.validate import Validation
from llmplan.answer.why import Why
from llmplan.search.answers import FitAnswer
from llmplan.search.comparison import Comparison

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 120  # characters of a line


@singledispatch
def text(answer: Shown) -> str:
    """The text of an answer; one line of those that no command prints."""
    return answer.headline()


def _printed(write: Callable[[Console], object]) -> str:
    """What is written to a console, in plain text without blanks at the ends of lines, wherever it is asked for."""
    from rich.console import Console

    out = io.StringIO()
    write(Console(
        file=out, width=WIDTH, highlight=False, markup=False, emoji=False, color_system=None, force_terminal=False,
        force_jupyter=False, _environ={},
    ))  # fmt: skip
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


@text.register(Answer)
def _(answer: Answer) -> str:
    from llmplan.report.table import print_answer

    return _printed(lambda console: print_answer(console, answer))


@text.register(Answers)
def _(answers: Answers) -> str:
    return "\n\n".join(one.to_text() for one in answers.results)


@text.register(FitAnswer)
def _(found: FitAnswer) -> str:
    from llmplan.report.search import write_found
    from llmplan.report.search_text import most_line, nothing_lines

    if found.maximize or found.minimize:
        return "\n\n".join([most_line(found), *(one.to_text() for one in found.results)])
    if not found.results:
        return "\n".join(nothing_lines(found))
    return _printed(lambda console: write_found(console, found))


@text.register(Comparison)
def _(found: Comparison) -> str:
    from llmplan.report.compare import print_rows, sheet

    return _printed(lambda console: print_rows(console, sheet(found)))


@text.register(Validation)
def _(found: Validation) -> str:
    from llmplan.report.validation import print_validation

    return _printed(lambda console: print_validation(console, found))


@text.register(Why)
def _(found: Why) -> str:
    from llmplan.report.explain import explanation_lines

    return "\n".join(explanation_lines(found.found, found.depth))
