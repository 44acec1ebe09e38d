"""Devices with few measured kernels: what there is holds (hardware_catalog/microbenchmarks/other.csv)."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from llmplan.catalog.catalog import open_catalog
from llmplan.machine.kernels import attention_curve, grouped_curve, product_curve, stream_bandwidth
from llmplan.machine.links import all_reduce, links_of
from llmplan.work.products import plain_product

FILE = Path(__file__).parents[2] / "hardware_catalog" / "microbenchmarks" / "other.csv"
DEEPSEEK = [(2112.0, 7168.0), (3072.0, 1536.0), (7168.0, 2048.0), (4608.0, 7168.0), (7168.0, 256.0)]
"""n and k of the products in AMD's set of typical shapes."""


def rows(kind: str, hardware: str, precision: str = "") -> list[dict[str, str]]:
    with FILE.open(newline="", encoding="utf-8") as file:
        found = [row for row in csv.DictReader(file) if row["kind"] == kind and row["hardware"] == hardware]
    return [row for row in found if row["dtype"].lower() == precision or not precision]


def seconds(hardware: str, kind: str, m: float, n: float, k: float) -> float:
    """Of a product whose inputs are narrow already."""
    curve = dataclasses.replace(product_curve(open_catalog().device(hardware), kind, kind), cast_bandwidth=0.0)
    return float(plain_product(n, k, m, curve, "forward"))


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_typical_products_of_mi325x(precision: str) -> None:
    work = sum(2 * m * n * k for m in (32.0, 32768.0) for n, k in DEEPSEEK)
    time = sum(seconds("mi325x", precision, m, n, k) for m in (32.0, 32768.0) for n, k in DEEPSEEK)
    measured = float(rows("gemm_set", "MI325X", precision)[0]["value"])
    assert work / time / 1e12 == pytest.approx(measured, rel=0.03)


@pytest.mark.parametrize(
    ("hardware", "name", "precision", "most"), [("mi300x", "MI300X", "fp8", 0.13), ("mi350x", "MI350X", "bf16", 0.10)]
)
def test_large_products(hardware: str, name: str, precision: str, most: float) -> None:
    found = []
    for row in rows("gemm", name, precision):
        m, n, k = (float(row[side]) for side in "mnk")
        if min(m, n, k) >= 4096 and "AITER" not in row["notes"] and "best" not in row["notes"]:
            found.append(2 * m * n * k / seconds(hardware, precision, m, n, k) / 1e12 / float(row["value"]) - 1)
    assert len(found) >= 3
    assert np.median(np.abs(found)) < most


@pytest.mark.parametrize(("hardware", "name"), [("mi300x", "MI300X"), ("mi325x", "MI325X")])
def test_no_product_passes_the_best_that_was_measured(hardware: str, name: str) -> None:
    for row in rows("gemm", name):
        if "best" in row["notes"] and row["dtype"] != "FP16":
            kind = row["dtype"].lower()
            for one in (kind, "fp8_block") if kind == "fp8" else (kind,):
                device, best = open_catalog().device(hardware), float(row["value"]) * 1e12
                assert product_curve(device, one, one).rate < best
                assert grouped_curve(device, one, one).rate < best


def test_attention_of_mi355x() -> None:
    """Causal, 16 sequences: between Triton and the fastest that was measured on either of the two cards."""
    curve = attention_curve(open_catalog().device("mi355x"))
    for row in rows("attention_fwd:causal", "MI355X"):
        if row["notes"].endswith("ck; FLOPs of the causal half"):
            tokens, heads = float(row["n"]), float(row["k"].partition("h")[0])
            work = (16 * tokens * heads + curve.tail) * (tokens / 2 + curve.ramp)
            reached = curve.rate * 16 * tokens * heads * tokens / 2 / work / 1e12
            assert reached == pytest.approx(float(row["value"]), rel=0.25)


def test_memory_and_links_of_mi300x() -> None:
    device = open_catalog().device("mi300x")
    fastest = max(float(row["value"]) for row in rows("hbm_stream_mul", "MI300X"))
    assert 0.93 * fastest < stream_bandwidth(device) / 1e12 < fastest
    links = links_of(device, open_catalog().cluster("mi300x-node"))
    for row in rows("all_reduce", "MI300X"):
        size = float(row["bytes"])
        if size >= 2**26:
            reached = 1.75 * size / float(all_reduce(links, size, 8.0)) / 1e9
            assert reached == pytest.approx(float(row["value"]), rel=0.10)
