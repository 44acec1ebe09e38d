"""Help that fits on two screens: what a command is for, three examples, the options that most plans need.

`--help-all` shows every option with all that there is to say of it, as Typer does.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any

import typer

from llmplan.cli.values import PlainCommand

ALL = "--help-all"
EXAMPLE = "llmplan "
_CHOICES = re.compile(r"[\[<]((?:[\w-]+\|)+[\w-]+)[\]>]")
OPTIONS, NARROWEST, WIDEST = "Options", 60, 110
USUAL = frozenset({
    "model", "hardware", "devices", "stack", "workload", "tp", "pp", "cp", "ep", "dp", "zero", "micro_batch",
    "recompute", "precision", "seq_len", "global_batch", "optimizer", "lora_rank", "quantized_base", "batch",
    "request_rate", "input_tokens", "output_tokens", "weight_precision", "kv_precision", "max_model_len", "max_ttft",
    "max_tpot", "tokens", "price", "limits",
})  # fmt: skip
"""Options of a plan that most plans need; the others are shown by `--help-all`."""


class HelpedCommand(PlainCommand):
    """A command with a short help and a long one."""

    words: frozenset[str] = frozenset()
    """Options that the short help leaves out unless they are usual."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As for any command; `--help-all` is no option of it, and shows all of them."""
        if ALL in (args[: args.index("--")] if "--" in args else args):
            super().format_help(ctx, ctx.make_formatter())
            raise typer.Exit
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The short help."""
        width = min(WIDEST, max(NARROWEST, shutil.get_terminal_size().columns))
        formatter.write("\n".join(_lines(self, ctx, width)) + "\n")


def examples_of(text: str) -> tuple[str, list[str]]:
    """What a help says, and its examples: the lines that start with the program's name, joined with what goes on.

    >>> examples_of("Fits.\\n\\nllmplan fit \\\\\\n  --model m\\nllmplan fit")
    ('Fits.', ['llmplan fit --model m', 'llmplan fit'])
    """
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    shown = [line.strip() for line in lines if line.strip().startswith(EXAMPLE)]
    rest = [line for line in lines if not line.strip().startswith(EXAMPLE)]
    return " ".join(" ".join(rest).split()), shown


def _lines(command: HelpedCommand, ctx: Any, width: int) -> Iterator[str]:
    about, shown = examples_of(command.help or "")
    usage = " ".join(command.collect_usage_pieces(ctx))
    yield f"Usage: {ctx.command_path} {usage}"
    yield ""
    yield from _wrapped(about, "", width)
    yield ""
    yield "Examples"
    for example in shown:
        yield from _wrapped(example, "  ", width, " \\")
    options = [one for one in command.get_params(ctx) if not getattr(one, "hidden", False)]
    kept = [one for one in options if one.name not in command.words or one.name in USUAL]
    panels = dict.fromkeys(getattr(one, "rich_help_panel", None) or OPTIONS for one in kept)
    for panel in sorted(panels, key=lambda name: name == OPTIONS):
        yield ""
        yield panel
        for one in kept:
            if (getattr(one, "rich_help_panel", None) or OPTIONS) == panel:
                yield _option(one, ctx, width)
    if more := len(options) - len(kept):
        yield ""
        yield f"{more} more options, and all that there is to say of these: {ctx.command_path} {ALL}"


def _option(one: Any, ctx: Any, width: int) -> str:
    """One line: its names, what it takes, the first sentence of its help."""
    record = one.get_help_record(ctx) or ("", "")  # how an option is written differs from version to version of Typer
    found = _CHOICES.search(record[0])
    takes = one.metavar or ("" if getattr(one, "is_flag", False) else "WORD" if found else "N")
    names = ", ".join((*one.opts, *one.secondary_opts)) if one.param_type_name == "option" else ""
    text = re.split(r"(?<=[a-z)])\. ", (getattr(one, "help", "") or "").strip(), maxsplit=1)[0].rstrip(".")
    if found:
        text = f"{text}: {found[1].replace('|', ', ')}"
    line = f"  {f'{names} {takes}'.strip():<28} {text}"
    return line if len(line) <= width else f"{line[: width - 3].rsplit(' ', 1)[0]} ..."


def _wrapped(text: str, indent: str, width: int, end: str = "") -> Iterator[str]:
    """Lines of words; end: behind each but the last."""
    line = indent
    for word in text.split():
        if len(line) + len(word) + len(end) + 1 > width and line.strip():
            yield line.rstrip() + end
            line = f"{indent}  " if end else indent
        line += f"{word} "
    yield line.rstrip()
