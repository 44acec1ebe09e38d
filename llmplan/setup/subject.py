"""Looks up the model, device, cluster and stack of a request, and reports every fault at its line."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar, get_args

from llmplan.catalog.catalog import Catalog
from llmplan.catalog.inheritance import generic_of
from llmplan.catalog.load_model import find_model
from llmplan.documents import Document
from llmplan.errors import InputError
from llmplan.machine.hardware import Cluster, Device, resized
from llmplan.model.lowering import lower
from llmplan.model.model import Model
from llmplan.model.spec import model_spec
from llmplan.records import dataclass, replace
from llmplan.setup.draft import Draft
from llmplan.setup.options import PlanOptions
from llmplan.software.band import FAMILIES
from llmplan.software.distance import APPROXIMATE, StatedDistances
from llmplan.software.stack import Release, Stack
from llmplan.vocabulary import QuantizedBase

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be run, on what, by which software."""

    model: Model
    device: Device
    cluster: Cluster
    stack: Stack
    release: Release
    """The stack as of the plan's version."""


_WORDS = (
    "model", "hardware", "device_memory", "cluster", "devices_per_node", "stack", "stack_version", "workload",
    "weight_precision", "quantized_base",
)  # fmt: skip
"""What a subject hangs on."""
MOST_KEPT = 1024
"""Subjects that are kept; options such as a device's memory have no end of values."""


def subject_of(draft: Draft, catalog: Catalog, model: Model | None) -> Subject:
    """Model, device, cluster and stack; raises every fault of the draft. model: one at hand, not the named one.

    Where the model is an entry of the catalogue, or at hand, all is read once, and plans that share it get the same
    objects.
    """
    options = draft.options
    if not is_lasting(options, catalog, model):
        return _read(draft, catalog, model)
    key = (id(model), *(getattr(options, name) for name in _WORDS if name != "model" or model is None))
    kept: dict[Any, tuple[Subject, list[str], dict[str, Any]]] = catalog.once("subjects", dict)
    if key not in kept:
        if len(kept) >= MOST_KEPT:
            kept.clear()
        first = Draft(draft.request, list(draft.faults))
        subject = _read(first, catalog, model)  # holds the model, so that its `id` stays its own
        now = first.options.quantized_base
        kept[key] = subject, first.assumptions, {} if now == options.quantized_base else {"quantized_base": now}
    subject, assumptions, changes = kept[key]
    draft.check()
    draft.assumptions += assumptions
    if changes:
        draft.request = draft.request.changed(**changes)
    return subject


def is_lasting(options: PlanOptions, catalog: Catalog, model: Model | None) -> bool:
    """Whether the options mean the same model as long as the catalogue is open: an entry of it, or one at hand."""
    return model is not None or (isinstance(options.model, str) and catalog.plain("models", options.model) is not None)


def _read(draft: Draft, catalog: Catalog, model: Model | None) -> Subject:
    model = model or _model(draft, catalog)
    device, stack = _device(draft, catalog), _stack(draft, catalog)
    cluster = None if device is None else _cluster(draft, catalog, device)
    if device is None and (cluster_name := draft.options.cluster) is not None:
        draft.read("cluster", lambda: catalog.cluster(cluster_name))  # its own faults are reported all the same
    if model is None or device is None or cluster is None or stack is None:
        raise InputError(draft.faults)
    draft.check()
    if model.approximate:
        stack = _widened(stack, catalog)
    return Subject(model, device, cluster, stack, _release(draft, stack, catalog))


def _widened(stack: Stack, catalog: Catalog) -> Stack:
    """The stack with the width that is stated for models that were read by likeness."""
    stated = catalog.table("distances", StatedDistances).approximate
    widening = {name: {**stack.widening.get(name, {}), APPROXIMATE: getattr(stated, name)} for name in FAMILIES}
    return replace(stack, widening=widening)


def _model(draft: Draft, catalog: Catalog) -> Model | None:
    given, document = draft.options.model, draft.request.document
    if given is None:
        draft.fault("model is missing: a catalogue id, an id of the Hub, a config.json or a model file (--model)")
        return None
    if isinstance(given, dict):
        return draft.read("model", lambda: _inline_model(given, document))
    beside = None if document is None else Path(document.file).parent / given
    path = str(beside) if beside and "/" in given and not os.path.exists(given) and os.path.exists(beside) else given
    found = draft.read("model", lambda: find_model(path, catalog, download=bool(draft.options.download)))
    if found is None:
        return None
    if found.open_word is not None and draft.options.weight_precision is None:
        serves = draft.options.workload == "serve"
        option = "weight_precision" if serves else "quantized_base"
        if serves or (draft.options.workload == "lora" and draft.options.quantized_base is None):
            draft.fault(f"{found.open_word} in {given!r} is no one precision: say which ({option})", "model")
    if found.note:
        draft.assumptions.append(found.note)
    if found.precision is not None and draft.options.workload != "serve":
        _quantized_base(draft, found.precision)
    return found.model


def _quantized_base(draft: Draft, precision: str) -> None:
    """Training and weights that a model's name says to be quantized: adapters are trained on them as they are."""
    options = draft.options
    if options.workload != "lora":
        draft.assumptions.append(f"weights in the training's precision: {precision} is how the model is stored")
    elif options.quantized_base is None and precision in get_args(QuantizedBase):
        draft.assume("quantized_base", precision, "the model's name says so")
        draft.request = draft.request.changed(quantized_base=precision)


def _inline_model(data: dict[str, Any], document: Document | None) -> Model:
    """A model written into the plan itself, with the keys of a model file."""
    if document is None:
        return lower(model_spec(Document(data, "model")))
    lines = {path[1:]: line for path, line in document.lines.items() if path[:1] == ("model",)}
    return lower(model_spec(Document(data, document.file, lines or dict(document.lines))))


def _device(draft: Draft, catalog: Catalog) -> Device | None:
    name = draft.options.hardware
    if name is None:
        draft.fault("hardware is missing: a device of `llmplan catalog list` (--hardware)")
        return None
    device = draft.read("hardware", lambda: catalog.device(name))
    if device is None:
        return None
    if not device.plannable:
        why = device.why_not_plannable.rstrip(".") or "its catalogue entry says so"
        draft.fault(f"{device.id} cannot be planned on: {why}", "hardware")
        return None
    if (size := draft.options.device_memory) is not None:
        device = replace(device, memory=resized(device.memory, size))
    if device.efficiency.like:
        like = device.efficiency.like
        draft.assumptions.append(f"measured efficiencies of {like} are used where {device.id} has none")
    return device


def _cluster(draft: Draft, catalog: Catalog, device: Device) -> Cluster | None:
    name = draft.options.cluster or device.cluster
    if name is None:
        draft.fault(f"{device.id} has no usual cluster: name one (--cluster)", "cluster", "hardware")
        return None
    cluster = draft.read("cluster" if draft.options.cluster else "hardware", lambda: catalog.cluster(name))
    if cluster is None:
        return None
    if draft.options.cluster is None:
        draft.assume("cluster", cluster.id, f"the usual cluster of {device.id}")
    count = draft.options.devices_per_node
    if count is None or count == cluster.devices_per_node:
        return cluster
    return _one_of(catalog, "nodes", (cluster.id, count), lambda: replace(cluster, devices_per_node=count))


def _stack(draft: Draft, catalog: Catalog) -> Stack | None:
    name = draft.options.stack
    stack = draft.read("stack", lambda: catalog.stack(name or generic_of(draft.options.workload)))
    if stack is None:
        return None
    if name is None:
        draft.assume("stack", stack.id, "none was named; naming one narrows the bands")
    serves = draft.options.workload == "serve"
    if (stack.policy if serves else stack.training) is None:
        verb = "serve" if serves else "train"
        draft.fault(f"stack {stack.id} does not {verb}; it is for {', '.join(stack.workloads)}", "stack")
        return None
    return stack


def _release(draft: Draft, stack: Stack, catalog: Catalog) -> Release:
    """The stack as of the version that was asked for, the same object for all plans that it is taken for."""
    asked = draft.options.stack_version

    def released() -> Release:
        new = stack.at(asked)
        return _one_of(catalog, "releases", (stack.id, new.version, new.rules), lambda: new)

    found = _one_of(catalog, "versions", (stack.id, asked), released)
    if why := found.differs_from(asked):
        numbers = f"{stack.id} {found.version}".strip()
        taken = f"the numbers of {numbers} ({found.date}) are taken, {why}"
        draft.assume("stack_version", found.version or asked, taken)
    return found


def _one_of(catalog: Catalog, kind: str, key: Hashable, make: Callable[[], T]) -> T:
    """What plans with a key in common share: the same object, so that they may be worked out together."""
    kept: dict[Hashable, T] = catalog.once(kind, dict)
    if key not in kept:
        made = make()
        if len(kept) >= MOST_KEPT:
            kept.clear()
        kept[key] = made
    return kept[key]
