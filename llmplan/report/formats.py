"""Rows of an answer as Markdown, as a table, and as annotations of GitHub Actions: the same for every command."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from llmplan.report.sheet import Annotation, Sheet, SheetRow, cells_of, rows_of

GAP, _LEAST = "  ", 20
_NUMERIC = frozenset("0123456789+-.<")


def markdown(sheet: Sheet, columns: Sequence[str] | None = None) -> str:
    """The rows as a Markdown table, followed by notes and by the rows that have no cells."""
    planned = [line for line in sheet.lines if not line.why]
    heads, rows = _cells(sheet, planned, columns)
    names = [sheet.first] if sheet.named else []
    lines = []
    if planned:
        lines += [_row([*names, *heads]), _row([*("---" for _ in names), *("---:" for _ in heads)])]
        lines += [
            _row([*([one.name] if sheet.named else []), *(_strong(one, name, row.get(name, "")) for name in heads)])
            for one, row in zip(planned, rows, strict=True)
        ]
        lines += [line for text in sheet.notes for line in ("", _escaped(text))]
    failed = [line for line in sheet.lines if line.why]
    lines += [""] if failed and planned else []
    lines += [f"- **{_escaped(line.name)}** {_escaped(line.why)}" for line in failed]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _strong(line: SheetRow, name: str, cell: str) -> str:
    return f"**{cell}**" if cell and name in line.strong else cell


def _escaped(text: str) -> str:
    """Text escaped so that it cannot end a cell or start markup."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _cells(
    sheet: Sheet, lines: Sequence[SheetRow], columns: Sequence[str] | None
) -> tuple[Sequence[str], Sequence[Mapping[str, str]]]:
    """Heads and cells of the requested columns, or of the default ones."""
    if columns is None:
        return sheet.heads, [line.cells for line in lines]
    rows = rows_of(sheet)
    cells = dict(zip(map(id, sheet.lines), cells_of(rows, columns), strict=True))
    return columns, [cells[id(line)] for line in lines]


def table(sheet: Sheet, columns: Sequence[str] | None, width: int) -> Iterator[str]:
    """The rows as a text table if the width allows, else one block a row."""
    planned = [line for line in sheet.lines if not line.why]
    heads, rows = _cells(sheet, planned, columns)
    names = [sheet.first] if sheet.named else []
    texts = [[*names, *heads]]
    texts += [
        [*([one.name] if sheet.named else []), *(row.get(name, "") for name in heads)]
        for one, row in zip(planned, rows, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    if not planned:
        pass
    elif sum(widths) + len(GAP) * (len(widths) - 1) <= width:
        yield from _beside(texts, widths)
    else:
        yield from below(texts)
    for text in sheet.notes:
        yield from wrapped(text, width)
    for line in sheet.lines:
        if line.why:
            yield from wrapped(f"{line.name}: {line.why}", width)


def wrapped(text: str, width: int) -> list[str]:
    """Text wrapped to a width, continuation lines indented like the first."""
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(text, max(width, _LEAST), subsequent_indent=indent, break_on_hyphens=False) or [""]


def _beside(texts: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    right = [all(set(cell[:1]) <= _NUMERIC for cell in column[1:]) for column in zip(*texts, strict=True)]
    for row in texts:
        aligned = zip(row, widths, right, strict=True)
        yield GAP.join(cell.rjust(size) if at else cell.ljust(size) for cell, size, at in aligned).rstrip()


def below(texts: Sequence[Sequence[str]]) -> Iterator[str]:
    """Each row as a block of lines, one a column, with an empty line between rows."""
    heads, rows = texts[0], texts[1:]
    width = max(map(len, heads))
    for number, row in enumerate(rows):
        if number:
            yield ""
        for head, cell in zip(heads, row, strict=True):
            yield f"{head.ljust(width)}{GAP}{cell}".strip() if head else cell


def github_lines(sheet: Sheet) -> list[str]:
    """Workflow commands of GitHub Actions for all annotations, each at the file and line of its row."""
    own = [command(mark, line.file, line.line) for line in sheet.lines for mark in line.annotations]
    return [*own, *(command(mark) for mark in sheet.annotations)]


def command(mark: Annotation, file: str = "", line: int | None = None) -> str:
    """`::kind file=...,line=...,title=...::message`, escaped as the runner wants it."""
    place = {"file": file, "line": "" if line is None else str(line), "title": mark.title}
    words = ",".join(f"{name}={_property(value)}" for name, value in place.items() if value)
    return f"::{mark.kind} {words}::{_message(mark.text)}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
