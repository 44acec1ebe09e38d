"""How many training layouts a second are estimated whole: `python benchmarks/search.py`.

One layout is one evaluation of memory with all its parts, step time with all its parts, and verdict. Prints the
rate of the arrays alone and of the whole search, the ratio to one `estimate` after another, and the peak of the
process's memory. Everything runs on one core: numpy's elementwise operations use no threads.
"""

from __future__ import annotations

import argparse
import resource
import time
from itertools import islice

import numpy as np

from llmplan.catalog.catalog import open_catalog
from llmplan.search.ask import Ask, Wishes
from llmplan.search.request import question
from llmplan.search.scores import evaluate
from llmplan.search.space import Space
from llmplan.search.training import Search, search
from llmplan.setup.request import request
from llmplan.training.memory import training_memory
from llmplan.training.step import training_time

# name, model, hardware, devices, sequence, global batch, further choices; from a thousand layouts to ten million
SPACES = [
    ("small", "llama-3.1-8b", "h100", 16, 8192, 64, {}),
    ("dense 175B", "gpt3-175b", "a100-sxm-80gb", 1024, 2048, 1536, {"recompute": "none,selective,full"}),
    ("dense 405B", "llama-3.1-405b", "h100", 16384, 8192, 2048, {"recompute": "none,selective,full"}),
    ("experts 671B", "deepseek-v3-671b", "h100", 2048, 4096, 15360, {"recompute": "none,selective,full"}),
    ("large", "deepseek-v3-671b", "h100", 6144, 8192, 18432, {"recompute": "none,selective,full"}),
    (
        "ten million",
        "deepseek-v3-671b",
        "h100",
        46080,
        32768,
        184320,
        {"recompute": "none,selective,full", "offload": "yes", "precision": "bf16,fp8"},
    ),
]
ALONE = 200
MEBI = 2**20


def asked(model: str, hardware: str, devices: int, seq_len: int, batch: int, choices: dict[str, str]) -> Search:
    words = {"model": model, "hardware": hardware, "workload": "pretrain", "seq_len": seq_len, "global_batch": batch}
    given = {"devices": str(devices), **choices}
    wishes = Wishes(top=10, try_offload=given.pop("offload", None) is not None)
    return question(Ask(request(words), given, wishes), open_catalog())[0]


def one_by_one(wanted: Search) -> float:
    """Layouts a second through the same formulas with plain numbers."""
    base, devices = wanted.bases[0], wanted.devices[0]
    layouts = next(Space(base, devices, wanted.choices).chunks())
    picked = [layouts.at(int(i)) for i in np.linspace(0, np.prod(layouts.shape) - 1, ALONE)]
    start = time.perf_counter()
    for layout in picked:
        plan = base.with_layout(layout)
        _ = training_memory(plan).peak_bytes, training_time(plan).step_seconds
    return len(picked) / (time.perf_counter() - start)


def arrays_alone(wanted: Search) -> float:
    """Layouts a second of the evaluation itself, on chunks that are at hand."""
    base, devices = wanted.bases[0], wanted.devices[0]
    chunks = list(islice(Space(base, devices, wanted.choices).chunks(), 40))
    evaluate(base, chunks[0])
    start = time.perf_counter()
    count = sum(evaluate(base, layouts).step.size for layouts in chunks)
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="without the largest spaces")
    spaces = SPACES[:4] if parser.parse_args().quick else SPACES
    heads = zip(
        ("devices", "layouts", "search s", "search/s", "arrays/s", "ratio", "peak MiB"),
        (8, 12, 10, 12, 12, 8, 10),
        strict=True,
    )
    print(f"{'space':14}" + "".join(f"{head:>{width}}" for head, width in heads))
    for name, *words in spaces:
        wanted = asked(*words)
        scalar, arrays = one_by_one(wanted), arrays_alone(wanted)
        start = time.perf_counter()
        counts = search(wanted).counts
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEBI
        rate = counts.legal / seconds
        print(
            f"{name:14}{words[2]:8}{counts.legal:12}{seconds:10.3f}{rate:12.3g}{arrays:12.3g}"
            f"{arrays / scalar:8.0f}{peak:10.0f}"
        )


if __name__ == "__main__":
    main()
