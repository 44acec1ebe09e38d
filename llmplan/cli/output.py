"""The formats of every command, its columns, and where they are written to: one way for all."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llmplan.answer.data import dumps
from llmplan.errors import InputError

if TYPE_CHECKING:
    from llmplan.report.sheet import Sheet

OUTPUT = "Output"
PIPE_WIDTH = 1000  # characters: a pipe has no width, and nothing may be cut in it
Form = Literal["table", "json", "jsonl", "csv", "markdown", "github", "svg"]
Format = Annotated[
    Form,
    typer.Option(
        "--format",
        help="Output format: tables, JSON, CSV, Markdown, GitHub annotations, or an SVG chart.",
        rich_help_panel=OUTPUT,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="The same as --format json.", rich_help_panel=OUTPUT)]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="A,B,..",
        help="Show only these columns, by their JSON keys (tp,mfu,step_seconds).",
        rich_help_panel=OUTPUT,
    ),
]
TABULAR = ("table", "csv", "markdown", "github")


def columns_of(text: str | None, form: str) -> list[str] | None:
    """The columns that are asked for; None = those that the command shows."""
    if text is None:
        return None
    if form not in TABULAR:
        raise InputError(f"--columns goes with --format {', '.join(TABULAR)}; {form} has all there is")
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError("--columns: no column is named")
    return names


def write(
    answer: Any, items: Iterable[Any], sheet: Callable[[], Sheet], form: str, columns: Sequence[str] | None, *,
    picture: Callable[[], str], table: Callable[[Sheet], None] | None = None,
) -> None:  # fmt: skip
    """An answer on stdout. items: what each line of JSON lines and CSV is; table: what people get without columns."""
    if form == "json":
        typer.echo(dumps(answer))
    elif form == "jsonl":
        for one in items:
            typer.echo(dumps(one, indent=None))
    elif form == "csv":
        from llmplan.report.sheet import csv_lines

        for line in csv_lines(items, columns):
            typer.echo(line, nl=False)
    elif form == "svg":
        typer.echo(picture(), nl=False)
    else:
        _write_rows(sheet(), form, columns, table)


def _write_rows(sheet: Sheet, form: str, columns: Sequence[str] | None, table: Callable[[Sheet], None] | None) -> None:
    from llmplan.report import formats

    if form == "markdown":
        typer.echo(formats.markdown(sheet, columns), nl=False)
    elif form == "github":
        from llmplan.cli.gate import append_summary

        for line in formats.github_lines(sheet):
            typer.echo(line)
        append_summary(formats.markdown(sheet, columns))
    elif columns is None and table is not None:
        table(sheet)
    else:
        typer.echo("\n".join(formats.table(sheet, columns, width())))


def width() -> int:
    """Characters of a line of the terminal, or of a pipe, which has no end."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH
