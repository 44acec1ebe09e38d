"""`llmplan schema`: JSON Schemas of plan files, catalogue entries and answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from llmplan.cli.help import HelpedCommand
from llmplan.errors import InputError, did_you_mean

app = typer.Typer(add_completion=False)


@app.command("schema", cls=HelpedCommand)
def schema(
    name: Annotated[str, typer.Argument(help="Which one; without it, the names are listed.")] = "",
    write: Annotated[
        Path | None, typer.Option("--write", metavar="DIR", help="Write every schema into this folder instead.")
    ] = None,
) -> None:
    """Print the JSON Schema of what is read (plan, model, device, ...) or written (estimate, ...).

    llmplan schema

    llmplan schema plan

    llmplan schema estimate
    """
    from llmplan.report.schemas import SCHEMAS, json_schema

    if write is not None:
        for each in SCHEMAS:
            _save(write / f"{each}.json", text(json_schema(each)))
    elif not name:
        typer.echo("\n".join(SCHEMAS))
    elif name in SCHEMAS:
        typer.echo(text(json_schema(name)), nl=False)
    else:
        shown = name[:80]
        raise InputError(f'unknown schema "{shown}"{did_you_mean(shown, SCHEMAS)}; there are {", ".join(SCHEMAS)}')


def text(schema: object) -> str:
    """The text of a schema file."""
    return json.dumps(schema, indent=2, ensure_ascii=True) + "\n"


def _save(path: Path, content: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
