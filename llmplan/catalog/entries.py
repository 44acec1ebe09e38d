"""Reads the files of catalogue entries: one YAML file is one entry, and the file's name is its id."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TypeVar

from llmplan.documents import Document
from llmplan.errors import Fault, InputError
from llmplan.files import read_documents, unreadable
from llmplan.records import replace
from llmplan.schema import Spec, check

# kind (a folder) -> what a person calls one of it
KINDS = {
    "devices": "hardware",
    "clusters": "cluster",
    "stacks": "stack",
    "prices": "price list",
    "models": "model",
}
ALIASES = "aliases"
SHOWN = 80  # characters of a wrong name that an error repeats
ID = re.compile(r"[a-z0-9][a-z0-9.+-]{0,99}\Z")
"""An id is a file name and nothing else: no separator, no leading dot, no NUL."""

EntryT = TypeVar("EntryT", bound=Spec)


def normal(name: str) -> str:
    """A name as ids are written: lower case, `-` for spaces and `_`.

    >>> normal(" H100 SXM_80GB")
    'h100-sxm-80gb'
    """
    return re.sub(r"[\s_]+", "-", name.strip().lower())


def load(path: Path, spec: type[EntryT]) -> EntryT:
    """One file as one checked entry with its id; an InputError with every fault and its line."""
    return replace(check(read_entry(path), spec), id=path.stem)


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
        raise unreadable(error, directory) from None
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


def read_index(path: Path) -> dict[str, str]:
    """Alias to id as an `aliases.yaml` says; an InputError if it names what cannot be an id."""
    document = read_entry(path)
    data = document.data if isinstance(document.data, dict) else {}
    wrong = [alias for alias, target in data.items() if not (isinstance(target, str) and ID.match(target))]
    if wrong or not isinstance(document.data, dict):
        message = f"alias {wrong[0]!r} names no id" if wrong else "is not a mapping of alias to id"
        raise InputError(Fault(message, document.file, document.line(tuple(wrong[:1]))))
    return data


def printable(text: str) -> str:
    """Text that is safe on a terminal: what does not print is written as an escape."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
