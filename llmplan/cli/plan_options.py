"""Makes the options of a subcommand from the vocabulary (`PlanOptions`): one option for each field."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from llmplan.cli.completion import names as names_of
from llmplan.cli.completion import words
from llmplan.cli.help import HelpedCommand
from llmplan.plain import kinds_of
from llmplan.setup.named import LOCAL
from llmplan.setup.options import FLAGS, VOCABULARY, PlanOptions

PlanFile = Annotated[
    str | None,
    typer.Option(
        "--plan",
        metavar="FILE",
        help="Plan file: YAML, JSON or JSON lines; - is standard input. Options override it.",
    ),
]


class PlanCommand(HelpedCommand):
    """A command with the options of the vocabulary."""

    words = frozenset(VOCABULARY)


def plan_options(
    command: Callable[..., Any], without: Container[str] = (), lists: Mapping[str, str] | None = None
) -> Callable[..., Any]:
    """The command with an option for each field of the vocabulary but those of `without`.

    lists: fields that take several values here, with what their help says instead.

    `command` takes what was given of them as its first parameter, a mapping in the vocabulary; its
    keyword-only parameters stay options of its own. Values are passed on as text: `PlanOptions` checks
    them, so that an option and a key of a plan file are refused in the same words, all at once.
    """
    names = [name for name in VOCABULARY if name not in without]
    hints = get_type_hints(command, include_extras=True)
    own = list(inspect.signature(command).parameters.values())[1:]

    @functools.wraps(command)
    def wrapped(**values: Any) -> Any:
        given = {name: values.pop(name, None) for name in names}
        if str(given.get("hardware")).strip().lower() == LOCAL:
            from llmplan.setup.local import here

            typer.echo(f"{LOCAL}: {here()}", err=True)
        return command({name: value for name, value in given.items() if value is not None}, **values)

    mine = [parameter.replace(annotation=hints[parameter.name]) for parameter in own]
    signature = inspect.Signature([*_parameters(names, lists or {}), *mine])
    wrapped.__signature__ = signature  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    del wrapped.__wrapped__  # Typer would read its annotations instead
    return wrapped


def _parameters(names: list[str], lists: Mapping[str, str]) -> Iterator[inspect.Parameter]:
    kinds = kinds_of(PlanOptions)
    for name in names:
        entry = VOCABULARY[name]
        option, panel, text = f"--{name.replace('_', '-')}", entry["panel"], entry["description"]
        if name in FLAGS:
            option = f"{option}/--no-{option[2:]}"
            kind: Any = Annotated[bool | None, typer.Option(option, help=text, rich_help_panel=panel)]
        else:
            choices = _choices(kinds[name])
            metavar = entry["metavar"] or ("WORD" if choices else "N")
            text = f"{text} One of {', '.join(choices)}." if choices else text
            if name in lists:
                metavar, text = f"{metavar}[,..]", lists[name]
            options = (option, *(f"--{also.replace('_', '-')}" for also in entry["also"]))
            offered = words(choices) if choices else names_of(name)
            kind = Annotated[
                str | None,
                typer.Option(*options, metavar=metavar, help=text, rich_help_panel=panel, autocompletion=offered),
            ]
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def _choices(annotation: Any) -> tuple[str, ...]:
    """The words of a field that takes one of some; none for another field."""
    parts = (get_args(part)[0] if get_origin(part) is Annotated else part for part in get_args(annotation))
    return next((get_args(part) for part in parts if get_origin(part) is Literal), ())
