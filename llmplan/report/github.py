"""Workflow commands of GitHub: annotations, at the line of a plan file where there is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from llmplan.answer.answer import Answer
from llmplan.report.compare import TextRow
from llmplan.report.limits import missed_lines

if TYPE_CHECKING:
    from llmplan.search.comparison import Comparison

Places = Mapping[str, tuple[str, int | None]]
"""Alternative -> the file and line that it was written at."""
_SHOWN = ("step", "first token", "per token", "tokens/s", "MFU", "days", "cost", "devices billed", "USD/1k requests")


def github_lines(found: Sequence[TextRow], comparison: Comparison, places: Places | None = None) -> list[str]:
    """Workflow commands: an error for what cannot be planned or does not do, a warning for marginal memory."""
    lines: list[str] = []
    for row, one in zip(found, comparison.results, strict=True):
        file, line = (places or {}).get(one.name, ("", None))
        if not isinstance(one, Answer):
            lines.append(command("error", row.name, row.why, file, line))
            continue
        lines += [command(kind, row.name, text, file, line) for kind, text in _said(row, one)]
    return lines


def _said(row: TextRow, one: Answer) -> Iterator[tuple[str, str]]:
    said = ", ".join(f"{name} {row.cells[name]}" for name in _SHOWN if name in row.cells)
    missed = [line for line in missed_lines(one) if line.startswith("limit")]
    if not one.fits:
        yield "error", f"does not fit: {row.cells['memory']}"
    elif one.result.verdict == "marginal":
        yield "warning", f"memory is marginal: {row.cells['memory']}"
    elif one.is_yes or not missed:
        yield "notice" if one.is_yes else "error", said
    yield from (("error", line) for line in missed)


def command(kind: str, title: str, message: str, file: str = "", line: int | None = None) -> str:
    """`::kind file=...,line=...,title=...::message`, escaped as the runner wants it."""
    place = {"file": file, "line": "" if line is None else str(line), "title": title}
    words = ",".join(f"{name}={_property(value)}" for name, value in place.items() if value)
    return f"::{kind} {words}::{_message(message)}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
