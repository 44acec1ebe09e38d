"""An answer as rows, the common input of all output formats, and the choice of columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from llmplan.answer.data import to_data
from llmplan.errors import InputError, did_you_mean
from llmplan.formatting import binary, count, duration, plain
from llmplan.records import dataclass
from llmplan.report.economics import electricity, mass, usd

BAND = ("value", "low", "high")
"""Keys of an interval; others that it has (percentiles) are columns of their own."""
_MOST_NAMED = 4
_FIRST = ("inputs.", "vary.", "result.", "summary.")
"""Of two keys with one name and as deep: an option of the plan before a figure, and a figure before what is made of
it."""


class Annotation(NamedTuple):
    """An annotation of GitHub Actions; kind: `error`, `warning` or `notice`."""

    kind: str
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """One row of an answer.

    cells: for people, by the head of their column; data: the part of the answer that it shows, as JSON has it;
    why: what is said in place of cells; strong: heads of cells that stand out; file, line: where it was asked for.
    """

    name: str
    cells: Mapping[str, str]
    data: Any
    why: str = ""
    strong: tuple[str, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    file: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Rows of one answer, with notes about all of them."""

    lines: Sequence[SheetRow]
    notes: Sequence[str] = ()
    named: bool = True
    """Whether the names of the rows are a column, as they are no cells."""
    first: str = ""
    """Head of that column."""
    annotations: tuple[Annotation, ...] = ()
    """Of the whole answer."""

    @property
    def heads(self) -> list[str]:
        """Columns of the cells of all rows, in order."""
        return list(dict.fromkeys(name for line in self.lines if not line.why for name in line.cells))


def flat(data: Any, prefix: str = "") -> dict[str, Any]:
    """Nested data flattened, keys joined by dots; lists of scalars become text, lists of objects are left out."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            found |= flat(value, f"{name}.")
        elif isinstance(value, list):
            if all(isinstance(item, (str, int, float)) for item in value):
                found[name] = "; ".join(map(str, value))
        else:
            found[name] = str(value).lower() if isinstance(value, bool) else value
    return found


def rows_of(sheet: Sheet) -> list[dict[str, Any]]:
    """The flattened data of every row, numbers in SI base units."""
    return [flat(to_data(line.data)) for line in sheet.lines]


def csv_lines(items: Iterable[Any], columns: Sequence[str] | None) -> Iterator[str]:
    """A header and a line an item, numbers in SI base units as in JSON, under the same keys joined by dots.

    items: gone through twice, for their keys and for their lines; columns: those that are asked for, under the names
    that they are asked by.
    """
    keys = list(dict.fromkeys(name for one in items for name in flat(to_data(one))))
    heads = {key: key for key in keys} if columns is None else dict(heads_of(columns, keys))
    yield csv_line(heads)
    for one in items:
        row = flat(to_data(one))
        yield csv_line(row.get(key, "") for key in heads.values())


def csv_line(cells: Iterable[Any]) -> str:
    """Cells as a line of CSV."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


def heads_of(columns: Sequence[str], keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Head and key of every column that a name selects: an interval gives three."""
    for name in columns:
        path = path_of(name, keys)
        for key in keys:
            if key == path:
                yield name, key
            elif key.startswith(f"{path}."):
                yield f"{name}{key.removeprefix(path)}", key


def path_of(name: str, keys: Sequence[str]) -> str:
    """The key that a name means: the whole of it, or its end; the least nested one that there is.

    >>> path_of("step-seconds", ["inputs.tp", "result.time.step_seconds.value", "result.time.step_seconds.low"])
    'result.time.step_seconds'
    """
    wanted = name.strip().replace("-", "_")
    steps = [key.split(".") for key in keys]
    paths = dict.fromkeys(".".join(step[:end]) for step in steps for end in range(1, len(step) + 1))
    found = [path for path in paths if path == wanted or path.endswith(f".{wanted}")]
    least = min((path.count(".") for path in found), default=0)
    nearest = [path for path in found if path.count(".") == least]
    for first in _FIRST if len(nearest) > 1 else ():
        if starting := [path for path in nearest if path.startswith(first)]:
            nearest = starting
            break
    if not nearest:
        names = {path.rpartition(".")[2] for path in paths} - {*BAND}
        raise InputError(f"--columns: nothing is called {wanted[:60]!r}{did_you_mean(wanted, names)}")
    if len(nearest) > 1:
        raise InputError(f"--columns: {wanted} is {', '.join(nearest[:_MOST_NAMED])}; say which")
    return nearest[0]


def cells_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[dict[str, str]]:
    """Formatted cells of the requested columns, each figure with its unit and band."""
    keys = list(dict.fromkeys(name for row in rows for name in row))
    paths = {name: path_of(name, keys) for name in columns}
    return [{name: _cell(row, path) for name, path in paths.items()} for row in rows]


def _cell(row: Mapping[str, Any], path: str) -> str:
    if path in row:
        return figure_text(path, row[path])
    if f"{path}.value" in row:
        value, low, high = (row.get(f"{path}.{end}") for end in BAND)
        band = f" ({figure_text(path, low)} to {figure_text(path, high)})" if low is not None and low != high else ""
        return figure_text(path, value) + band
    below = {key.removeprefix(f"{path}."): value for key, value in row.items() if key.startswith(f"{path}.")}
    return ", ".join(f"{key} {figure_text(key, value)}" for key, value in below.items())


def figure_text(key: str, value: Any) -> str:
    """A figure with the unit that its key ends with.

    >>> figure_text("memory.peak_bytes", 2.0**34), figure_text("mfu", 0.412), figure_text("tp", 8)
    ('16 GiB', '41.2%', '8')
    """
    if value is None:
        return ""
    if isinstance(value, str) or not isinstance(value, (int, float)):
        return str(value)
    last = key.rpartition(".")[2]
    for ends, write in _UNITS:
        if last.endswith(ends):
            return write(float(value))
    return str(value) if isinstance(value, int) else plain(value)


def _per_second(value: float) -> str:
    return f"{count(value)}/s"


def _share(value: float) -> str:
    return f"{value:.1%}"


_UNITS: tuple[tuple[tuple[str, ...], Callable[[float], str]], ...] = (
    (("bytes_per_second", "flops_per_second", "flops_per_second_per_device"), _per_second),
    (("per_second", "per_second_per_device"), _per_second),
    (("_bytes",), lambda value: binary(value, 3)),
    (("_seconds",), duration),
    (("mfu", "hfu", "goodput", "utilization"), _share),
    (("usd", "usd_per_hour", "usd_per_million"), usd),
    (("joules",), electricity),
    (("kilograms",), mass),
)
