"""Measured kernels and collectives (`hardware_catalog/microbenchmarks/`) as arrays, by device and precision.

The files keep what their sources printed, one measurement a row: `hardware`, `dtype`, sizes in `m`, `n`, `k` or
`bytes`, and a `value` whose unit is in `metric`. What a kernel was given beside its sizes stands in `notes`.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llmplan.catalog.entries import normal

FOLDER = Path("hardware_catalog/microbenchmarks")
PRECISIONS = {"bfloat16": "bf16", "half": "fp16"}
"""Names for a precision that the catalogue has another name for."""
DEVICES = {"b200-180gb": "b200-sxm-180gb"}
"""Names of devices that the catalogue knows under another one."""
MILLISECOND = 1e-3

Arrays = dict[tuple[str, str], "np.ndarray[Any, np.dtype[np.float64]]"]


class ExpertLayer(NamedTuple):
    """One layer of experts on one device: its shape, how tokens were routed, and its time [s].

    tp, ep: over how many devices an expert and the experts are divided; routing: `balanced`, or `power_law_A` where
    the load of experts falls off with that exponent.
    """

    hardware: str
    precision: str
    tokens: float
    hidden: float
    expert_ffn_hidden: float
    experts: float
    experts_per_token: float
    tp: float
    ep: float
    routing: str
    seconds: float


def products(folder: Path = FOLDER) -> Arrays:
    """Matrix products: (hardware, precision) -> rows m, n, k [1] and seconds [s]."""
    found = defaultdict(list)
    for row in _rows(folder / "aiconfigurator_gemm.csv", "gemm"):
        found[row["hardware"], row["dtype"]].append([*(float(row[name]) for name in ("m", "n", "k")), _seconds(row)])
    return {key: np.array(rows).T for key, rows in found.items()}


def attention(kind: str, folder: Path = FOLDER) -> Arrays:
    """Attention of prompts (`context_attention`) or of one new token (`generation_attention`): (hardware, precision of
    the cache) -> batch, tokens of each, heads, cached heads, width of a head [1] and seconds [s]."""
    found = defaultdict(list)
    for row in _rows(folder / "aiconfigurator_attn.csv", kind):
        heads = [float(number) for number in re.findall(r"\d+", row["k"])]
        cached = row["dtype"].partition("/kv ")[2]
        key = row["hardware"], PRECISIONS.get(cached, cached)
        found[key].append([float(row["m"]), float(row["n"]), *heads, _seconds(row)])
    return {key: np.array(rows).T for key, rows in found.items()}


def collectives(folder: Path = FOLDER) -> Arrays:
    """Collectives inside a node: (hardware, "library operation") -> devices [1], bytes [B] and seconds [s].

    Libraries: `nccl`, `nccl:8bit` (elements that no switch adds up), `trtllm`, `vllm` (captured) and `vllm:eager`.
    """
    found = defaultdict(list)
    for row in _rows(folder / "aiconfigurator_comm.csv"):
        library, _, what = row["kind"].partition(":")
        if library == "nccl":
            library = "nccl:8bit" if row["dtype"] == "int8" else library
        elif row["notes"].startswith("TRTLLM"):
            library = "trtllm"
        else:
            library = "vllm" if "vllm_graph" in row["notes"] else "vllm:eager"
        found[row["hardware"], f"{library} {what}"].append([float(row["devices"]), float(row["bytes"]), _seconds(row)])
    return {key: np.array(rows).T for key, rows in found.items()}


def expert_layers(folder: Path = FOLDER) -> list[ExpertLayer]:
    """Layers of experts, without the exchange between devices."""
    found = []
    for row in _rows(folder / "aiconfigurator_moe.csv", "moe_layer"):
        notes = dict(re.findall(r"(\w+)=([^\s;]+)", row["notes"]))
        found.append(ExpertLayer(
            row["hardware"], row["dtype"], float(row["m"]), float(row["k"]), float(row["n"]), float(notes["experts"]),
            float(notes["topk"]), float(notes["moe_tp"]), float(notes["moe_ep"]), notes["dist"], _seconds(row),
        ))  # fmt: skip
    return found


def _rows(path: Path, kind: str = "") -> Iterator[dict[str, str]]:
    """Rows of one kind, all without one; names of devices and precisions as in the catalogue."""
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if not kind or row["kind"] == kind:
                device = normal(row["hardware"])
                yield row | {
                    "hardware": DEVICES.get(device, device),
                    "dtype": PRECISIONS.get(row["dtype"], row["dtype"]),
                }


def _seconds(row: dict[str, str]) -> float:
    assert row["metric"] == "time_ms", row
    return float(row["value"]) * MILLISECOND
