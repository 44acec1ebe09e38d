"""`--check` with limits: exit code 3, and which limit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Llmplan = Callable[..., Any]
PLAN = """\
model: llama-3.1-8b
hardware: h100-sxm-80gb
devices: 16
seq_len: 4096
global_batch: 64
tokens: 1e11
grid: 57 gCO2e/kWh
price: 2 USD/h
"""
EVERY = "{max_days: 9000, max_cost: 2e9 USD, max_energy: 9 TWh, max_carbon: 1e6 t, max_step: 1 h, max_memory: 80 GiB, "
EVERY += "min_mfu: 0.001, min_goodput: 0.01, min_tokens_per_second: 1}"


@pytest.fixture
def plan(here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    monkeypatch.delenv("LLMPLAN_CATALOG")

    def write(limits: str) -> str:
        (here / "plan.yaml").write_text(PLAN + f"limits: {limits}\n")
        return "plan.yaml"

    return write


def test_a_plan_within_every_limit_passes(llmplan: Llmplan, plan: Callable[[str], str]) -> None:
    run = llmplan("estimate", "--plan", plan(EVERY), "--check", "--json")
    assert (run.code, run.err) == (0, "")
    limits = json.loads(run.out)["result"]["limits"]
    assert len(limits) == 9
    assert all(one["kept"] for one in limits.values())


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("max_days: 1", "limit max_days 1 is not kept"),
        ("max_cost: 5 USD", "limit max_cost 5 USD is not kept"),
        ("max_energy: 1 kWh", "limit max_energy"),
        ("max_carbon: 1 kg", "limit max_carbon"),
        ("max_step: 1 ms", "limit max_step 1 ms is not kept"),
        ("max_memory: 1 GiB", "limit max_memory 1 GiB is not kept"),
        ("min_mfu: 0.99", "limit min_mfu 99.0% is not kept"),
        ("min_goodput: 1", "limit min_goodput"),
        ("min_tokens_per_second: 1e9", "limit min_tokens_per_second"),
    ],
)
def test_each_limit_is_checked(llmplan: Llmplan, plan: Callable[[str], str], limit: str, said: str) -> None:
    run = llmplan("estimate", "--plan", plan(f"{{{limit}}}"), "--check")
    assert run.code == 3
    assert said in run.err
    assert "predicted" in run.err
    name = limit.partition(":")[0]
    answer = json.loads(llmplan("estimate", "--plan", "plan.yaml", "--json").out)["result"]["limits"]
    assert not answer[name]["kept"]


def test_without_check_limits_do_not_change_the_exit_code(llmplan: Llmplan, plan: Callable[[str], str]) -> None:
    assert llmplan("estimate", "--plan", plan("{max_days: 1}")).code == 0


def test_a_figure_that_is_not_known_keeps_no_limit(llmplan: Llmplan, plan: Callable[[str], str]) -> None:
    run = llmplan("estimate", "--plan", plan("{max_cost: 5e9}"), "--hardware", "xeon-8480", "--price", "1", "--check")
    assert run.code == 0
    (Path("plan.yaml")).write_text(PLAN.replace("price: 2 USD/h\n", "") + "limits: {max_cost: 5e9}\n")
    run = llmplan("estimate", "--plan", "plan.yaml", "--hardware", "xeon-8480", "--check")
    assert run.code == 3
    assert "not known" in run.err


def test_a_limit_of_another_workload_is_told_and_breaks_nothing(llmplan: Llmplan, plan: Callable[[str], str]) -> None:
    run = llmplan("estimate", "--plan", plan("{max_ttft: 1 s}"), "--check")
    assert run.code == 0
    assert "max_ttft says nothing about workload pretrain" in run.err


def test_limits_on_the_command_line_replace_those_of_the_file(llmplan: Llmplan, plan: Callable[[str], str]) -> None:
    name = plan("{max_days: 1}")
    assert llmplan("estimate", "--plan", name, "--limits", "max_days=9000, min_mfu=0.01", "--check").code == 0


@pytest.mark.parametrize("limits", ["{max_dys: 1}", "{max_days: -1}", "{max_cost: 5 EUR}", "5", "{min_mfu: 2}"])
def test_limits_that_are_none_are_refused_with_their_line(
    llmplan: Llmplan, plan: Callable[[str], str], limits: str
) -> None:
    run = llmplan("estimate", "--plan", plan(limits), "--check")
    assert run.code == 2
    assert "plan.yaml:9" in run.err


def test_limits_come_back_in_the_inputs(llmplan: Llmplan, plan: Callable[[str], str], here: Path) -> None:
    first = json.loads(llmplan("estimate", "--plan", plan(EVERY), "--json").out)
    (here / "again.json").write_text(json.dumps(first["inputs"]))
    again = json.loads(llmplan("estimate", "--plan", "again.json", "--json").out)
    assert again["result"] == first["result"]
