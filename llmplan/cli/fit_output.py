"""What `llmplan fit` writes: the layouts, why there are none, a plan file, what starts the best one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from llmplan.cli.output import write
from llmplan.errors import InputError

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog
    from llmplan.report.sheet import Sheet
    from llmplan.search.answers import FitAnswer


def start_best(found: FitAnswer, framework: str, catalog: Catalog) -> None:
    """What starts the best layout that the framework can run."""
    from llmplan.answer.resolve import plan_from
    from llmplan.launch.frame import framed
    from llmplan.launch.target import target

    problems: InputError | None = None
    for rank, one in enumerate(found.results, 1):
        try:
            started = framed(plan_from(one.inputs, catalog=catalog), target(framework), catalog, None)
        except InputError as error:
            problems = problems or error
            continue
        if rank > 1:
            typer.echo(f"note: layout {rank} is the first that {target(framework).name} can run", err=True)
        for note in started.notes:
            typer.echo(f"note: {note}", err=True)
        typer.echo(f"\n{started.text}", nl=False)
        return
    assert problems is not None  # there is a result, and none could be started
    raise problems


def write_found(found: FitAnswer, form: str, columns: list[str] | None) -> None:
    """The answer on stdout; a table or picture of nothing is not written, the reasons go to stderr."""
    if not found.results and form in ("table", "svg", "markdown"):
        return
    one_answer = found.maximize is not None or found.minimize is not None
    write(
        found, [found] if one_answer and form == "jsonl" else found.results, lambda: _sheet(found), form, columns,
        table=lambda _: _print(found), picture=lambda: _picture(found),
    )  # fmt: skip


def _sheet(found: FitAnswer) -> Sheet:
    from llmplan.report.search import sheet

    return sheet(found)


def _picture(found: FitAnswer) -> str:
    from llmplan.report.pictures import fit_svg
    from llmplan.report.search import names

    return fit_svg(found, names(found))


def _print(found: FitAnswer) -> None:
    from llmplan.report.search import print_found
    from llmplan.report.search_text import most_line

    if found.maximize or found.minimize:
        from llmplan.report.table import print_answers

        typer.echo(most_line(found) + "\n")
        print_answers(found.results)
    else:
        print_found(found)


def say_why(found: FitAnswer) -> None:
    """Why there is no layout, on stderr."""
    from llmplan.report.search_text import most_line, nothing_lines

    for line in [most_line(found)] if found.maximize or found.minimize else nothing_lines(found):
        typer.echo(line, err=True)


def write_plan_file(path: Path, inputs: Mapping[str, Any]) -> None:
    """The best layout as a plan file."""
    from llmplan.documents import to_yaml
    from llmplan.files import write_text

    written = dict(inputs)
    model = written["model"]
    if isinstance(model, str) and os.path.exists(model):
        written["model"] = str(Path(model).resolve())  # the plan file may be read from another folder
    write_text(path, to_yaml(written))
    typer.echo(f"wrote {path}", err=True)
