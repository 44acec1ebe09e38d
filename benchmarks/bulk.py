"""How many plans a second: `python benchmarks/bulk.py`, each against one `estimate` after another in the same run.

Plans are distinct, over three devices and two models. Rates are of processor time, on one core; JSON in, JSON out.
`compare --fit` stands against one alternative after another; a sweep, as a command, against a process for each of its
combinations.
"""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llmplan
from llmplan.answer.data import dumps
from llmplan.answer.rows import Row, read_rows
from llmplan.answer.validate import validate, validation
from llmplan.catalog.catalog import open_catalog
from llmplan.cli.main import MANY_OBJECTS
from llmplan.cli.stream import BATCH_LINES, Line, StreamAsk, answer_batch
from llmplan.files import builtin
from llmplan.search.alternatives import EveryAlternative
from llmplan.search.comparison import compare

MODELS, DEVICES = ("llama-3.1-70b", "llama-3.1-8b"), ("h100", "h200", "a100-sxm-80gb")
LOOP = 100  # plans of the loop that a rate is compared with


def layouts_given(draw: random.Random) -> dict[str, Any]:
    tp, pp, dp, micro = (
        draw.choice([1, 2, 4, 8]),
        draw.choice([1, 2, 4]),
        draw.choice([1, 2, 4, 8]),
        draw.choice([1, 2]),
    )
    return {
        "devices": tp * pp * dp, "tp": tp, "pp": pp, "micro_batch": micro, "seq_len": 256 * draw.randrange(1, 65),
        "global_batch": dp * micro * draw.randrange(1, 65), "recompute": draw.choice(["none", "selective", "full"]),
        "zero": draw.randrange(4),
    }  # fmt: skip


def degrees_given(draw: random.Random) -> dict[str, Any]:
    return {"devices": 64, "tp": 4, "pp": 4, "seq_len": 256 * draw.randrange(4, 65),
            "global_batch": 16 * draw.randrange(1, 65)}  # fmt: skip


def nothing_given(draw: random.Random) -> dict[str, Any]:
    return {"devices": 2 ** draw.randrange(3, 9), "seq_len": 1024 * draw.randrange(1, 9), "global_batch": 512}


def serving(draw: random.Random) -> dict[str, Any]:
    return {"devices": draw.choice([2, 4, 8]), "workload": "serve", "tp": draw.choice([1, 2]),
            "input_tokens": draw.randrange(128, 4096), "output_tokens": draw.randrange(32, 1024)}  # fmt: skip


KINDS: dict[str, tuple[Callable[[random.Random], dict[str, Any]], int]] = {
    "layout given": (layouts_given, 8000), "tp and pp given": (degrees_given, 4000),
    "nothing given": (nothing_given, 200), "serving": (serving, 4000),
}  # fmt: skip


def plans(make: Callable[[random.Random], dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    draw = random.Random(1)
    for _ in range(count):
        yield {"model": draw.choice(MODELS), "hardware": draw.choice(DEVICES), **make(draw)}


def rate(work: Callable[[], object], count: int) -> float:
    start = time.process_time()
    work()
    return count / (time.process_time() - start)


def bulk(lines: list[Line], *, summary: bool) -> float:
    ask = StreamAsk("benchmark", {}, (), summary)
    return rate(lambda: answer_batch(lines, ask), len(lines))


def validated(file: str, times: int) -> float:
    """Rows a second of a file of measured runs that stands so many times in one."""
    rows = read_rows(Path(builtin("measurements")) / file)
    many = [Row(row.cells, row.line) for _ in range(times) for row in rows]
    return rate(lambda: validation(validate(many, open_catalog())), len(many))


SWEPT = ["sweep", "--model", "llama-3.1-70b", "--tp", "4", "--pp", "4", "--vary", "devices=64..4096",
         "--vary", "hardware=h100,h200,b200", "--vary", "seq-len=1k..8k+1k", "--format", "csv"]  # fmt: skip
ALONE = ["estimate", *SWEPT[1:7], "--devices", "64", "--hardware", "h100", "--json"]
FITTED_DEVICES, FITTED_ALONE = 3, 8  # every third device of the catalogue; every eighth alternative alone
PROCESSES = 5  # that the mean of one is taken of


def processor_seconds(words: list[str]) -> tuple[float, int]:
    """Of a command as a process, and the lines that it wrote."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    here = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path[1:]])}
    run = subprocess.run([sys.executable, "-m", "llmplan", *words], check=True, capture_output=True, env=here)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, run.stdout.count(b"\n")


def swept() -> None:
    whole, lines = processor_seconds(SWEPT)
    alone = sum(processor_seconds(ALONE)[0] for _ in range(PROCESSES)) / PROCESSES
    print(f"sweep of {lines - 1} combinations: {whole:.2f} s; as processes {alone * (lines - 1):.1f} s, "
          f"{alone * (lines - 1) / whole:.0f} times as long")  # fmt: skip


def fitted() -> None:
    """The best layouts of many alternatives at once, against one `compare --fit` after another."""
    catalog = open_catalog()
    devices = [one for one in catalog.ids("devices") if catalog.device(one).plannable][::FITTED_DEVICES]
    given = {"model": ",".join(MODELS), "hardware": ",".join(devices), "devices": 64, "global_batch": 512}
    wanted = list(EveryAlternative([(None, None)], given, catalog))
    some = wanted[::FITTED_ALONE]
    together = 1e3 / rate(lambda: compare(wanted, catalog, fit=True), len(wanted))
    alone = 1e3 / rate(lambda: [compare([one], catalog, fit=True) for one in some], len(some))
    print(f"compare --fit of {len(wanted)} alternatives: {together:.0f} ms each; alone {alone:.0f} ms, "
          f"{alone / together:.1f} times as long")  # fmt: skip


def main() -> None:
    gc.set_threshold(MANY_OBJECTS)  # as the command does
    print(f"{'plans':18}{'loop/s':>10}{'full/s':>10}{'ratio':>8}{'summary/s':>12}{'ratio':>8}")
    for name, (make, count) in KINDS.items():
        wanted = list(plans(make, count))
        lines = [Line(number, json.dumps(one).encode()) for number, one in enumerate(wanted, 1)]
        bulk(lines[:LOOP], summary=False)
        alone = rate(lambda: [dumps(llmplan.estimate(one)) for one in wanted[:LOOP]], LOOP)  # noqa: B023
        full, short = bulk(lines[:BATCH_LINES], summary=False), bulk(lines, summary=True)
        print(f"{name:18}{alone:10.0f}{full:10.0f}{full / alone:8.1f}{short:12.0f}{short / alone:8.1f}")
    for file in ("training.csv", "serving.csv"):
        validated(file, 1)
        once, often = validated(file, 1), validated(file, 10)
        print(f"validate {file}: {once:.0f} rows/s; ten times as many: {often:.0f} rows/s")
    fitted()
    swept()


if __name__ == "__main__":
    main()
