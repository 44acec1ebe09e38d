"""From what was asked to a plan: look-ups in the catalogue, defaults, and everything that contradicts itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.catalog.load_model import load_model
from llmplan.errors import Fault, InputError
from llmplan.files import Document
from llmplan.machine.hardware import Cluster, Device
from llmplan.model.lowering import lower
from llmplan.model.model import Model
from llmplan.model.spec import model_spec
from llmplan.setup.checks import Problem, layout_problems, remarks
from llmplan.setup.draft import Draft
from llmplan.setup.layout import Layout
from llmplan.setup.options import PlanOptions
from llmplan.setup.plan import Plan
from llmplan.setup.request import Request, request
from llmplan.software.stack import Stack
from llmplan.training.choose import first_that_fits
from llmplan.training.defaults import Open, check_words, count_devices, tell_layout, workload_of

GENERIC = "generic"
"""Id of the stack that serves when none is named."""


def plan_from(
    options: PlanOptions | Mapping[str, Any],
    *,
    catalog: Catalog | None = None,
    model: Model | None = None,
) -> Plan:
    """A plan from options, as `PlanOptions` or as a mapping in its words; raises InputError with every fault.

    model: a model at hand, instead of the one that the options name.

    `plan_from({"model": "llama-3.1-8b", "hardware": "h100", "devices": 8})`
    """
    wanted = Request(options) if isinstance(options, PlanOptions) else request(options)
    return resolve(wanted, catalog, model)


def resolve_all(wanted: Iterable[Request], catalog: Catalog | None = None) -> list[Plan]:
    """Every request as a plan; raises InputError with the faults of all of them."""
    plans: list[Plan] = []
    faults: dict[Fault, None] = {}  # each once, in their order
    for one in wanted:
        try:
            plans.append(resolve(one, catalog))
        except InputError as error:
            faults |= dict.fromkeys(error.faults)
    if faults:
        raise InputError(faults)
    return plans


def resolve(wanted: Request, catalog: Catalog | None = None, model: Model | None = None) -> Plan:
    """One request as a plan: checked, complete, and saying what was assumed."""
    draft = Draft(wanted)
    check_words(draft)
    devices = count_devices(draft)
    if draft.options.workload == "serve":
        return _resolve_serving(draft, catalog or open_catalog(), devices, model)
    base = base_plan(draft, catalog or open_catalog(), model)
    defaults = base.stack.training
    assert defaults is not None  # `base_plan` refuses such stacks
    open_ = Open.of(draft.options, devices, defaults)
    sound, problems = _sound(open_.plans(draft.options, base))
    if not sound:
        for message, names in problems or _nothing_open(draft.options, devices, base.model):
            draft.fault(message, *names)
        draft.check()
    plan, fits = first_that_fits(sound) if len(sound) > 1 else (sound[0], True)
    tell_layout(draft, plan, open_, fits=fits)
    return replace(plan, assumptions=tuple(draft.assumptions), warnings=remarks(plan))


def _resolve_serving(draft: Draft, catalog: Catalog, devices: int, model: Model | None) -> Plan:
    from llmplan.serving.resolve import resolve_serving

    subject = _subject(draft, catalog, model)
    draft.check()
    assert subject is not None  # no fault was found
    return resolve_serving(draft, subject.model, subject.device, subject.cluster, subject.stack, devices)


def base_plan(draft: Draft, catalog: Catalog, model: Model | None = None) -> Plan:
    """All of a plan but its layout, which is left at one device; raises the faults of the draft."""
    subject = _subject(draft, catalog, model)
    draft.check()
    assert subject is not None  # no fault was found
    defaults = subject.stack.training
    assert defaults is not None
    workload = workload_of(draft, subject.model, subject.device, defaults)
    draft.check()
    return Plan(
        model=subject.model, device=subject.device, cluster=subject.cluster, layout=Layout(), workload=workload,
        stack=subject.stack, inputs=draft.request.options.said(),
    )  # fmt: skip


def _sound(plans: Iterable[Plan]) -> tuple[list[Plan], list[Problem]]:
    """The plans that do not contradict themselves; where there is none, the fewest problems that one has."""
    sound: list[Plan] = []
    fewest: list[Problem] = []
    for plan in plans:
        problems = layout_problems(plan.model, plan.layout, plan.workload)
        if not problems:
            sound.append(plan)
        elif not fewest or len(problems) < len(fewest):
            fewest = problems
    return sound, fewest


def _nothing_open(options: PlanOptions, devices: int, model: Model) -> list[Problem]:
    """No degrees exist at all: dp leaves a number of devices that tp and pp cannot make."""
    room = devices // (options.cp or 1) // (options.dp or 1)
    message = f"no tp in powers of two and pp up to the {model.layer_count} layers of {model.name} make {room} devices"
    return [(f"{message}; give tp and pp", ("devices", "dp"))]


@dataclass(frozen=True, slots=True)
class _Subject:
    model: Model
    device: Device
    cluster: Cluster
    stack: Stack


def _subject(draft: Draft, catalog: Catalog, model: Model | None) -> _Subject | None:
    """Model, device, cluster and stack; None where one of them has faults."""
    model = model or _model(draft, catalog)
    device, stack = _device(draft, catalog), _stack(draft, catalog)
    cluster = None if device is None else _cluster(draft, catalog, device)
    if device is None and (said := draft.options.cluster) is not None:
        draft.read("cluster", lambda: catalog.cluster(said))  # its own faults are told all the same
    if model is None or device is None or cluster is None or stack is None:
        return None
    return _Subject(model, device, cluster, stack)


def _model(draft: Draft, catalog: Catalog) -> Model | None:
    said, document = draft.options.model, draft.request.document
    if said is None:
        draft.fault("model is missing: a catalogue id, a config.json or a model file (--model)")
        return None
    if isinstance(said, dict):
        return draft.read("model", lambda: _inline_model(said, document))
    beside = None if document is None else Path(document.file).parent / said
    path = str(beside) if beside and "/" in said and not Path(said).exists() and beside.exists() else said
    return draft.read("model", lambda: load_model(path, catalog))


def _inline_model(data: dict[str, Any], document: Document | None) -> Model:
    """A model written into the plan itself, in the words of a model file."""
    if document is None:
        return lower(model_spec(Document(data, "model")))
    lines = {path[1:]: line for path, line in document.lines.items() if path[:1] == ("model",)}
    return lower(model_spec(Document(data, document.file, lines or dict(document.lines))))


def _device(draft: Draft, catalog: Catalog) -> Device | None:
    said = draft.options.hardware
    if said is None:
        draft.fault("hardware is missing: a device of `llmplan catalog list` (--hardware)")
        return None
    device = draft.read("hardware", lambda: catalog.device(said))
    if device is None:
        return None
    if not device.plannable:
        why = device.why_not_plannable.rstrip(".") or "its catalogue entry says so"
        draft.fault(f"{device.id} cannot be planned on: {why}", "hardware")
        return None
    if device.efficiency.like:
        like = device.efficiency.like
        draft.assumptions.append(f"measured efficiencies of {like} stand in where {device.id} has none")
    return device


def _cluster(draft: Draft, catalog: Catalog, device: Device) -> Cluster | None:
    said = draft.options.cluster or device.cluster
    if said is None:
        draft.fault(f"{device.id} has no usual cluster: name one (--cluster)", "cluster", "hardware")
        return None
    cluster = draft.read("cluster" if draft.options.cluster else "hardware", lambda: catalog.cluster(said))
    if cluster is None:
        return None
    if draft.options.cluster is None:
        draft.assume("cluster", cluster.id, f"what {device.id} usually stands in")
    count = draft.options.devices_per_node
    return cluster if count is None else cluster.model_copy(update={"devices_per_node": count})


def _stack(draft: Draft, catalog: Catalog) -> Stack | None:
    said = draft.options.stack
    stack = draft.read("stack", lambda: catalog.stack(said or GENERIC))
    if stack is None:
        return None
    if said is None:
        draft.assume("stack", stack.id, "none was named")
    if draft.options.workload == "serve":
        if stack.serving is None:
            draft.fault(f"stack {stack.id} does not serve; it is for {', '.join(stack.workloads)}", "stack")
            return None
        return stack
    if stack.training is None:
        draft.fault(f"stack {stack.id} does not train; it is for {', '.join(stack.workloads)}", "stack")
        return None
    asked = draft.options.stack_version
    if asked is None:
        return stack
    if stack.variant(asked) is None and stack.version and asked != stack.version:
        draft.assumptions.append(f"stack_version {asked}: planned with the numbers of {stack.id} {stack.version}")
    return stack.at(asked)
