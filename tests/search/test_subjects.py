"""Several devices and stacks in one question: the best of all is the best of each, and what misses stands behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.answers import holds

Command = Callable[..., Any]
LOAD = ("--model", "llama-3.1-8b", "--workload", "serve", "--request-rate", "20", "--input-tokens", "2000",
        "--output-tokens", "300", "--max-devices", "8", "--objective", "cost", "--max-ttft", "1s",
        "--max-tpot", "20ms")  # fmt: skip
DEVICES, STACKS = ("h100", "mi300x", "a100"), ("vllm", "tensorrt-llm")


@pytest.fixture
def fit(llmplan: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.delenv("LLMPLAN_CATALOG")

    def run(*words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(llmplan("fit", *words, "--json").out)
        holds("fit", found)
        return found

    return run


def test_the_best_of_several_is_the_best_of_each_alone(fit: Command) -> None:
    found = fit(*LOAD, "--hardware", ",".join(DEVICES), "--stack", ",".join(STACKS))
    alone = {}
    for device in DEVICES:
        for stack in STACKS:
            if (device, stack) != ("mi300x", "tensorrt-llm"):
                one = fit(*LOAD, "--hardware", device, "--stack", stack, "--top", "1")
                best = one["results"][0] if one["results"] else None
                name = (one["results"] or one["nearest_misses"])[0]["inputs"]
                alone[name["hardware"], name["stack"]] = best
    does = [one for one in found["each"] if one["does"]]
    assert {(one["inputs"]["hardware"], one["inputs"]["stack"]) for one in does} == {
        key for key, best in alone.items() if best
    }
    for one in does:
        best = alone[one["inputs"]["hardware"], one["inputs"]["stack"]]
        assert best is not None
        assert one["objective"] == best["objective"]
        assert one["inputs"] == best["inputs"]
        assert one["tpot_seconds"] == best["result"]["latency"]["tpot_seconds"]
    costs = [one["objective"]["usd_per_hour"] for one in does]
    assert costs == sorted(costs)
    assert [one["rank"] for one in does] == list(range(1, len(does) + 1))
    assert found["results"][0]["objective"] == does[0]["objective"]
    assert found["left_out"] == ["mi300x with tensorrt-llm: tensorrt-llm runs on devices of NVIDIA, not of AMD"]


def test_what_misses_a_limit_stands_behind_without_a_rank(fit: Command, llmplan: Command) -> None:
    loose = (*LOAD, "--stack", "vllm", "--objective", "latency", "--top", "1", "--hardware")
    slow, quick = (fit(*loose, name)["results"][0]["result"]["latency"]["tpot_seconds"] for name in ("a100", "h100"))
    between = (slow["value"] + quick["value"]) / 2
    words = (*LOAD[:-1], str(between), "--objective", "latency", "--hardware", "a100,h100", "--stack", "vllm")
    first, last = fit(*words)["each"]
    assert (first["does"], last["does"]) == (True, False)
    assert "rank" not in last
    assert not last["limits"]["max_tpot"]["kept"]
    table = llmplan("fit", *words).out
    assert any(line.startswith("x  a100-sxm-80gb:") for line in table.splitlines())
    assert "misses --max-tpot" in table


def test_a_training_is_fitted_over_devices_too(fit: Command) -> None:
    words = ("--model", "llama-3.1-8b", "--devices", "8,16", "--global-batch", "64", "--seq-len", "4096", "--tokens",
             "1e11", "--objective", "cost")  # fmt: skip
    found = fit(*words, "--hardware", "a100,h100")
    alone = [fit(*words, "--hardware", device)["results"][0]["objective"]["run_usd"] for device in ("a100", "h100")]
    assert found["results"][0]["objective"]["run_usd"] == min(alone)
    assert [one["objective"]["run_usd"] for one in found["each"]] == sorted(alone)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--hardware", "h100,h1000"), "h1000"),
        (("--hardware", "h100", "--stack", "vllm,vlm"), "vlm"),
        (("--hardware", "mi300x,mi325x", "--stack", "tensorrt-llm"), "mi325x: tensorrt-llm runs on devices of NVIDIA"),
    ],
)
def test_a_wrong_name_or_nothing_that_runs_is_a_fault(llmplan: Command, words: tuple[str, ...], said: str) -> None:
    run = llmplan("fit", *LOAD, *words)
    assert (run.code, run.out) == (2, "")
    assert said in run.err


def test_a_plan_file_may_list_devices(llmplan: Command, here: Any) -> None:
    text = "model: small.yaml\nhardware: [h100, a100]\ndevices: 8\nglobal_batch: 64\n"
    (here / "plan.yaml").write_text(text)
    run = llmplan("fit", "--plan", "plan.yaml", "--json")
    assert {one["inputs"]["hardware"] for one in json.loads(run.out)["each"]} == {"h100-sxm-80gb", "a100-sxm-80gb"}
    one = llmplan("fit", "--plan", "plan.yaml", "--hardware", "a100", "--json")
    assert "each" not in json.loads(one.out)
