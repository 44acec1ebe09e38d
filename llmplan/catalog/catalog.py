"""Finds and loads catalogue entries: devices, clusters, stacks, prices and models, by id or alias.

One YAML file is one entry and the file's name is its id, so an id costs one file. An alias
(`h100`) costs one more: `aliases.yaml` beside the built-in entries maps alias to id. Folders of
the user have no such index; they are small, and their entries are read for aliases instead.

Order of precedence: folders given by `--catalog`, `LLMPLAN_CATALOG`, the user's config folder,
the built-in catalogue. The first folder that knows a name wins.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable
from dataclasses import field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llmplan.catalog.entries import (
    ALIASES,
    ID,
    KINDS,
    SHOWN,
    EntryT,
    collect_aliases,
    entry_files,
    load,
    normal,
    printable,
    read_entry,
    read_index,
)
from llmplan.catalog.inheritance import filled_efficiency, stack_document
from llmplan.documents import Document
from llmplan.errors import InputError, did_you_mean
from llmplan.files import builtin
from llmplan.machine.hardware import Cluster, Device, PriceList
from llmplan.records import dataclass, replace
from llmplan.schema import check

ENVIRONMENT = "LLMPLAN_CATALOG"
NAME_RULES = "names"
if TYPE_CHECKING:
    from llmplan.catalog.instances import InstanceTable, Rented
    from llmplan.catalog.names import NameRules
    from llmplan.software.stack import Stack

T = TypeVar("T")


@dataclass(frozen=True)
class Catalog:
    """Folders in order of precedence, and a cache of what was read from them."""

    folders: tuple[Path, ...]
    """Folders of the user; each has subfolders `devices`, `clusters`, ..."""
    _read: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def directories(self, kind: str) -> list[Path]:
        """Where entries of `kind` may stand, the strongest first."""
        return [*(folder / kind for folder in self.folders), builtin(kind)]

    def find(self, kind: str, name: str) -> Path:
        """The file of the entry that `name` (id or alias) means; an InputError if there is none."""
        if (path := self.named(kind, name)) is not None:
            return path
        shown = name if len(name) <= SHOWN else f"{name[:SHOWN]}..."
        near = self.near(kind, name)
        listing = f"`llmplan catalog list{'' if kind == 'devices' else f' {kind}'}` shows all"
        raise InputError(f'unknown {KINDS[kind]} "{printable(shown)}"{near} ({listing})')

    def named(self, kind: str, name: str) -> Path | None:
        """The file of the entry that `name` means, also in another spelling; None if there is none."""
        return self.plain(kind, name) or self._spelled_alike(kind, name)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """The result of `make`, cached under a key like entries are; errors are not cached."""
        if key not in self._read:
            self._read[key] = make()
        found: T = self._read[key]
        return found

    def plain(self, kind: str, name: str) -> Path | None:
        """The file of the entry with exactly this id or alias; None if there is none."""
        key = ("plain", kind, name)
        path: Path | None = self._read.get(key) or self._plain(kind, name)
        if path is not None:  # what is not there may come
            self._read[key] = path
        return path

    def _plain(self, kind: str, name: str) -> Path | None:
        wanted = normal(name)
        for directory in self.directories(kind):
            path = directory / f"{wanted}.yaml"
            if ID.match(wanted) and wanted != ALIASES and os.path.isfile(path):
                return path
            target = self.aliases(directory).get(wanted)
            if target is not None:
                return directory / f"{target}.yaml"
        return None

    def _spelled_alike(self, kind: str, name: str) -> Path | None:
        """The file of the one entry that is spelled like `name` but for marks, and words that tell nothing."""
        from llmplan.catalog.names import spelled_alike

        if len(name) > SHOWN:
            return None
        found = spelled_alike(name.rpartition("/")[2] if kind == "models" else name, self.entries(kind),
                              self.name_rules(kind))  # fmt: skip
        return None if found is None else self.find(kind, found)

    def near(self, kind: str, name: str) -> str:
        """Text about the entries of a kind whose names are nearest to `name`; empty where none is near."""
        from llmplan.catalog.names import suggestion

        rules, known = self.name_rules(kind), self.names(kind)
        if kind == "devices":
            known = [*known, *self.instances().instances]
        return suggestion(name[:SHOWN], known, rules) or did_you_mean(normal(name)[:SHOWN], known)

    def entries(self, kind: str) -> dict[str, str]:
        """Every id and alias of a kind, with its id; the strongest folder wins."""

        def found() -> dict[str, str]:
            known: dict[str, str] = {}
            for directory in reversed(self.directories(kind)):
                known |= {path.stem: path.stem for path in entry_files(directory)} | self.aliases(directory)
            return known

        return self.once(("entries", kind), found)

    def name_rules(self, kind: str) -> NameRules:
        """The rules for names of a kind that are not ids."""
        from llmplan.catalog.names import NameRules

        document = self.once(NAME_RULES, lambda: read_entry(builtin() / f"{NAME_RULES}.yaml"))
        return check(Document(document.data.get(kind, {}), document.file, {}), NameRules)

    def instance(self, name: str) -> Rented | None:
        """The cloud instance of that name; None where there is none."""
        from llmplan.catalog.instances import find_instance

        return find_instance(name, self.instances(), self.name_rules("instances"))

    def instances(self) -> InstanceTable:
        """Cloud instances by name."""
        from llmplan.catalog.instances import InstanceTable

        return self.table("instances", InstanceTable)

    def aliases(self, directory: Path) -> dict[str, str]:
        """Alias to id of one directory: from its index, or from the entries where it has none."""

        def found() -> dict[str, str]:
            index = directory / f"{ALIASES}.yaml"
            return read_index(index) if os.path.isfile(index) else collect_aliases(directory)

        return self.once(("aliases", directory), found)

    def ids(self, kind: str) -> list[str]:
        """Ids of all entries of a kind, sorted."""
        return sorted({path.stem for directory in self.directories(kind) for path in entry_files(directory)})

    def names(self, kind: str) -> list[str]:
        """Ids and aliases of all entries of a kind, sorted."""
        aliases = (alias for directory in self.directories(kind) for alias in self.aliases(directory))
        return sorted({*self.ids(kind), *aliases})

    def entry_document(self, kind: str, name: str) -> Document:
        """The parsed file of one entry; its id is `Path(document.file).stem`."""
        return read_entry(self.find(kind, name))

    def device(self, name: str) -> Device:
        """The device that `name` means, its `efficiency` filled up: from its `like` device, then from its kind."""
        path = self.find("devices", name)

        def filled() -> Device:
            device = self._entry_at(path, Device)
            efficiency = filled_efficiency(device, self.device_as_stated)
            return replace(device, efficiency=efficiency)

        return self.once(("device", path), filled)

    def device_as_stated(self, name: str) -> Device:
        """The same with the `efficiency` that its own entry holds, and nothing of others."""
        return self._entry("devices", name, Device)

    def cluster(self, name: str) -> Cluster:
        """The cluster that `name` means."""
        return self._entry("clusters", name, Cluster)

    def stack(self, name: str) -> Stack:
        """The software stack that `name` means, what it leaves out filled up from its parents."""
        from llmplan.software.stack import Stack  # a list of devices needs none

        path = self.find("stacks", name)

        def filled() -> Stack:
            return replace(check(stack_document(path, partial(self.find, "stacks")), Stack), id=path.stem)

        return self.once(path, filled)

    def prices(self) -> tuple[PriceList, ...]:
        """All price lists; one of the user replaces the built-in one of the same id."""
        return self.once("prices", lambda: tuple(self._entry("prices", one, PriceList) for one in self.ids("prices")))

    def table(self, name: str, spec: type[EntryT]) -> EntryT:
        """A file that is one table, such as `energy.yaml`: the user's whole one, else the built-in one."""
        return self.once(("table", name), lambda: check(read_entry(self.table_file(name)), spec))

    def table_file(self, name: str) -> Path:
        """The file of a table."""
        own = [path for folder in self.folders if os.path.isfile(path := folder / f"{name}.yaml")]
        return [*own, builtin() / f"{name}.yaml"][0]

    def _entry(self, kind: str, name: str, spec: type[EntryT]) -> EntryT:
        return self._entry_at(self.find(kind, name), spec)

    def _entry_at(self, path: Path, spec: type[EntryT]) -> EntryT:
        return self.once(path, lambda: load(path, spec))


def open_catalog(extra: Iterable[Path | str] = ()) -> Catalog:
    """The catalogue of this process: `extra` folders (`--catalog`), then those of the environment."""
    named = [(Path(folder), "--catalog") for folder in extra]
    listed = os.environ.get(ENVIRONMENT, "")
    named += [(Path(folder), ENVIRONMENT) for folder in listed.split(os.pathsep) if folder]
    for folder, origin in named:
        if not os.path.isdir(folder):  # nor what cannot be a name: too long, or with a NUL
            raise InputError(f'{origin}: no such folder "{printable(str(folder))}"')
    config = user_folder()
    folders = [folder for folder, _ in named] + ([config] if config.is_dir() else [])
    return _catalog(tuple(folders), tuple(map(_state, folders)))


@lru_cache(maxsize=8)
def _catalog(folders: tuple[Path, ...], _: tuple[Any, ...]) -> Catalog:
    return Catalog(folders)


def _state(folder: Path) -> tuple[tuple[str, int], ...]:
    """Files of a user's folder and when each was written: what was read of them holds until one of these changes."""
    return tuple(sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*.yaml") if path.is_file()))


def user_folder() -> Path:
    """The catalogue folder of the user, which every command reads; it need not exist."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(base) / "llmplan" / "catalog"
