"""A graph of Dynamo on Kubernetes: a front end, and workers of an engine in one pool or two; written and read back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from llmplan.answer.resolve import AnyPlan
from llmplan.catalog.catalog import Catalog
from llmplan.documents import Document, Path_
from llmplan.errors import Fault, InputError
from llmplan.launch import text
from llmplan.launch.quantities import whole
from llmplan.launch.target import GraphEngine, Target, frames
from llmplan.launch.write import Launch, launch
from llmplan.serving.plan import COPIES, PREFILL_DEGREES, ServingPlan
from llmplan.setup.layout import Layout

DYNAMO, KIND = "dynamo", "DynamoGraphDeployment"
NAME = "llmplan"
PREFILL, DECODE, WORKER = "prefill", "decode", "worker"
MAIN = "main"
"""The container that the operator looks for."""


def graph(plan: AnyPlan, target: Target, catalog: Catalog) -> tuple[dict[str, Any], Launch]:
    """The resource, with the command that starts a worker; rest: options that the graph does not express."""
    frame = frames()[DYNAMO]
    engine = frame.engines.get(target.id)
    if engine is None or not isinstance(plan, ServingPlan):
        raise InputError(f"--launcher {DYNAMO} starts {', '.join(frame.engines)}, and this is {target.name}")
    resource = frame.resources.get(plan.device.vendor)
    if resource is None:
        raise InputError(f"--launcher {DYNAMO}: no resource is known for devices of {plan.device.vendor}")
    pools = {WORKER: plan.layout} if plan.prefill is None else {DECODE: plan.layout, PREFILL: plan.prefill}
    workers = {role: _worker(plan, layout, target, engine, role, catalog) for role, layout in pools.items()}
    first = next(iter(workers.values()))[1]
    components = [_component("Frontend", "frontend", 1, 1, {"name": MAIN, "image": engine.image})]
    components += [
        _component(role, role, replicas, started.nodes, _container(started, engine, resource))
        for role, (replicas, started) in workers.items()
    ]
    found = {
        "apiVersion": "nvidia.com/v1beta1", "kind": KIND, "metadata": {"name": NAME},
        "spec": {"components": components},
    }  # fmt: skip
    written = {"dp", "devices"} | {name for name in plan.as_options() if name.startswith("prefill_")}
    return found, replace(
        first, rest={name: value for name, value in _rest(plan, first).items() if name not in written}
    )


def _worker(
    plan: ServingPlan, layout: Layout, target: Target, engine: GraphEngine, role: str, catalog: Catalog
) -> tuple[int, Launch]:
    """The number of replicas and the command of one: replicas that share experts are one engine."""
    replicas = layout.dp if layout.ep <= layout.tp else 1
    own = replace(layout, dp=layout.dp // replicas)
    settings = tuple(
        replace(one, key=engine.model, also=()) if one.word == "checkpoint" else one for one in target.settings
    )
    in_graph = replace(
        target, settings=settings, program=engine.program, positional="", over_nodes=(), own_frame=True,
        file_option=engine.file_option,
    )  # fmt: skip
    started = launch(replace(plan, layout=own, prefill=None), in_graph, catalog)
    files = {
        name: body + text.file_text(engine.in_file[role].items(), name) if role in engine.in_file else body
        for name, body in started.files.items()
    }
    words = (*started.words, *engine.pools.get(role, ()))
    return replicas, replace(started, target=target, words=words, files=files)


def _rest(plan: ServingPlan, started: Launch) -> dict[str, Any]:
    """Options of the whole plan in place of those of one replica."""
    options = plan.as_options()
    return {name: options[name] for name in started.rest if name in options}


def _container(started: Launch, engine: GraphEngine, resource: str) -> dict[str, Any]:
    words = [*started.words]
    if started.files:
        own = Launch(started.target, started.words, started.files, {}).script
        words = ["/bin/bash", "-c", own.partition("\n")[2]]
    return {
        "name": MAIN, "image": engine.image, "command": words,
        "resources": {"limits": {resource: str(started.node_devices)}},
    }  # fmt: skip


def _component(name: str, kind: str, replicas: int, nodes: int, container: dict[str, Any]) -> dict[str, Any]:
    several = {"multinode": {"nodeCount": nodes}} if nodes > 1 else {}
    pod = {"spec": {"containers": [container]}}
    return {"name": name, "type": kind, "replicas": replicas, **several, "podTemplate": pod}


@dataclass(frozen=True, slots=True)
class Pool:
    """Workers of a graph: their role, their number of replicas, and the command of one."""

    role: str
    replicas: int
    command: list[str]


def pools_of(document: Document) -> list[Pool]:
    """The workers of a graph, of either version of the resource; none where it is no graph."""
    data = _mapping(document.data)
    if data.get("kind") != KIND:
        return []
    spec = _mapping(data.get("spec"))
    listed: list[tuple[Path_, Any]] = [
        *((("spec", "components", index), one) for index, one in enumerate(_list(spec.get("components")))),
        *((("spec", "services", name), one) for name, one in _mapping(spec.get("services")).items()),
    ]
    return [pool for path, one in listed for pool in _pool(_mapping(one), document, path)]


def _pool(component: dict[str, Any], document: Document, path: Path_) -> Iterator[Pool]:
    role = str(component.get("subComponentType") or component.get("type") or component.get("componentType"))
    pod = _mapping(component.get("podTemplate") or component.get("extraPodSpec"))
    containers = _list(_mapping(pod["spec"]).get("containers")) if "spec" in pod else [pod.get("mainContainer")]
    for container in containers:
        command = words_of_container(_mapping(container))
        if command and role != "frontend":
            mode = command[command.index("--disaggregation-mode") + 1 :] if "--disaggregation-mode" in command else []
            replicas = whole(component, "replicas")
            if replicas is None:
                line = document.line((*path, "replicas"))
                raise InputError(Fault("replicas must be a whole number above 0", document.file, line))
            yield Pool(mode[0] if mode else role, replicas, command)


def words_of_container(container: dict[str, Any]) -> list[str]:
    """The command of a container of Kubernetes with its arguments; empty where it has none."""
    return [str(word) for key in ("command", "args") for word in _list(container.get(key))]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def pool_options(layout: dict[str, Any], replicas: int, file: str) -> dict[str, Any]:
    """Options of the pool that reads prompts, as those of its engine say."""
    names = [*PREFILL_DEGREES, "pp", *(name for name in (COPIES,) if layout.get(name))]
    degrees: dict[str, int] = {}
    for name in names:
        degree = whole(layout, name)
        if degree is None:
            raise InputError(Fault(f"{name} of the pool that reads prompts must be a whole number above 0", file))
        degrees[name] = degree
    degrees["dp"] *= replicas
    devices = degrees["dp"] * degrees["tp"] * degrees.pop("pp")
    return {"prefill_devices": devices} | {f"prefill_{name}": value for name, value in degrees.items()}
