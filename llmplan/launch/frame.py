"""The script that starts a plan in a shell or under Slurm, or the resources that start it on Kubernetes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmplan.answer.resolve import AnyPlan
from llmplan.catalog.catalog import Catalog
from llmplan.documents import to_yaml
from llmplan.errors import Fault, InputError
from llmplan.files import write_text
from llmplan.launch.dynamo import DYNAMO, graph
from llmplan.launch.target import Target, frames
from llmplan.launch.write import Launch, launch
from llmplan.records import dataclass
from llmplan.serving.plan import ServingPlan

KUBERNETES = "kubernetes"
NAME = "llmplan"
"""Of the resources."""


@dataclass(frozen=True, slots=True)
class Framed:
    """The text that is printed, and the same content as files."""

    text: str
    files: dict[str, str]
    notes: tuple[str, ...]

    def save(self, folder: Path) -> None:
        """Writes the files; an InputError where that cannot be."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(Fault(f"cannot be made: {error.strerror}", str(folder))) from None
        for name, body in self.files.items():
            write_text(folder / name, body)


def framed(plan: AnyPlan, target: Target, catalog: Catalog, launcher: str | None) -> Framed:
    """What starts the plan with a launcher, or with the target's own."""
    if launcher is not None and launcher not in frames():
        raise InputError(f"--launcher: {launcher[:40]!r} is none of {', '.join(frames())}")
    if launcher == DYNAMO:
        resource, worker = graph(plan, target, catalog)
        text = worker.head + to_yaml(resource)
        return Framed(text, {f"{NAME}.yaml": text}, worker.notes)
    if launcher == KUBERNETES:
        started = launch(plan, target, catalog, None)
        return _kubernetes(plan, started)
    started = launch(plan, target, catalog, launcher)
    command = started.script.removeprefix(started.head).rpartition("END\n")[2] if started.files else ""
    files = {**started.files, "start.sh": started.head + command} if started.files else {"start.sh": started.script}
    return Framed(started.script, files, started.notes)


def _kubernetes(plan: AnyPlan, started: Launch) -> Framed:
    resource = frames()[KUBERNETES].resources.get(plan.device.vendor)
    if resource is None:
        raise InputError(f"--launcher kubernetes: no resource is known for devices of {plan.device.vendor}")
    serving = isinstance(plan, ServingPlan)
    container = _container(started, resource, serving=serving)
    if started.nodes == 1:
        resources = [_deployment(container) if serving else _job(container, 1)]
    else:
        resources = [_group(container, started.nodes)] if serving else [_job(container, started.nodes), _service()]
    notes = started.notes if started.target.image else (*started.notes, "put your image in the place of IMAGE")
    text = started.head + "---\n".join(to_yaml(one) for one in resources)
    return Framed(text, {f"{NAME}.yaml": text}, notes)


def _container(started: Launch, resource: str, *, serving: bool) -> dict[str, Any]:
    """The container of one node; it runs a shell if files are written or variables of the node are read."""
    words = [*started.words]
    if started.files or started.nodes > 1:
        own = Launch(started.target, started.words, started.files, {}).script
        words = ["/bin/bash", "-c", own.partition("\n")[2]]
    found: dict[str, Any] = {
        "name": NAME, "image": started.target.image or "IMAGE", "command": words,
        "resources": {"limits": {resource: started.node_devices}},
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
    }  # fmt: skip
    if started.nodes > 1:
        found["env"] = _group_env() if serving else _job_env()
    return found


def _job_env() -> list[dict[str, Any]]:
    index = {"fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}
    return [{"name": "HEAD_NODE", "value": f"{NAME}-0.{NAME}"}, {"name": "NODE_RANK", "valueFrom": index}]


def _group_env() -> list[dict[str, Any]]:
    index = {"fieldRef": {"fieldPath": "metadata.labels['leaderworkerset.sigs.k8s.io/worker-index']"}}
    return [{"name": "HEAD_NODE", "value": "$(LWS_LEADER_ADDRESS)"}, {"name": "NODE_RANK", "valueFrom": index}]


def _pod(container: dict[str, Any], **more: Any) -> dict[str, Any]:
    shared = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
    return {"metadata": {"labels": {"app": NAME}}, "spec": {**more, "containers": [container], "volumes": shared}}


def _job(container: dict[str, Any], nodes: int) -> dict[str, Any]:
    more: dict[str, Any] = {"restartPolicy": "Never"} | ({"subdomain": NAME} if nodes > 1 else {})
    spec: dict[str, Any] = (
        {"completions": nodes, "parallelism": nodes, "completionMode": "Indexed"} if nodes > 1 else {}
    )
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": NAME},
            "spec": {**spec, "template": _pod(container, **more)}}  # fmt: skip


def _service() -> dict[str, Any]:
    """A name for each pod of the job."""
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME},
            "spec": {"clusterIP": "None", "selector": {"app": NAME}}}  # fmt: skip


def _deployment(container: dict[str, Any]) -> dict[str, Any]:
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": NAME}}, "template": _pod(container)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME}, "spec": spec}


def _group(container: dict[str, Any], nodes: int) -> dict[str, Any]:
    """Pods that serve together."""
    spec = {"replicas": 1, "leaderWorkerTemplate": {"size": nodes, "workerTemplate": _pod(container)}}
    kind = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet"}
    return kind | {"metadata": {"name": NAME}, "spec": spec}
