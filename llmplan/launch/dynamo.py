"""A graph of Dynamo on Kubernetes: a front end, and workers of an engine in one pool or two; written and read back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from llmplan.answer.resolve import AnyPlan
from llmplan.catalog.catalog import Catalog
from llmplan.errors import InputError
from llmplan.launch import text
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


def pools_of(data: Any) -> list[Pool]:
    """The workers of a graph, of either version of the resource; none where it is no graph."""
    if not isinstance(data, dict) or data.get("kind") != KIND:
        return []
    spec = data.get("spec")
    spec = spec if isinstance(spec, dict) else {}
    listed = [*(spec.get("components") or ()), *(spec.get("services") or {}).values()]
    return [pool for one in listed if isinstance(one, dict) for pool in _pool(one)]


def _pool(component: dict[str, Any]) -> Iterator[Pool]:
    role = str(component.get("subComponentType") or component.get("type") or component.get("componentType"))
    pod = component.get("podTemplate") or component.get("extraPodSpec") or {}
    containers = pod["spec"].get("containers", ()) if "spec" in pod else [pod.get("mainContainer") or {}]
    for container in containers:
        command = [*map(str, container.get("command") or ()), *map(str, container.get("args") or ())]
        if command and role != "frontend":
            mode = command[command.index("--disaggregation-mode") + 1 :] if "--disaggregation-mode" in command else []
            yield Pool(mode[0] if mode else role, int(component.get("replicas") or 1), command)


def pool_options(layout: dict[str, Any], replicas: int) -> dict[str, Any]:
    """Options of the pool that reads prompts, as those of its engine say."""
    degrees = {name: int(layout.get(name) or 1) for name in PREFILL_DEGREES}
    degrees["dp"] *= replicas
    degrees |= {name: int(layout[name]) for name in (COPIES,) if layout.get(name)}
    devices = degrees["dp"] * degrees["tp"] * int(layout.get("pp") or 1)
    return {"prefill_devices": devices} | {f"prefill_{name}": value for name, value in degrees.items()}
