"""`llmplan catalog check`: every entry of the catalogue against its schema, its rules and its neighbours.

`check_catalog` reads every file, so it is for maintainers and tests, never for a plan.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import TypeVar, get_args

from llmplan.catalog.catalog import Catalog
from llmplan.catalog.device_lint import LinkRate, LinkTable, device_problems
from llmplan.catalog.entries import ALIASES, ID, KINDS, collect_aliases, entry_files, normal, read_entry, read_index
from llmplan.catalog.inheritance import stack_document
from llmplan.catalog.lint import Problem, cluster_problems, date_problems, price_problems, source_problems
from llmplan.catalog.names import clashes
from llmplan.catalog.stack_lint import stack_problems
from llmplan.documents import Document, Path_
from llmplan.errors import Fault, InputError
from llmplan.files import builtin
from llmplan.machine.efficiency import Efficiency
from llmplan.machine.facilities import EnergyTable, ReliabilityTable
from llmplan.machine.hardware import Cluster, Device, Kind, PriceList
from llmplan.records import dataclass
from llmplan.schema import Spec, check
from llmplan.software.drafts import DraftTable
from llmplan.software.stack import Stack

EntryT = TypeVar("EntryT", bound=Spec)


@dataclass
class Report:
    """Faults with file and line, and the number of entries of each kind that were read."""

    faults: list[Fault] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, document: Document, problems: Iterable[Problem]) -> None:
        """Problems of one entry as faults with their lines."""
        self.faults += [Fault(message, document.file, document.line(path)) for path, message in problems]


def check_catalog(catalog: Catalog, kinds: Iterable[str] = KINDS) -> Report:
    """Checks every entry of some kinds, in every folder; an empty `faults` means all is well."""
    report = Report()
    _guard(report, _check_kind_efficiencies)
    _guard(report, lambda: _check_tables(catalog))
    _guard(report, lambda: _check_names(catalog))
    rules = _rules(catalog, report)
    for kind in kinds:
        rule = rules[kind]
        for directory in catalog.directories(kind):
            for path in entry_files(directory):
                report.counts[kind] += 1
                _guard(report, lambda path=path, rule=rule: rule(path))  # type: ignore[misc]
            _guard(report, lambda directory=directory: _check_aliases(directory, report))  # type: ignore[misc]
    return report


def fresh_aliases(directory: Path) -> str:
    """The text that `aliases.yaml` of a directory should have."""
    lines = [f"{_plain(alias)}: {entry}" for alias, entry in collect_aliases(directory).items()]
    return "\n".join(["# Made from the entries by `llmplan catalog check --write-aliases`; do not edit.", *lines, ""])


def _plain(alias: str) -> str:
    return f"'{alias}'" if alias.replace(".", "").isdigit() else alias


def write_aliases(directory: Path) -> Path | None:
    """Writes the alias index of a directory anew; None where its entries have no aliases."""
    if not collect_aliases(directory):
        return None
    path = directory / f"{ALIASES}.yaml"
    path.write_text(fresh_aliases(directory), encoding="utf-8")
    return path


def _rules(catalog: Catalog, report: Report) -> dict[str, Callable[[Path], None]]:
    """Kind to what checks one file of it."""
    links = _links(catalog)

    def device(path: Path) -> None:
        document, entry = _load(path, Device)
        report.add(document, device_problems(entry, document, links))
        report.add(document, _device_references(entry, catalog))

    def cluster(path: Path) -> None:
        document, entry = _load(path, Cluster)
        report.add(document, cluster_problems(entry))

    def stack(path: Path) -> None:
        _read(path)
        document = stack_document(path, partial(catalog.find, "stacks"))  # with what its parent says
        entry = check(document, Stack)
        report.add(document, [*date_problems(entry.date), *source_problems(entry.sources), *stack_problems(entry)])

    def price(path: Path) -> None:
        document, entry = _load(path, PriceList)
        report.add(document, price_problems(entry))
        for index, item in enumerate(entry.prices):
            report.add(document, _resolves(catalog, "devices", item.device, ("prices", index, "device")))

    return {"devices": device, "clusters": cluster, "stacks": stack, "prices": price, "models": _model}


def _links(catalog: Catalog) -> dict[str, LinkRate]:
    """Rates of links by name; a `links.yaml` in a folder of the user adds to the built-in one."""
    own = [path for folder in catalog.folders if (path := folder / "links.yaml").is_file()]
    tables = [builtin() / "links.yaml", *reversed(own)]
    return {name: rate for path in tables for name, rate in check(read_entry(path), LinkTable).links.items()}


def _check_kind_efficiencies() -> None:
    """`efficiency.yaml`, what is used for devices that were not measured, has every kind and a source for each."""
    document = read_entry(builtin() / "efficiency.yaml")
    kinds = get_args(Kind)
    for kind in kinds:
        part = Document(document.data.get(kind), document.file, {(): document.line((kind,)) or 1})
        if not check(part, Efficiency).source:
            raise InputError(Fault(f"{kind} needs a source", document.file, document.line((kind,))))


def _check_tables(catalog: Catalog) -> None:
    """Files that are one table: the defaults that they name are there, and their sources."""
    energy, reliability = catalog.table("energy", EnergyTable), catalog.table("reliability", ReliabilityTable)
    tables: dict[str, EnergyTable | ReliabilityTable | DraftTable] = {
        "energy": energy,
        "reliability": reliability,
        "drafts": catalog.table("drafts", DraftTable),
    }
    faults = [
        Fault(f"{name}.yaml: {message}")
        for name, table in tables.items()
        for _, message in (*source_problems(table.sources), *date_problems(table.date))
    ]
    for kind in get_args(Kind):
        if kind not in energy.hosts and kind != "fpga":  # no FPGA can be planned
            faults.append(Fault(f"energy.yaml: hosts has no {kind}"))
    if faults:
        raise InputError(faults)


def _check_names(catalog: Catalog) -> None:
    """No two entries of a kind are spelled alike; instances are of devices and clusters that there are."""
    table = catalog.instances()
    problems = [*source_problems(table.sources), *date_problems(table.date)]
    for part in table.slices.values():
        problems += _resolves(catalog, "devices", part.device, ("slices",))
    for instance in table.instances.values():
        problems += _resolves(catalog, "devices", instance.device, ("instances",))
        if instance.cluster is not None:
            problems += _resolves(catalog, "clusters", instance.cluster, ("instances",))
    faults = [Fault(f"instances.yaml: {message}") for _, message in problems]
    for kind in KINDS:
        faults += [Fault(f"{kind}: {text}") for text in clashes(catalog.entries(kind), catalog.name_rules(kind))]
    if faults:
        raise InputError(faults)


def _model(path: Path) -> None:
    """A model entry by the loader of models, where this build has one."""
    document = _read(path)
    try:
        model_spec = importlib.import_module("llmplan.model.spec").model_spec
    except (ImportError, AttributeError):
        return
    model_spec(document)


def _load(path: Path, spec: type[EntryT]) -> tuple[Document, EntryT]:
    document = _read(path)
    return document, check(document, spec)


def _read(path: Path) -> Document:
    document = read_entry(path)
    if not ID.match(path.stem) or path.stem != normal(path.stem):
        raise InputError(Fault("the file's name is the id: lower-case letters, digits, '.', '+', '-'", str(path)))
    if isinstance(document.data, dict) and "id" in document.data:
        raise InputError(Fault("the id is the file's name; leave it out", str(path), document.line(("id",))))
    return document


def _device_references(device: Device, catalog: Catalog) -> Iterable[Problem]:
    if device.cluster is not None:
        yield from _resolves(catalog, "clusters", device.cluster, ("cluster",))
    like, path = device.efficiency.like, ("efficiency", "like")
    if like is None:
        return
    yield from _resolves(catalog, "devices", like, path)
    try:
        catalog.device(like)  # follows its own `like`, so it finds a circle
    except InputError as error:
        yield path, str(error)


def _resolves(catalog: Catalog, kind: str, name: str, path: Path_) -> Iterable[Problem]:
    """References inside the catalogue are ids, not aliases: an alias may move to a newer part."""
    try:
        found = catalog.find(kind, name)
    except InputError as error:
        yield path, str(error)
        return
    if found.stem != name:
        yield path, f"{name!r} is an alias; write the id, {found.stem}"


def _check_aliases(directory: Path, report: Report) -> None:
    """Aliases are unique, no alias hides an id, and the index (built-in entries have one) is fresh."""
    aliases = collect_aliases(directory)
    ids = {path.stem for path in entry_files(directory)}
    for alias, entry in aliases.items():
        if alias in ids:
            report.faults.append(Fault(f"alias {alias!r} is the id of another entry", str(directory / f"{entry}.yaml")))
    index = directory / f"{ALIASES}.yaml"
    if not index.is_file() and (not aliases or directory != builtin(directory.name)):
        return
    if not index.is_file() or read_index(index) != aliases:
        text = "does not match the entries: run `llmplan catalog check --write-aliases`"
        report.faults.append(Fault(text, str(index)))


def _guard(report: Report, step: Callable[[], None]) -> None:
    """Runs one check; an entry that cannot be read is one more finding, not the end."""
    try:
        step()
    except InputError as error:
        report.faults += error.faults
