"""A CSV of measured runs, one a row: reads it, and makes the plan of a row.

The columns are the names of the options, with what was measured beside them; `docs/measurements.md`
lists them. An empty cell means the stack's default. Shape columns win over the model's id. A column that is
neither is kept and read by nobody.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from llmplan.catalog.model_columns import COLUMNS, model_from_columns
from llmplan.errors import Fault, InputError, did_you_mean
from llmplan.files import read_text
from llmplan.records import dataclass, filled, replace
from llmplan.setup.options import FLAGS, VOCABULARY, PlanOptions
from llmplan.setup.request import Request, request
from llmplan.setup.written import notes
from llmplan.units import SMALLEST

if TYPE_CHECKING:
    from llmplan.answer.resolve import AnyPlan
    from llmplan.catalog.catalog import Catalog

NEEDED = ("id", "model", "hardware", "workload")
MEASURED = "measured_"
BESIDE = ("id", "publication", "source", "memory_kind", "disaggregated", "framework", "notes")
"""Columns that describe neither the plan nor a measurement."""
POOL_COLUMNS = tuple(
    f"{pool}_{name}" for pool in ("prefill", "decode") for name in ("devices", "tp", "ep", "workers", "dp_attention")
)
"""Columns of deployments whose prompts are read apart: a worker is a group of devices that shares one model."""
_WORDS = frozenset(VOCABULARY)
_PLACE = re.compile(r"( lines? \d[\d, -]*| id=\S+|#L\d+(-L?\d+)?)$")
"""The place within a document at the end of a source: line numbers, a row's id."""
_MISSPELT = 0.8
"""Likeness from which a column that nothing reads is probably a misspelt one and not an option of its own [1]."""


class Group(NamedTuple):
    """Rows that share one vote: what one publication measured of one stack, model and device."""

    publication: str
    stack: str
    model: str
    hardware: str


@dataclass(frozen=True)
class Row:
    """One measured run: its cells as text, and its line in the file."""

    cells: dict[str, str]
    line: int

    @property
    def id(self) -> str:
        """The row's name."""
        return self.cells["id"]

    @property
    def publication(self) -> str:
        """The document of the measuring effort; where the row names none, its source without the place in it."""
        return self.cells.get("publication", "") or _PLACE.sub("", self.cells.get("source", ""))

    @cached_property
    def group(self) -> Group:
        """The rows that it shares a vote with."""
        cells = self.cells
        return Group(self.publication, cells.get("stack", ""), cells["model"], cells["hardware"])

    @cached_property
    def measured(self) -> dict[str, float | bool]:
        """What was measured, without the prefix; only cells that are filled. ValueError for one that is no number."""
        found: dict[str, float | bool] = {}
        for name, text in self.cells.items():
            if text and name.startswith(MEASURED):
                found[name.removeprefix(MEASURED)] = text == "true" if text in ("true", "false") else float(text)
        return found


def read_rows(path: Path | str) -> list[Row]:
    """Every row of a CSV; an InputError for a header that lacks columns, for a torn row, for measured cells of no
    use."""
    text, name = read_text(path), str(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    faults: list[Fault] = []
    rows: list[Row] = []
    try:
        header = next(reader, [])
        again, judged = len(set(header)) < len(header), [name for name in header if name.startswith(MEASURED)]
        faults += [Fault(f"column {word!r} is missing", name, 1) for word in NEEDED if word not in header]
        seen: set[str] = set()
        for cells in reader if not faults else ():
            line = reader.line_num
            if not cells:
                continue
            if len(cells) != len(header):
                faults.append(
                    Fault(
                        f"row has {'more' if len(cells) > len(header) else 'fewer'} cells than the header", name, line
                    )
                )
                continue
            row = Row(dict(zip(header, (cell.strip() for cell in cells), strict=True)), line)
            faults += _contradictions(header, cells, name, line) if again else ()
            if not row.id or row.id in seen:
                faults.append(Fault(f"id {row.id!r} {'stands twice' if row.id else 'is empty'}", name, line))
            faults += _measured_faults(row, judged, name)
            seen.add(row.id)
            rows.append(row)
    except csv.Error as error:
        faults.append(Fault(f"is not a valid CSV: {error}", name, reader.line_num))
    if not faults and not rows:
        faults.append(Fault("has no rows", name))
    if faults:
        raise InputError(faults)
    return rows


def unread_columns(rows: Sequence[Row]) -> list[str]:
    """Columns that no plan and no comparison reads, each with the nearest names that would be read."""
    known = {*VOCABULARY, *COLUMNS, *BESIDE, *POOL_COLUMNS}
    names = [name for name in rows[0].cells if name not in known and not name.startswith(MEASURED)] if rows else []
    return [f"{name!r}{did_you_mean(name, known, _MISSPELT)}" for name in names]


def _contradictions(header: Sequence[str], cells: Sequence[str], file: str, line: int) -> list[Fault]:
    """A column that stands twice is no fault as long as both say the same."""
    first: dict[str, str] = {}
    pairs = zip(header, cells, strict=True)
    twice = [name for name, cell in pairs if first.setdefault(name, cell).strip() != cell.strip()]
    return [Fault(f"column {name!r} stands twice, with different cells", file, line) for name in twice]


def _measured_faults(row: Row, measured: Sequence[str], file: str) -> list[Fault]:
    """Measured cells that are no numbers: they would make errors of nothing."""
    faults = []
    for name in measured:
        if (text := row.cells[name]) in ("", "true", "false"):
            continue
        try:
            # errors relative to it are numbers
            sound = float(text) == 0 or SMALLEST <= float(text) <= 1.0 / SMALLEST
        except ValueError:
            sound = False
        if not sound:
            sizes = f"0, or a number between {SMALLEST:g} and {1.0 / SMALLEST:g}"
            what = "true or false" if name == f"{MEASURED}fits" else sizes
            faults.append(Fault(f"{name}: expected {what}, got {text[:60]!r}", file, row.line))
    return faults


def row_options(row: Row, stack: str, catalog: Catalog) -> dict[str, Any]:
    """The cells of the row that are options, as values; `stack` instead of the row's own."""
    values: dict[str, Any] = {}
    for name, text in row.cells.items():
        if text and name in _WORDS:
            values[name] = {"true": True, "false": False}.get(text.lower(), text) if name in FLAGS else text
    return values | _pools(row, catalog) | {"stack": stack}


def _pools(row: Row, catalog: Catalog) -> dict[str, Any]:
    """Layouts of the two pools from their workers: a worker's devices are one tensor-parallel group, or, where its
    attention is data parallel, replicas that share their experts.

    A worker of several devices that says degrees of 1 does not say its layout. Inside a node it is taken as a
    tensor-parallel group, across nodes as replicas that share their experts.
    """
    if not row.cells.get("decode_workers"):
        if row.cells.get("disaggregated") == "true":
            raise InputError(f"line {row.line}: disaggregated, and no decode_workers say how its pools are laid out")
        return {}
    found: dict[str, Any] = {"devices": row.cells["devices"]}
    for pool, prefix in (("decode", ""), ("prefill", "prefill_")):
        devices, workers = int(row.cells[f"{pool}_devices"] or 0), int(row.cells[f"{pool}_workers"] or 0)
        if not devices:
            continue
        workers = max(workers, 1)
        group, wide = devices // workers, row.cells[f"{pool}_dp_attention"] == "true"
        if group > 1 and row.cells[f"{pool}_tp"] == row.cells[f"{pool}_ep"] == "1":
            wide = wide and group > _node(row, catalog)
        spread = wide or int(row.cells[f"{pool}_ep"] or 1) > 1
        found[f"{prefix}tp"], found[f"{prefix}dp"] = (1, devices) if wide else (group, workers)
        found[f"{prefix}ep"] = group if spread else 1
    if row.cells.get("disaggregated") == "true":
        return found | {"prefill_devices": row.cells["prefill_devices"], "decode_devices": row.cells["decode_devices"]}
    kept = {name: value for name, value in found.items() if not name.startswith("prefill_")}
    return kept | dict.fromkeys(("prefill_devices", "prefill_tp", "prefill_ep", "decode_devices"))


def _node(row: Row, catalog: Catalog) -> float:
    """Devices of a node, as given or as they usually stand [1]; no more than one where that is not known."""
    if given := row.cells.get("devices_per_node"):
        return float(given)
    cluster = row.cells.get("cluster") or catalog.device(row.cells["hardware"]).cluster
    return catalog.cluster(cluster).devices_per_node if cluster else 1.0


def row_plan(row: Row, catalog: Catalog, stack: str) -> AnyPlan:
    """The plan of a row under a stack of the catalogue; an InputError says why there is none."""
    from llmplan.answer.resolve import resolve

    return resolve(row_request(row, stack, catalog), catalog, model_from_columns(row.cells, catalog))


def row_request(row: Row, stack: str, catalog: Catalog) -> Request:
    """What a row asks for under a stack of the catalogue; cells that are alike are read once."""
    given = row_options(row, stack, catalog)
    try:
        values = {name: _value(name, cell) for name, cell in given.items()}
    except InputError:
        return replace(request(given), ran=True)  # which says all faults
    options = filled(PlanOptions, values)
    return Request(options, None, frozenset(options.stated()), notes(given), ran=True)


@lru_cache(maxsize=8192)
def _value(name: str, cell: Any) -> Any:
    """One value as the options have it; an InputError where it is none."""
    return getattr(request({name: cell}).options, name)
