"""Writes `docs/accuracy-serving.md`: how far off predictions of deployments are, fitted and left out."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from llmplan.answer.rows import read_rows, row_plan
from llmplan.answer.validate import Result, Score, score, validate
from llmplan.calibrate.meanings import meanings
from llmplan.calibrate.serving import MEASUREMENTS, QUANTITIES
from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.serving.estimate import serving_interval
from llmplan.serving.plan import ServingPlan
from llmplan.software.band import Interval

DOCUMENT = Path("docs/accuracy-serving.md")
LEFT_OUT = Path("tests/measurements/serving_left_out.csv")
_TITLES = {
    "tpot_seconds": "Time per output token",
    "ttft_seconds": "Time to first token",
    "output_tokens_per_second": "Output tokens a second",
    "request_seconds": "Whole request, or static batch",
}
_TOP = """# Accuracy of serving

Made by `python -m llmplan.calibrate serving-accuracy` from `hardware_catalog/measurements/`; a test holds it fresh.
Errors are |predicted / measured - 1|; rows of one publication, stack, model and hardware share one vote. "Left out"
are predictions of numbers fitted without any row of the row's model. The 80 % bands are drawn from those.
"""
_NOTES = """
## What is known of the worst

- Open loads (MLPerf Server) differ by a third between submitters of like devices at the same rate, and their layouts
  and lengths of prompts are not printed: the least tensor parallelism that leaves room for a cache is taken. Times
  rise steeply where a server nears what it can do at most: two that ran at 0.99 of what they wrote offline answered in
  0.39 s, others like them at 0.84 to 0.94 in 0.21 to 0.30 s, and no planner knows a capacity to such percents. H100 NVL
  under TensorRT-LLM is the farthest off, 0.14 s at one maker and 0.26 s at another whose machine did less.
- Splitwise does not print its engine's version; the rows have it from the date of the paper (vLLM 0.2).
- vLLM of 2023 is known from one model; without it, its left-out rows are predicted with the numbers of later engines.
- SGLang is known from one model too: its left-out rows are predicted with the numbers of all stacks.
- Splitwise's prefills of more than 2,048 tokens at tp 4 and tp 8 take up to 1.7 times what their pieces of 2,048 take;
  no cause for it was found, and they are predicted up to 35 % too fast.
- JetStream on one chip with eight replicas (gemma-2b) gives a third of eight times one chip's rate.
"""

_AT_BOUNDS = """
## Fitted numbers at an end of their range

There the rows ask for more than the number's meaning allows: what it stands for is not all that they differ in.

"""
_NEAR = 0.02  # of a bound


def main() -> None:
    """Writes the document."""
    DOCUMENT.write_text(document(), encoding="utf-8")
    print(f"wrote {DOCUMENT}")


def document() -> str:
    """The whole document, from the measured rows and the left-out predictions."""
    results = validate(read_rows(MEASUREMENTS), open_catalog())
    unseen = left_out(results)
    parts = [_TOP]
    for quantity in ("tpot_seconds", "ttft_seconds", "output_tokens_per_second", "request_seconds"):
        parts.append(f"\n## {_TITLES[quantity]}\n\n{_table(results, unseen, quantity)}")
    return "".join([*parts, _NOTES, _AT_BOUNDS, *_at_bounds()])


def _at_bounds() -> Iterator[str]:
    """A line for each fitted number that sits at an end of its range."""
    meaning = meanings("serving")
    opened = open_catalog()
    for name in opened.ids("stacks"):
        serving = opened.stack(name).serving
        for variant in serving.variants if serving else ():
            for number, value in variant.fitted.items():
                low, high = meaning[number].range
                if value >= high * (1.0 - _NEAR) or 0 < value <= low * (1.0 + _NEAR):
                    yield f"- {name} {variant.version}: {number} {value:g} of {low:g} to {high:g}\n"


def left_out(results: Sequence[Result]) -> list[Result]:
    """The results with what numbers fitted on other models predict, in the same bands."""
    with LEFT_OUT.open(newline="", encoding="utf-8") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    found, opened = [], open_catalog()
    for result in results:
        moved = {}
        for name, value in result.predicted.items():
            text = rows.get(result.row.id, {}).get(name)
            if text and name == "output_tokens_per_second" and result.row.cells["load"] == "open":
                moved[name] = _delivered(result, float(text), opened)
            elif text:
                factor = float(text) / value.value
                moved[name] = Interval(value.value * factor, value.low * factor, value.high * factor)
        found.append(replace(result, predicted=moved))
    return found


def _delivered(result: Result, value: float, opened: Catalog) -> Interval:
    """Tokens a second under an open load with that prediction: what arrives bounds it, as in `estimate`."""
    plan = row_plan(result.row, opened, result.row.cells["stack"])
    assert isinstance(plan, ServingPlan)
    can, told = serving_interval(plan, "output_tokens_per_second", value), result.predicted["output_tokens_per_second"]
    return Interval(value, min(told.low, can.low), min(told.high, can.high))


def write_left_out(ratios: dict[str, dict[str, float]], measured: dict[str, dict[str, float]]) -> None:
    """Stores left-out predictions; ratios: predicted over measured, by row and quantity."""
    with LEFT_OUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", *QUANTITIES])
        for name, found in ratios.items():
            values = [f"{found[q] * measured[name][q]:.5g}" if q in found else "" for q in QUANTITIES]
            writer.writerow([name, *values])


def _table(results: Sequence[Result], unseen: Sequence[Result], quantity: str) -> str:
    heads = ["", "rows", "median", "90th percentile", "bias", "median, left out", "inside the 80 % band, left out"]
    lines = [_line(heads), f"|{' --- |' * len(heads)}"]
    keys: tuple[Callable[[Result], str], ...] = (
        lambda _: "all", lambda one: one.row.cells["stack"], lambda one: one.row.cells["hardware"],
    )  # fmt: skip
    for key in keys:
        for name in sorted({key(result) for result in results}):
            found = score([one for one in results if key(one) == name], quantity)
            left = score([one for one in unseen if key(one) == name], quantity)
            if found is not None:
                lines.append(_line([name, *_cells(found), *_left(left)]))
    return "\n".join(lines) + "\n"


def _cells(found: Score) -> list[str]:
    return [str(found.rows), f"{found.median:.1%}", f"{found.p90:.1%}", f"{found.bias:+.1%}"]


def _left(found: Score | None) -> list[str]:
    return ["", ""] if found is None else [f"{found.median:.1%}", f"{found.inside:.0%}"]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
