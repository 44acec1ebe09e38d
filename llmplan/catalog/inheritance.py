"""What an entry inherits: a device its efficiency from one it is `like`, a stack its numbers from its parent."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import get_origin

from llmplan.catalog.entries import read_entry
from llmplan.documents import Document
from llmplan.errors import Fault, InputError
from llmplan.files import builtin
from llmplan.machine.efficiency import Efficiency
from llmplan.machine.hardware import Device
from llmplan.plain import kinds_of
from llmplan.records import replace
from llmplan.schema import check
from llmplan.software.coefficients import NAMES, Number

GENERIC = "generic"
_IN_PLACE = {"finetune": "generic-fine-tuning", "lora": "generic-fine-tuning"}
"""Id of the stack that serves when none is named: the mean over all."""
BY_KIND = {name for name, kind in kinds_of(Efficiency).items() if get_origin(kind) is dict}
"""Tables of an efficiency whose rows are taken from a like device one by one."""

_NAMES = frozenset(NAMES)
_OWN = ("name", "aliases", "versions", "parent", "notes", "fitted_on")
"""Keys of a stack that it never takes from its parent."""


def filled_efficiency(device: Device, named: Callable[[str], Device], seen: tuple[str, ...] = ()) -> Efficiency:
    """A device's efficiency; what it leaves out is that of its `like` device, then of its kind.

    named: the device of a name, as its entry says it; seen: what leads to this one.
    """
    own, chain = device.efficiency, (*seen, device.id)
    if device.id in seen:
        raise InputError(f"devices {' -> '.join(chain)} are measured like each other")
    other = _kind_efficiency(device.kind) if own.like is None else filled_efficiency(named(own.like), named, chain)
    filled = {name: getattr(own, name) for name in own.given}
    for name in BY_KIND & filled.keys():
        filled[name] = {**getattr(other, name), **filled[name]}
    return replace(other, **filled)


@lru_cache
def _kind_efficiency(kind: str) -> Efficiency:
    document = read_entry(builtin() / "efficiency.yaml")
    return check(Document(document.data[kind], document.file, {(): document.line((kind,)) or 1}), Efficiency)


def stack_document(path: Path, find: Callable[[str], Path], below: tuple[str, ...] = ()) -> Document:
    """A stack's data with the keys and the fitted numbers that it leaves out.

    find: the file of the stack of a name; below: what leads to this one.
    """
    document = read_entry(path)
    if not isinstance(document.data, dict) or not isinstance(fitted := document.data.get("fitted") or {}, dict):
        return document
    chain, parent = (*below, path.stem), document.data.get("parent")
    if path.stem in below:
        raise InputError(Fault(f"stacks {' -> '.join(chain)} are parents of each other", str(path)))
    if isinstance(parent, str):
        above = stack_document(find(parent), find, chain).data
        if not isinstance(above, dict) or not isinstance(above.get("fitted") or {}, dict):
            raise InputError(Fault("is a parent, and no mapping with fitted numbers", str(find(parent))))
    elif fitted.keys() >= _NAMES:  # complete: no further file is opened
        return document
    else:
        above = {"fitted": _parent_numbers(path, find)}
    kept = {name: value for name, value in above.items() if name not in _OWN}
    filled = {**kept, **document.data, "fitted": {**(above.get("fitted") or {}), **fitted}}
    return Document(filled, document.file, document.lines)


def generic_of(workload: str | None) -> str:
    """Id of the stack that is used for one without an entry, by the kind of work.

    >>> generic_of("pretrain"), generic_of("lora")
    ('generic', 'generic-fine-tuning')
    """
    return _IN_PLACE.get(workload or "", GENERIC)


GENERICS = (GENERIC, *dict.fromkeys(_IN_PLACE.values()))


def _parent_numbers(path: Path, find: Callable[[str], Path]) -> dict[str, float]:
    """The mean over all stacks; the priors of their meanings where that lacks a number, or is asked for itself."""
    priors = {name: item.prior for name, item in numbers().items()}
    generic = find(GENERIC)
    return priors if path == generic else priors | stack_document(generic, find).data["fitted"]


@lru_cache(maxsize=1)
def numbers() -> dict[str, Number]:
    """What the fitted coefficients of stacks mean, by name."""
    document = read_entry(builtin() / "numbers.yaml")
    items = document.data if isinstance(document.data, dict) else {}
    return {name: check(Document(item, document.file, {(): document.line((name,)) or 1}), Number)
            for name, item in items.items()}  # fmt: skip
