"""Kernels that serving rests on, against measurements; the fit finds numbers that made its rows."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llmplan.answer.rows import read_rows
from llmplan.answer.validate import Result, score, validate
from llmplan.calibrate.meanings import meanings
from llmplan.calibrate.microbenchmarks import ExpertLayer, all_reduces, decode_attention, expert_layers
from llmplan.calibrate.serving import MEASUREMENTS, fit, predict, read_runs
from llmplan.calibrate.serving_accuracy import DOCUMENT, LEFT_OUT, document, left_out
from llmplan.calibrate.serving_kernels import reduces_of, small_reduce_latency
from llmplan.calibrate.serving_stacks import fit_stacks
from llmplan.calibrate.serving_stacks import left_out as fit_left_out
from llmplan.catalog import catalog
from llmplan.formulas.decode import decode_attention_seconds, touched_experts, weighted_traffic
from llmplan.formulas.matmul import matmul_seconds
from llmplan.machine import rates
from llmplan.serving.step import DECODE_ATTENTION_SHARE, GROUPED_SHARE

pytest.importorskip("scipy")
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "hardware_catalog" / "microbenchmarks"


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return validate(read_rows(ROOT / MEASUREMENTS), catalog.open_catalog())


@pytest.mark.parametrize("hardware", ["a100-sxm-80gb", "h100-sxm-80gb", "h200-sxm-141gb", "b200-sxm-180gb"])
def test_decode_attention_is_as_measured(hardware: str) -> None:
    batch, context, heads, kv_heads, dim, seconds = decode_attention(FOLDER)[hardware, "bf16"]
    device = catalog.device(hardware)
    fraction, latency = device.efficiency.decode_attention_fraction, device.efficiency.decode_attention_latency
    assert fraction is not None
    assert latency is not None
    found = decode_attention_seconds(
        batch * context * 2 * kv_heads * dim * 2, 4 * batch * context * heads * dim,
        bandwidth=device.memory.bandwidth * fraction, rate=rates.attention_rate(device) * DECODE_ATTENTION_SHARE,
        latency=latency,
    )  # fmt: skip
    assert np.median(np.abs(found / seconds - 1)) < 0.13


@pytest.mark.parametrize("hardware", ["a100-sxm-80gb", "h100-sxm-80gb", "h200-sxm-141gb", "b200-sxm-180gb", "gb200"])
def test_small_all_reduces_are_as_measured(hardware: str) -> None:
    assert small_reduce_latency(hardware, reduces_of(all_reduces(FOLDER), hardware)) == pytest.approx(
        catalog.device(hardware).efficiency.small_reduce_latency, rel=0.03
    )


def test_layers_of_experts_are_as_measured() -> None:
    """Grouped products on one device, tokens spread evenly, without the kernels around them: half within a quarter."""
    measured = [
        layer for layer in expert_layers(FOLDER)
        if layer.routing == "balanced" and layer.ep == 1 and layer.precision in ("bf16", "fp8")
    ]  # fmt: skip
    ratios = np.array([_layer_of_experts(layer) / layer.seconds for layer in measured])
    assert len(ratios) > 500
    assert 0.8 < np.median(ratios) < 1.1
    assert np.mean(np.abs(ratios - 1) < 0.25) > 0.5


def _layer_of_experts(layer: ExpertLayer) -> float:
    rate = rates.matmul_rate(catalog.device(layer.hardware), layer.precision)
    rows = layer.tokens * layer.experts_per_token
    groups = float(touched_experts(layer.experts, layer.experts_per_token, layer.tokens))
    padded = rows + groups * min(64.0, 8.0 + rows / groups / 2)
    width, hidden, total = layer.expert_ffn_hidden, layer.hidden, 0.0
    for n, k in ((2 * width / layer.tp, hidden), (hidden, width / layer.tp)):
        traffic = weighted_traffic(rows, n, k, rate.element, rate.element, groups)
        total += float(matmul_seconds(
            padded, n, k, rate=rate.rate * GROUPED_SHARE, ramp_k=rate.ramp_k, tail=rate.tail, traffic=traffic,
            bandwidth=rate.bandwidth, launch=rate.launch,
        ))  # fmt: skip
    return total


def test_the_fit_finds_the_numbers_that_made_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    runs = [run for run in read_runs(MEASUREMENTS) if run.stack == "gpt-fast"]
    made = {"compute_efficiency": 0.9, "memory_efficiency": 0.8, "step_seconds": 1e-3, "communication_factor": 2.0}
    priors = {"compute_efficiency": 0.9, "memory_efficiency": 0.95, "step_seconds": 1e-3, "communication_factor": 1.2}
    exact = [
        replace(run, measured={"output_tokens_per_second": predict(run, made)["output_tokens_per_second"]})
        for run in runs
    ]
    found = fit(exact, priors, meanings("serving"))
    assert found["memory_efficiency"] == pytest.approx(0.8, rel=0.05)
    for run in exact:
        rate = predict(run, found)["output_tokens_per_second"]
        assert rate == pytest.approx(run.measured["output_tokens_per_second"], rel=0.03)


def test_what_is_left_out_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is all wrong moves its own model's fit, and not the one that predicts it."""
    monkeypatch.chdir(ROOT)
    runs = [run for run in read_runs(MEASUREMENTS) if run.stack == "gpt-fast"]
    wrong = [
        replace(run, measured={name: 100.0 * value for name, value in run.measured.items()})
        if run.model == "llama-2-7b"
        else run
        for run in runs
    ]
    start = fit_stacks(runs, meanings("serving"))
    right = fit_left_out(runs, lambda run: run.model, meanings("serving"), start)
    other = fit_left_out(wrong, lambda run: run.model, meanings("serving"), start)
    for run in runs:
        if run.model == "llama-2-7b":
            for name, ratio in right[run.id].items():
                assert other[run.id][name] == pytest.approx(ratio - np.log(100.0), abs=1e-6)


TARGETS = {  # of rows that the numbers were fitted on: median, 90th percentile; left out: median, inside the band
    "tpot_seconds": (0.09, 0.30, 0.175, 0.55),
    "ttft_seconds": (0.09, 0.25, 0.135, 0.75),
    "output_tokens_per_second": (0.09, 0.40, 0.135, 0.75),
    "request_seconds": (0.08, 0.25, 0.12, 0.75),
}


def fitted_rows(results: list[Result]) -> list[Result]:
    """Results of the rows that the numbers were fitted on; the second edition holds more."""
    with (ROOT / LEFT_OUT).open(newline="", encoding="utf-8") as file:
        names = {row["id"] for row in csv.DictReader(file)}
    return [result for result in results if result.row.id in names]


@pytest.mark.parametrize("quantity", TARGETS)
def test_errors_on_the_record(quantity: str, results: list[Result]) -> None:
    found = score(fitted_rows(results), quantity)
    median, p90, *_ = TARGETS[quantity]
    assert found is not None
    assert found.median <= median
    assert found.p90 <= p90


@pytest.mark.parametrize("quantity", TARGETS)
def test_errors_on_models_that_were_left_out(
    quantity: str, results: list[Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    found = score(left_out(fitted_rows(results)), quantity)
    *_, median, inside = TARGETS[quantity]
    assert found is not None
    assert found.median <= median
    assert inside <= found.inside <= 0.90


def test_every_row_is_planned(results: list[Result]) -> None:
    assert not [result.skipped for result in results if result.skipped]
    assert len(results) > 1700


def test_the_accuracy_document_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert Path(DOCUMENT).read_text(encoding="utf-8") == document()
