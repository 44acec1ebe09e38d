"""Commands as gates in CI: `--check`, and the job summary of a workflow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Annotated

import typer

from llmplan.errors import InputError
from llmplan.records import dataclass

if TYPE_CHECKING:
    from llmplan.answer.answer import Answer
    from llmplan.search.comparison import Compared, NotPlanned
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


@dataclass(slots=True)
class Checked:
    """Results of a comparison that are being gone through; `check` says which of them do not do."""

    found: Iterable[Compared | NotPlanned]
    passes: bool = True
    lines: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Compared | NotPlanned]:
        from llmplan.search.comparison import NotPlanned

        self.passes, self.lines = True, []
        for one in self.found:
            self.passes = self.passes and not isinstance(one, NotPlanned) and one.is_yes
            self.lines += [f"{one.name}: {line}" for line in _why_not(one)]
            yield one

    def check(self) -> None:
        """Exits with 3 where an alternative cannot be planned, does not fit, or misses a limit or target."""
        for line in self.lines:
            typer.echo(line, err=True)
        if not self.passes:
            raise typer.Exit(THE_ANSWER_IS_NO)


def _why_not(one: Compared | NotPlanned) -> Sequence[str]:
    from llmplan.report.compare import missed_text
    from llmplan.report.limits import missed_lines
    from llmplan.search.comparison import NotPlanned

    if isinstance(one, NotPlanned):
        return one.problems
    if not one.fits:
        return [f"does not fit: verdict {one.result.verdict}"]
    return list(missed_lines(one)) or ([] if one.is_yes else [missed_text(one) or "does not keep up with its load"])


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
