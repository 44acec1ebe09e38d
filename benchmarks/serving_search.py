"""How many deployments a second are searched: `python benchmarks/serving_search.py`.

One deployment is one layout of a served model under one load. Prints the rate of the whole search, of the arrays
alone (every place taken: a closed loop; at a rate: open), and the ratio to one `estimate_serving` after another.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from llmplan.catalog.catalog import open_catalog
from llmplan.search.deployments import Deployments, chunks
from llmplan.search.request import Ask, Wishes
from llmplan.search.serving import search_serving
from llmplan.search.serving_goal import ServingSearch
from llmplan.search.serving_request import serving_question
from llmplan.search.serving_space import CHUNK, DeploymentSpace
from llmplan.serving.estimate import estimate_serving
from llmplan.setup.request import request

LENGTHS = {"workload": "serve", "input_tokens": 1500, "output_tokens": 300}
CLOSED = {"max_tpot": 0.05}
OPEN = {"request_rate": 200.0, "max_ttft": 1.0, "max_tpot": 0.05}
# name, model, hardware, stack, load and targets, most devices
SEARCHES: list[tuple[str, str, str, str, dict[str, float], int]] = [
    ("dense, closed", "llama-3.1-70b", "h100", "vllm", CLOSED, 256),
    ("experts, closed", "deepseek-r1", "h200", "sglang", CLOSED, 256),
    ("experts, large", "deepseek-r1", "gb200", "tensorrt-llm", CLOSED, 1024),
    ("dense, open", "llama-3.1-70b", "h100", "vllm", OPEN, 1024),
    ("experts, open", "deepseek-r1", "h200", "sglang", OPEN, 1024),
]
ALONE = 20


def asked(model: str, hardware: str, stack: str, load: dict[str, float], most: int) -> ServingSearch:
    words: dict[str, Any] = {"model": model, "hardware": hardware, "stack": stack, **LENGTHS, **load}
    wishes = Wishes(max_devices=most, objective="throughput", top=1)
    return serving_question(Ask(request(words), {}, wishes), open_catalog())[0]


def arrays_and_alone(question: ServingSearch) -> tuple[float, float]:
    """Deployments a second in one chunk of arrays, and one by one."""
    base = question.bases[0]
    space = DeploymentSpace(base, question.devices, question.most, question.choices)
    rows = np.concatenate([many.rows for many in chunks(space)])
    rows = rows[np.linspace(0, len(rows) - 1, CHUNK).astype(int)]
    Deployments(base, rows).answer  # noqa: B018, a warm start
    start = time.perf_counter()
    many = Deployments(base, rows)
    many.answer, many.capacity  # noqa: B018
    arrays = len(rows) / (time.perf_counter() - start)
    start = time.perf_counter()
    for index in np.linspace(0, len(rows) - 1, ALONE).astype(int):
        plan, layout = many.make(int(index))
        estimate_serving(plan.with_layout(layout))
    return arrays, ALONE / (time.perf_counter() - start)


def main() -> None:
    heads = ("considered", "legal", "search s", "search/s", "arrays/s", "ratio")
    print(f"{'search':18}" + "".join(f"{head:>12}" for head in heads))
    for name, *words in SEARCHES:
        question = asked(*words)
        arrays, alone = arrays_and_alone(question)
        start = time.perf_counter()
        counts = search_serving(question).counts
        seconds = time.perf_counter() - start
        print(
            f"{name:18}{counts.considered:12}{counts.legal:12}{seconds:12.3f}{counts.legal / seconds:12.3g}"
            f"{arrays:12.3g}{arrays / alone:12.0f}"
        )


if __name__ == "__main__":
    main()
