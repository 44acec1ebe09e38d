"""Catalogue entries as tables, as text and as JSON-ready data."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmplan.catalog.inheritance import numbers
from llmplan.documents import Document
from llmplan.formatting import binary, decimal, duration
from llmplan.records import dataclass
from llmplan.report.catalog_rows import Row

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 1000  # characters: a pipe has no width, and nothing may be cut in it


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its head, the key of a row, and how the value is written."""

    head: str
    key: str
    write: Callable[[Any], str] = str


COLUMNS: dict[str, list[Column]] = {
    "devices": [
        Column("device", "id"),
        Column("memory", "memory_bytes", binary),
        Column("bandwidth", "memory_bytes_per_second", lambda value: decimal(value, "B/s")),
        Column("16-bit peak", "peak_16bit_flop_per_second", lambda value: decimal(value, "FLOP/s")),
        Column("link, one way", "scale_up_bytes_per_second", lambda value: decimal(value, "B/s")),
        Column("domain", "scale_up_domain"),
        Column("power", "tdp_watts", lambda value: f"{value:g} W"),
        Column("also called", "aliases", ", ".join),
    ],
    "clusters": [
        Column("cluster", "id"),
        Column("devices a node", "devices_per_node"),
        Column("fabric", "fabric"),
        Column("a device, one way", "fabric_bytes_per_second", lambda value: decimal(value, "B/s")),
        Column("latency", "fabric_latency_seconds", duration),
        Column("also called", "aliases", ", ".join),
    ],
    "stacks": [
        Column("stack", "id"),
        Column("name", "name"),
        Column("workloads", "workloads", ", ".join),
        Column("also called", "aliases", ", ".join),
    ],
    "prices": [
        Column("provider", "provider"),
        Column("instance", "instance"),
        Column("devices", "devices"),
        Column("device", "device"),
        Column("region", "region"),
        Column("kind", "kind"),
        Column("USD/h", "usd_per_hour", "{:.2f}".format),
        Column("a device", "usd_per_device_hour", "{:.3f}".format),
        Column("date", "date"),
    ],
    "models": [
        Column("model", "id"),
        Column("architecture", "architecture"),
        Column("layers", "layers"),
        Column("hidden", "hidden"),
        Column("experts", "experts"),
        Column("also called", "aliases", ", ".join),
    ],
}


def print_table(kind: str, found: list[Row]) -> None:
    """Rows as a table on stdout; plain text in a pipe."""
    columns = [column for column in COLUMNS[kind] if any(column.key in row for row in found)]
    numeric = [any(isinstance(row.get(column.key), (int, float)) for row in found) for column in columns]
    cells = [[column.write(row[column.key]) if column.key in row else "-" for column in columns] for row in found]
    if not sys.stdout.isatty():
        lines = _plain_table([column.head for column in columns], cells, numeric)
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines))
        return
    lines = _plain_table([column.head for column in columns], cells, numeric)
    if min(map(len, lines)) > (width := _console().width) // 2 * 3:  # far too wide: cells would be cut
        from llmplan.report.formats import below, wrapped

        for text in below([[column.head for column in columns], *cells]):
            sys.stdout.write("".join(f"{line}\n" for line in wrapped(_printable(text), width)) if text else "\n")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column.head, justify="right" if numeric[index] else "left", no_wrap=index == 0)
    for row, texts in zip(found, cells, strict=True):
        table.add_row(*map(_escaped, texts), style="dim" if row.get("plannable") is False else None)
    console = _console()
    with console.capture() as captured:
        console.print(table)
    lines = captured.get().splitlines()
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines))  # no spaces up to the last column's width


def _plain_table(heads: list[str], cells: list[list[str]], right: list[bool]) -> list[str]:
    """Lines of a table for a pipe: what `rich` would print, without importing it."""
    texts = [heads, *([_printable(text) for text in row] for row in cells)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return [
        "  ".join(text.rjust(width) if at_right else text.ljust(width)
                  for text, width, at_right in zip(row, widths, right, strict=True))
        for row in texts
    ]  # fmt: skip


def print_entry(noun: str, document: Document) -> None:
    """One entry as written in its file, units included, under the path of the file."""
    console = _console()
    data = document.data if isinstance(document.data, dict) else {}
    console.print(f"[bold]{_escaped(Path(document.file).stem)}[/bold]  {_escaped(str(data.get('name', '')))}  ({noun})")
    console.print(f"[dim]{_escaped(document.file)}[/dim]", soft_wrap=True)
    lines = _flat(data)
    if noun == "stack":
        lines = [(key, _with_meaning(key, value)) for key, value in lines]
    width = max((len(key) for key, _ in lines), default=0)
    for key, value in lines:
        console.print(f"[cyan]{_escaped(key.ljust(width))}[/cyan]  {_escaped(value)}", soft_wrap=True)


def _with_meaning(key: str, value: str) -> str:
    """A fitted coefficient with its unit, ceiling and meaning; any other value unchanged."""
    head, _, name = key.rpartition(".")
    if not head.endswith("fitted") or name not in numbers():
        return value
    about = numbers()[name]
    unit = "" if about.unit == "1" else f" {about.unit}"
    return f"{value}{unit}  (at most {about.ceiling:g})  {about.meaning}"


def _flat(data: dict[Any, Any], prefix: str = "") -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            lines += _flat(value, f"{name}.")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            lines += [(name, _item(item)) for item in value]
        elif isinstance(value, list):
            separate = key == "notes"
            lines += [(name, str(item)) for item in value] if separate else [(name, ", ".join(map(str, value)))]
        else:
            lines.append((name, str(value)))
    return lines


def _item(item: Any) -> str:
    """An item of a list; the entry may be invalid, for `show` does not check it."""
    return "; ".join(f"{k}: {v}" for k, v in item.items()) if isinstance(item, dict) else str(item)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(_printable(text))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
