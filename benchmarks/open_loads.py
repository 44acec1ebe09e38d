"""How far formulas of open loads are from requests that are simulated one by one, by the share of the capacity.

python benchmarks/open_loads.py    (a minute; run from the root of the repository)
"""

from __future__ import annotations

from itertools import product

import numpy as np

from llmplan.serving.iteration import replica
from llmplan.serving.loads import capacity, open_arrivals
from llmplan.serving.memory import serving_memory
from llmplan.serving.simulation import Arriving, simulate
from llmplan.serving.targets import FIGURES
from tests.serving.plans import plan

MODELS = (("llama-3.1-8b", "h100", 1), ("llama-3.1-70b", "h100", 4), ("qwen3-235b-a22b-2507", "h200", 8))
STACKS = ("vllm", "sglang", "tensorrt-llm")
LENGTHS = ((128, 128), (1500, 300), (8000, 1000), (8000, 50), (500, 4000), (2000, 8), (2000, 64), (4000, 200))
LOADS = np.array([0.3, 0.5, 0.7, 0.8, 0.9, 0.925])
FILLED = 2.5  # times the requests in flight by formula, from which on requests are measured


def off(model: str, device: str, devices: int, stack: str, prompt: int, written: int) -> list[np.ndarray]:
    """Of each figure, by load: formula over simulation, less one."""
    words = {"model": model, "hardware": device, "devices": devices, "tp": devices, "stack": stack, "load": "open",
             "batch": None, "request_rate": 1.0, "input_tokens": prompt, "output_tokens": written}  # fmt: skip
    found = plan(**words)
    at, work, policy = replica(found), found.workload, found.engine.policy
    places = max(float(serving_memory(found, policy).resident), 1.0)
    rates = LOADS * capacity(at, work, policy, places)
    answers = [open_arrivals(at, work, policy, rate, places) for rate in rates.tolist()]
    here = np.minimum([FILLED * one.sequences for one in answers], places)
    means = simulate(at, work, policy, Arriving(rates, np.full(len(rates), places), here), at).means()
    return [np.array([getattr(one, name) for one in answers]) / means[name] - 1.0 for name in FIGURES]


if __name__ == "__main__":
    table = np.abs([off(*one, stack, *lengths) for one, stack, lengths in product(MODELS, STACKS, LENGTHS)])
    print(f"{len(table)} deployments; share of the capacity:", *(f"{load:12.3g}" for load in LOADS))
    for place, name in enumerate(FIGURES):
        middle, high = (np.quantile(table[:, place], share, axis=0) * 100.0 for share in (0.5, 0.9))
        print(
            f"{name:8} median (90th percentile)", *(f"{a:5.1f} ({b:.0f}) %" for a, b in zip(middle, high, strict=True))
        )
