"""Translates hardware names (a vendor's name, a cloud instance, `local`) into options, each noted as an assumption."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from llmplan.catalog.entries import SHOWN, normal
from llmplan.errors import InputError
from llmplan.records import fields_of
from llmplan.setup.draft import Draft
from llmplan.si import GIB

if TYPE_CHECKING:
    from pathlib import Path

    from llmplan.catalog.catalog import Catalog
    from llmplan.machine.hardware import Device
    from llmplan.setup.request import Request

LOCAL = "local"
NEAR = 0.1
"""Share by which a size in a name, or what a driver reports, may differ from the catalogue's capacity: nominal sizes
are binary or decimal, and error correction takes a sixteenth."""
_COUNTS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (r"(?P<count>[1-9]\d{0,4})\s?x\s?(?P<name>\S.*)", r"(?P<name>.*\S)\s?x\s?(?P<count>[1-9]\d{0,4})")
)
_SIZE = re.compile(r"[\s(,-]*\b(\d{1,4})\s?gi?b?\b\)?", re.IGNORECASE)


def draft_of(request: Request, catalog: Catalog) -> Draft:
    """A draft of the request whose hardware is an id of the catalogue, with what its name says besides."""
    draft = Draft(request)
    draft.assumptions += request.notes
    hardware = request.options.hardware
    if hardware is not None and not _is_plain(hardware, catalog):
        try:
            options = _words(draft, hardware, catalog)
        except InputError as error:
            raise InputError(request.blame(error, "hardware")) from None
        if options:
            draft.request = request.changed(**options)
    return draft


def device_file(name: str, catalog: Catalog) -> Path:
    """The file of the device that a name means, in any of the ways above; an InputError where there is none."""
    options = {} if _is_plain(name, catalog) else _words(None, name, catalog)
    return catalog.find("devices", options.get("hardware", name))


def _is_plain(name: str, catalog: Catalog) -> bool:
    """Whether it is an id or an alias as it is written."""
    return catalog.plain("devices", name) is not None


def _words(draft: Draft | None, name: str, catalog: Catalog) -> dict[str, Any]:
    """The options that a name means; empty if it is unknown, which the look-up then reports."""
    if normal(name) == LOCAL:
        return _here(draft, catalog)
    if (rented := catalog.instance(name)) is not None:
        return _instance(draft, rented.name, fields_of(rented.instance), catalog)
    try:
        found = catalog.find("devices", name).stem
    except InputError:
        return _sized(draft, name, catalog) or _counted(draft, name, catalog)
    _tell(draft, f"hardware {name}: {found} of the catalogue")
    return {"hardware": found}


def _here(draft: Draft | None, catalog: Catalog) -> dict[str, Any]:
    """What this machine has."""
    from llmplan.setup.local import here

    found = here()
    if not any(mark.isdigit() for mark in found.name):  # a virtual machine may call its processor no more than AMD EPYC
        raise InputError(f"--hardware local: found {found}, which names no model; name the device yourself")
    try:
        device = catalog.device(found.name)
    except InputError as error:
        raise InputError(f"--hardware local: found {found}; {error}") from None
    options: dict[str, Any] = {"hardware": device.id}
    _tell(draft, f"hardware {device.id}: found here, {found}")
    if found.memory is not None and _differs(found.memory, device):
        options["device_memory"] = found.memory
    return _only_unstated(draft, options | {"devices": found.count}, f"found here by {found.by}")


def _instance(draft: Draft | None, name: str, instance: dict[str, Any], catalog: Catalog) -> dict[str, Any]:
    """Device, count and node of a cloud instance."""
    count = instance["devices"]
    _tell(draft, f"hardware {name}: {count} x {instance['device']} an instance")
    options = {"hardware": instance["device"], "devices": count, "cluster": instance["cluster"]}
    cluster = instance["cluster"] or catalog.device(instance["device"]).cluster
    if cluster is not None and catalog.cluster(cluster).devices_per_node > count:
        options["devices_per_node"] = count
    return _only_unstated(draft, options, f"of one {name}")


def _sized(draft: Draft | None, name: str, catalog: Catalog) -> dict[str, Any]:
    """A name with the size of its memory: `L40S 48GB`, `Apple M3 Max 64GB`."""
    match = _SIZE.search(name[:SHOWN])
    if match is None:
        return {}
    try:
        device = catalog.device(_SIZE.sub(" ", name))
    except InputError:
        return {}
    size = float(match[1]) * GIB
    if not _differs(size, device):
        options = {"hardware": device.id}
    elif "unified" in device.memory.type:  # sold in several sizes
        options = _only_unstated(draft, {"hardware": device.id, "device_memory": size}, "the name says so")
    else:
        return {}
    _tell(draft, f"hardware {name}: {device.id} of the catalogue")
    return options


def _counted(draft: Draft | None, name: str, catalog: Catalog) -> dict[str, Any]:
    """A name with how many there are: `8x H100 SXM`, `H100 x8`."""
    for pattern in _COUNTS:
        match = pattern.fullmatch(name[:SHOWN].strip())
        if match is not None:
            try:
                device = catalog.find("devices", match["name"]).stem
            except InputError:
                continue
            return _instance(draft, name, {"device": device, "devices": int(match["count"]), "cluster": None}, catalog)
    return {}


def _differs(size: float, device: Device) -> bool:
    return abs(size / device.memory.capacity - 1.0) > NEAR


def _only_unstated(draft: Draft | None, options: dict[str, Any], why: str) -> dict[str, Any]:
    """The options that the user has not given, each noted as an assumption."""
    if draft is None:
        return options
    given = draft.options
    kept = {name: value for name, value in options.items()
            if value is not None and (name == "hardware" or getattr(given, name) is None)}  # fmt: skip
    for name, value in kept.items():
        if name != "hardware":
            draft.assume(name, f"{value / GIB:.4g} GiB" if name == "device_memory" else value, why)
    return kept


def _tell(draft: Draft | None, sentence: str) -> None:
    if draft is not None:
        draft.assumptions.append(sentence)
