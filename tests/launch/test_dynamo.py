"""Graphs of Dynamo: one pool, two pools, several nodes a replica; those that its examples publish."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from llmplan.answer.resolve import AnyPlan, resolve
from llmplan.catalog.catalog import open_catalog
from llmplan.errors import InputError
from llmplan.launch.frame import framed
from llmplan.launch.read import read_launch
from llmplan.launch.target import target
from llmplan.setup.request import request, requests

BASE = {"model": "llama-3.1-70b", "hardware": "h100", "workload": "serve", "tp": 8}
PLANS = {
    "one pool": {"devices": 8},
    "replicas": {"devices": 24},
    "two nodes a replica": {"devices": 16, "tp": 16},
    "two pools": {"devices": 24, "prefill_devices": 8, "prefill_tp": 4},
    "experts over replicas": {"model": "deepseek-v3", "hardware": "h200", "devices": 16, "tp": 1, "dp": 16, "ep": 16},
    "copies of experts in both pools": {
        "model": "deepseek-v3", "hardware": "h200", "devices": 32, "tp": 1, "dp": 24, "ep": 24, "redundant_experts": 8,
        "prefill_devices": 8, "prefill_dp": 8, "prefill_ep": 8, "prefill_redundant_experts": 16,
    },
}  # fmt: skip


def planned(words: dict[str, Any]) -> AnyPlan:
    return resolve(request(words), open_catalog())


def components(resource: str) -> dict[str, dict[str, Any]]:
    found = yaml.safe_load(resource)
    assert (found["apiVersion"], found["kind"]) == ("nvidia.com/v1beta1", "DynamoGraphDeployment")
    return {one["name"]: one for one in found["spec"]["components"]}


def back(engine: str, text: str) -> AnyPlan:
    read = read_launch(target(engine), ["-"], {}, text)
    assert read.unread == ()
    (wanted,) = requests([read.document], {})
    return resolve(wanted, open_catalog())


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm"])
@pytest.mark.parametrize("name", PLANS)
def test_a_graph_is_the_plan_that_made_it(engine: str, name: str) -> None:
    plan = planned({**BASE, **PLANS[name], "stack": engine})
    text = framed(plan, target(engine), open_catalog(), "dynamo").text
    again = back(engine, text)
    assert {**again.as_options(), "model": 0} == {**plan.as_options(), "model": 0}
    assert again.model.parameters == plan.model.parameters
    assert "null" not in text


def test_devices_of_a_graph_are_those_of_the_plan() -> None:
    for words in PLANS.values():
        plan = planned({**BASE, **words, "stack": "vllm"})
        devices = 0
        for one in components(framed(plan, target("vllm"), open_catalog(), "dynamo").text).values():
            (container,) = one["podTemplate"]["spec"]["containers"]
            each = int(container.get("resources", {"limits": {"nvidia.com/gpu": 0}})["limits"]["nvidia.com/gpu"])
            devices += one["replicas"] * one.get("multinode", {"nodeCount": 1})["nodeCount"] * each
        assert devices == plan.devices


def test_pools_are_told_apart() -> None:
    plan = planned({**BASE, **PLANS["two pools"], "stack": "sglang"})
    found = components(framed(plan, target("sglang"), open_catalog(), "dynamo").text)
    assert {name: (one["type"], one["replicas"]) for name, one in found.items()} == {
        "Frontend": ("frontend", 1), "decode": ("decode", 2), "prefill": ("prefill", 2),
    }  # fmt: skip


PUBLISHED = """
apiVersion: nvidia.com/v1alpha1
kind: DynamoGraphDeployment
spec:
  services:
    Frontend: {componentType: frontend, replicas: 1, extraPodSpec: {mainContainer: {image: i}}}
    VllmDecodeWorker:
      componentType: worker
      replicas: 3
      extraPodSpec:
        mainContainer:
          command: [python3, -m, dynamo.vllm]
          args: [--model, Qwen/Qwen3-32B, --tensor-parallel-size, "2", --disaggregation-mode, decode]
    VllmPrefillWorker:
      componentType: worker
      subComponentType: prefill
      replicas: 1
      extraPodSpec:
        mainContainer:
          command: [python3, -m, dynamo.vllm]
          args: [--model, Qwen/Qwen3-32B, --tensor-parallel-size, "4", --disaggregation-mode, prefill]
"""
"""The form of docs/kubernetes (rolling updates of a disaggregated deployment) of github.com/ai-dynamo/dynamo."""


def test_the_older_version_of_the_resource_is_read() -> None:
    read = read_launch(target("vllm"), ["-"], {"hardware": "h100"}, PUBLISHED)
    (wanted,) = requests([read.document], {"hardware": "h100"})
    words = resolve(wanted, open_catalog()).as_options()
    assert {name: words[name] for name in ("devices", "tp", "dp", "prefill_devices", "prefill_tp", "prefill_dp")} == {
        "devices": 10, "tp": 2, "dp": 3, "prefill_devices": 4, "prefill_tp": 4, "prefill_dp": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "broken",
    [
        "components: 5", "services: [1]", "components: [{podTemplate: x}]", "components: [{podTemplate: {spec: x}}]",
        "components: [{podTemplate: {spec: {containers: }}}]",
        "components: [{podTemplate: {spec: {containers: [[a]]}}}]",
        "components: [{podTemplate: {spec: {containers: [{command: 5}]}}}]",
    ],
)  # fmt: skip
def test_what_is_no_graph_starts_nothing(broken: str) -> None:
    read = read_launch(target("vllm"), ["-"], {}, f"kind: DynamoGraphDeployment\nspec:\n  {broken}\n")
    assert "model" not in read.document.data


@pytest.mark.parametrize(
    ("replicas", "tp", "said"),
    [("x", "4", "standard input:4: replicas must be a whole number"), ("1", "x", "input: tp of the pool that reads")],
)
def test_numbers_of_a_graph_are_named(replicas: str, tp: str, said: str) -> None:
    command = f"[vllm, serve, m, --disaggregation-mode, prefill, --tensor-parallel-size, '{tp}']"
    text = f"""kind: DynamoGraphDeployment
spec:
  components:
  - {{type: worker, replicas: {replicas}, podTemplate: {{spec: {{containers: [{{command: {command}}}]}}}}}}
"""
    with pytest.raises(InputError, match=said):
        read_launch(target("vllm"), ["-"], {}, text)


def test_what_is_no_worker_of_a_graph_is_refused() -> None:
    plan = planned({**BASE, "devices": 8, "stack": "vllm"})
    with pytest.raises(InputError, match=r"dynamo starts vllm, sglang, tensorrt-llm, and this is llama\.cpp"):
        framed(plan, target("llama.cpp"), open_catalog(), "dynamo")
