"""Commands as gates in CI: `--check`, and the job summary of a workflow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from llmplan.errors import InputError

if TYPE_CHECKING:
    from llmplan.answer.answer import Answer
    from llmplan.search.comparison import Comparison
    from llmplan.setup.request import Request

THE_ANSWER_IS_NO = 3
SUMMARY = "GITHUB_STEP_SUMMARY"

Check = Annotated[
    bool,
    typer.Option(
        "--check",
        help="Exit with 3 if something does not fit or misses a limit, and say so on stderr.",
        rich_help_panel="Output",
    ),
]


def place(one: Request) -> tuple[str, int | None]:
    """File and line of a request; no file if it comes from the command line."""
    return ("", None) if one.document is None else (one.document.file, one.document.line(()))


def append_summary(text: str) -> None:
    """Adds to the job summary of a GitHub workflow, where a table is easier to read than in the log."""
    path = os.environ.get(SUMMARY)
    if not path:
        return
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"{SUMMARY}: {path} cannot be written: {error.strerror}") from None


def check_comparison(found: Comparison) -> None:
    """Exits with 3 where an alternative cannot be planned, does not fit, or misses a limit or target."""
    from llmplan.answer.answer import Answer as Planned
    from llmplan.report.compare import missed_text
    from llmplan.report.limits import missed_lines

    passes = True
    for one in found.results:
        if not isinstance(one, Planned):
            lines = list(one.problems)
        elif not one.fits:
            lines = [f"does not fit: verdict {one.result.verdict}"]
        else:
            lines = list(missed_lines(one)) or (
                [] if one.does else [missed_text(one) or "does not keep up with its load"]
            )
        passes = passes and isinstance(one, Planned) and one.does
        for line in lines:
            typer.echo(f"{one.name}: {line}", err=True)
    if not passes:
        raise typer.Exit(THE_ANSWER_IS_NO)


def check_answer(found: Answer) -> None:
    """Exits with 3 where an answer does not fit, keep up with its load, or keep a limit; says so on stderr."""
    from llmplan.report.limits import missed_lines

    if found.is_yes:
        return
    for line in missed_lines(found):
        typer.echo(line, err=True)
    if not found.fits:
        typer.echo(f"does not fit: verdict {found.result.verdict}", err=True)
    raise typer.Exit(THE_ANSWER_IS_NO)
