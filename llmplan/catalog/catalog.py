"""Finds and loads catalogue entries: devices, clusters, stacks, prices and models, by id or alias.

One YAML file is one entry and the file's name is its id, so an id costs one file. An alias
(`h100`) costs one more: `aliases.yaml` beside the built-in entries maps alias to id. Folders of
the user have no such index; they are small, and their entries are read for aliases instead.

Order of precedence: folders given by `--catalog`, `LLMPLAN_CATALOG`, the user's config folder,
the built-in catalogue. The first folder that knows a name wins.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_origin

from pydantic import BaseModel

from llmplan.errors import Fault, InputError, did_you_mean
from llmplan.files import Document, builtin, read_documents
from llmplan.machine.hardware import Cluster, Device, Efficiency, PriceList
from llmplan.schema import check
from llmplan.software.coefficients import NAMES, Number
from llmplan.software.stack import Stack

# kind (a folder) -> what a person calls one of it
KINDS = {
    "devices": "hardware",
    "clusters": "cluster",
    "stacks": "stack",
    "prices": "price list",
    "models": "model",
}
GENERIC = "generic"
"""Id of the stack that serves when none is named: the mean over all."""
ENVIRONMENT = "LLMPLAN_CATALOG"
ALIASES = "aliases"
NAME_RULES = "names"
SHOWN = 80  # characters of a wrong name that an error repeats
ID = re.compile(r"[a-z0-9][a-z0-9.+-]{0,99}\Z")
"""An id is a file name and nothing else: no separator, no leading dot, no NUL."""

if TYPE_CHECKING:
    from llmplan.catalog.instances import InstanceTable, Rented
    from llmplan.catalog.names import NameRules

NAMES_SET = frozenset(NAMES)
_OWN = ("name", "aliases", "versions", "parent", "notes", "fitted_on")
"""Keys of a stack that it never takes from its parent."""
BY_KIND = {name for name, field in Efficiency.model_fields.items() if get_origin(field.annotation) is dict}
"""Tables of an efficiency whose rows are taken from a like device one by one."""

EntryT = TypeVar("EntryT", bound=BaseModel)
T = TypeVar("T")


def normal(name: str) -> str:
    """A name as ids are written: lower case, `-` for spaces and `_`.

    >>> normal(" H100 SXM_80GB")
    'h100-sxm-80gb'
    """
    return re.sub(r"[\s_]+", "-", name.strip().lower())


@dataclass(frozen=True)
class Catalog:
    """Folders to look in, the strongest first, and what was read from them."""

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
        """The file of the entry that `name` means, be it spelled a little otherwise; None where there is none."""
        return self.plain(kind, name) or self._spelled_alike(kind, name)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, made once for a key and kept as entries are; what it raises is not kept."""
        if key not in self._read:
            self._read[key] = make()
        found: T = self._read[key]
        return found

    def plain(self, kind: str, name: str) -> Path | None:
        """The file of the entry whose id or alias is written so; None where there is none."""
        key = ("plain", kind, name)
        if key not in self._read and (path := self._plain(kind, name)) is not None:
            self._read[key] = path
        found: Path | None = self._read.get(key)
        return found

    def _plain(self, kind: str, name: str) -> Path | None:
        wanted = normal(name)
        for directory in self.directories(kind):
            path = directory / f"{wanted}.yaml"
            if ID.match(wanted) and wanted != ALIASES and _is_file(path):
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
        key = ("entries", kind)
        if key not in self._read:
            found: dict[str, str] = {}
            for directory in reversed(self.directories(kind)):
                found |= {path.stem: path.stem for path in entry_files(directory)} | self.aliases(directory)
            self._read[key] = found
        result: dict[str, str] = self._read[key]
        return result

    def name_rules(self, kind: str) -> NameRules:
        """How names of a kind are read, of those that are no id."""
        from llmplan.catalog.names import NameRules

        if NAME_RULES not in self._read:
            self._read[NAME_RULES] = read_entry(builtin() / f"{NAME_RULES}.yaml")
        document: Document = self._read[NAME_RULES]
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
        key = ("aliases", directory)
        if key not in self._read:
            index = directory / f"{ALIASES}.yaml"
            self._read[key] = read_index(index) if _is_file(index) else collect_aliases(directory)
        result: dict[str, str] = self._read[key]
        return result

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
            return device.model_copy(update={"efficiency": self._efficiency(device, (device.id,))})

        return self.once(("device", path), filled)

    def _efficiency(self, device: Device, seen: tuple[str, ...]) -> Efficiency:
        own = device.efficiency
        if own.like is None:
            other = self._kind_efficiency(device.kind)
        elif own.like in seen:
            raise InputError(f"devices {' -> '.join((*seen, own.like))} are measured like each other")
        else:
            other = self._efficiency(self._entry("devices", own.like, Device), (*seen, own.like))
        filled = {name: getattr(own, name) for name in own.model_fields_set}
        for name in BY_KIND & filled.keys():
            filled[name] = {**getattr(other, name), **filled[name]}
        return other.model_copy(update=filled)

    def _kind_efficiency(self, kind: str) -> Efficiency:
        path = builtin() / "efficiency.yaml"
        document = self.once(path, lambda: read_entry(path))
        part = Document(document.data[kind], document.file, {(): document.line((kind,)) or 1})
        return self.once((path, kind), lambda: check(part, Efficiency))

    def cluster(self, name: str) -> Cluster:
        """The cluster that `name` means."""
        return self._entry("clusters", name, Cluster)

    def stack(self, name: str) -> Stack:
        """The software stack that `name` means, what it leaves out filled up from its parents."""
        path = self.find("stacks", name)
        return self.once(
            path, lambda: check(self._stack_document(path, ()), Stack).model_copy(update={"id": path.stem})
        )

    def _stack_document(self, path: Path, below: tuple[str, ...]) -> Document:
        """An entry's data with the keys and the fitted numbers that it leaves out; below: what leads to it."""
        document = read_entry(path)
        if not isinstance(document.data, dict) or not isinstance(fitted := document.data.get("fitted") or {}, dict):
            return document
        chain, parent = (*below, path.stem), document.data.get("parent")
        if isinstance(parent, str):
            if parent in chain:
                raise InputError(Fault(f"stacks {' -> '.join((*chain, parent))} are parents of each other", str(path)))
            above = self._stack_document(self.find("stacks", parent), chain).data
        elif fitted.keys() >= NAMES_SET:  # complete: no further file is opened
            return document
        else:
            above = {"fitted": self._parent_numbers(path)}
        kept = {name: value for name, value in above.items() if name not in _OWN}
        filled = {**kept, **document.data, "fitted": {**above["fitted"], **fitted}}
        return Document(filled, document.file, document.lines)

    def _parent_numbers(self, path: Path) -> dict[str, float]:
        """The mean over all stacks; the priors of their meanings where that lacks a number, or is asked for itself."""
        priors = {name: item.prior for name, item in numbers().items()}
        generic = self.find("stacks", GENERIC)
        return priors if path == generic else priors | self._stack_document(generic, ()).data["fitted"]

    def prices(self) -> tuple[PriceList, ...]:
        """All price lists; one of the user replaces the built-in one of the same id."""
        return tuple(self._entry("prices", name, PriceList) for name in self.ids("prices"))

    def table(self, name: str, spec: type[EntryT]) -> EntryT:
        """A file that is one table, such as `energy.yaml`: the user's whole one, else the built-in one."""
        path = self.table_file(name)
        return self.once(path, lambda: check(read_entry(path), spec))

    def table_file(self, name: str) -> Path:
        """The file of a table."""
        own = [path for folder in self.folders if _is_file(path := folder / f"{name}.yaml")]
        return [*own, builtin() / f"{name}.yaml"][0]

    def _entry(self, kind: str, name: str, spec: type[EntryT]) -> EntryT:
        return self._entry_at(self.find(kind, name), spec)

    def _entry_at(self, path: Path, spec: type[EntryT]) -> EntryT:
        return self.once(path, lambda: load(path, spec))


def load(path: Path, spec: type[EntryT]) -> EntryT:
    """One file as one checked entry with its id; an InputError with every fault and its line."""
    return check(read_entry(path), spec).model_copy(update={"id": path.stem})


def read_entry(path: Path) -> Document:
    """The one document of an entry's file."""
    documents = read_documents(path)
    if len(documents) != 1:
        raise InputError(Fault("is empty" if not documents else "holds more than one entry", str(path)))
    return documents[0]


def entry_files(directory: Path) -> list[Path]:
    """Files of a directory that are entries, sorted; none where there is no directory."""
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(Fault(f"cannot be read: {error.strerror}", str(directory))) from None
    return [directory / name for name in names if name.endswith(".yaml") and name != f"{ALIASES}.yaml"]


def collect_aliases(directory: Path) -> dict[str, str]:
    """Alias to id as the entries of a directory themselves say; an InputError if two claim one."""
    found: dict[str, str] = {}
    for path in entry_files(directory):
        document = read_entry(path)
        aliases = document.data.get("aliases", []) if isinstance(document.data, dict) else []
        for alias in aliases if isinstance(aliases, list) else []:
            name = normal(str(alias))
            if found.setdefault(name, path.stem) != path.stem:
                message = f"alias {name!r} is already one of {found[name]}"
                raise InputError(Fault(message, document.file, document.line(("aliases",))))
    return dict(sorted(found.items()))


def open_catalog(extra: Iterable[Path | str] = ()) -> Catalog:
    """The catalogue of this process: `extra` folders (`--catalog`), then those of the environment."""
    named = [(Path(folder), "--catalog") for folder in extra]
    listed = os.environ.get(ENVIRONMENT, "")
    named += [(Path(folder), ENVIRONMENT) for folder in listed.split(os.pathsep) if folder]
    for folder, origin in named:
        if "\0" in str(folder) or not folder.is_dir():
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


def read_index(path: Path) -> dict[str, str]:
    """Alias to id as an `aliases.yaml` says; an InputError if it names what cannot be an id."""
    document = read_entry(path)
    data = document.data if isinstance(document.data, dict) else {}
    wrong = [alias for alias, target in data.items() if not (isinstance(target, str) and ID.match(target))]
    if wrong or not isinstance(document.data, dict):
        message = f"alias {wrong[0]!r} names no id" if wrong else "is not a mapping of alias to id"
        raise InputError(Fault(message, document.file, document.line(tuple(wrong[:1]))))
    return data


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long for the file system, a NUL
        return False


def printable(text: str) -> str:
    """Text that is safe on a terminal: what does not print is written as an escape."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def device(name: str) -> Device:
    """The device that `name` means in the default catalogue."""
    return open_catalog().device(name)


def cluster(name: str) -> Cluster:
    """The cluster that `name` means in the default catalogue."""
    return open_catalog().cluster(name)


def stack(name: str) -> Stack:
    """The stack that `name` means in the default catalogue."""
    return open_catalog().stack(name)


def prices() -> tuple[PriceList, ...]:
    """All price lists of the default catalogue."""
    return open_catalog().prices()


def entry_document(kind: str, name: str) -> Document:
    """The parsed file of one entry of the default catalogue (models are read this way)."""
    return open_catalog().entry_document(kind, name)


def ids(kind: str) -> list[str]:
    """Ids of all entries of a kind in the default catalogue, sorted."""
    return open_catalog().ids(kind)


@lru_cache(maxsize=1)
def numbers() -> dict[str, Number]:
    """What the fitted coefficients of stacks mean, by name."""
    document = read_entry(builtin() / "numbers.yaml")
    items = document.data if isinstance(document.data, dict) else {}
    return {name: check(Document(item, document.file, {(): document.line((name,)) or 1}), Number)
            for name, item in items.items()}  # fmt: skip


def find(kind: str, name: str) -> Path:
    """The file of an entry of the default catalogue, by id or alias."""
    return open_catalog().find(kind, name)
