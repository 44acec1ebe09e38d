"""Writes `docs/accuracy.md`: what was fitted on what, and how far off the predictions are."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from llmplan.answer.rows import read_rows
from llmplan.answer.validate import Result, Score, score, validate
from llmplan.calibrate.runs import MEASUREMENTS
from llmplan.calibrate.training import LEFT_OUT
from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.errors import InputError
from llmplan.software.band import Interval

DOCUMENT = Path("docs/accuracy.md")
NOTES = Path("docs/accuracy-notes.md")
RATE, PEAK = "tokens_per_second_per_device", "peak_memory_gib"
_WORST = 15
_TOP = """# Accuracy

Made by `python -m llmplan.calibrate accuracy` from `hardware_catalog/measurements/`; a test holds it fresh.
Errors are |predicted / measured - 1|; rows of one publication, stack, model and hardware share one vote.
`llmplan validate FILE.csv` gives the same figures for runs of your own.
"""


def main() -> None:
    """Writes the document."""
    DOCUMENT.write_text(document(), encoding="utf-8")
    print(f"wrote {DOCUMENT}")


def document() -> str:
    """The whole document, from the measured rows, the left-out predictions and the hand-written notes."""
    catalog = open_catalog()
    results = validate(read_rows(MEASUREMENTS), catalog)
    unseen = _unseen(results, catalog)
    stated = [result for result in results if result.row.cells["recompute"]]
    parts = [
        _TOP,
        "## Training throughput\n\n"
        + _table("", {"all rows": (results, RATE), "rows of models left out of the fit": (unseen, RATE)}),
        "\n### By stack\n\n" + _by("stack", results, unseen, lambda result: result.row.cells["stack"]),
        "\n### By hardware\n\n" + _by("hardware", results, unseen, lambda result: result.row.cells["hardware"]),
        "\n### By workload\n\n" + _by("workload", results, unseen, lambda result: result.row.cells["workload"]),
        "\n### By devices\n\n" + _by("devices", results, unseen, _size),
        "\n## Peak memory\n\n"
        + _table("", {"all rows": (results, PEAK), "rows that state their recomputation": (stated, PEAK)}),
        "\n" + _verdicts(results),
        f"\n## The {_WORST} rows furthest off\n\n" + _worst(results),
        "\n" + NOTES.read_text(encoding="utf-8"),
    ]
    return "\n".join(parts)


def _unseen(results: Sequence[Result], catalog: Catalog) -> list[Result]:
    """The results with the step time that numbers fitted on other models predict, in the same bands."""
    with LEFT_OUT.open(newline="", encoding="utf-8") as file:
        seconds = {row["id"]: float(row["step_seconds"]) for row in csv.DictReader(file)}
    found = []
    for result in results:
        if result.row.id in seconds and RATE in result.predicted:
            factor = result.predicted["step_seconds"].value / seconds[result.row.id]
            rate = result.predicted[RATE]
            moved = Interval(rate.value * factor, rate.low * factor, rate.high * factor)
            found.append(replace(result, predicted={RATE: moved}))
    return found


def _size(result: Result) -> str:
    devices = int(result.row.cells["devices"])
    for limit, name in ((1, "1"), (8, "2 to 8"), (64, "9 to 64"), (512, "65 to 512")):
        if devices <= limit:
            return name
    return "more than 512"


def _cells(found: Score | None) -> list[str]:
    if found is None:
        return ["", "", "", "", ""]
    return [str(found.rows), f"{found.median:.1%}", f"{found.p90:.1%}", f"{found.bias:+.1%}", f"{found.inside:.0%}"]


_HEADINGS = ["rows", "median", "90th percentile", "bias", "inside the 80 % band"]


def _table(first: str, parts: dict[str, tuple[Sequence[Result], str]]) -> str:
    lines = [_line([first, *_HEADINGS]), _rule(6)]
    lines += [_line([name, *_cells(score(results, quantity))]) for name, (results, quantity) in parts.items()]
    return "\n".join(lines) + "\n"


def _by(first: str, results: Sequence[Result], unseen: Sequence[Result], key: Callable[[Result], str]) -> str:
    lines = [_line([first, *_HEADINGS, "median, model left out"]), _rule(7)]
    for name in sorted({key(result) for result in results}, key=lambda name: (len(name) > 1, name)):
        found = score([result for result in results if key(result) == name], RATE)
        left = score([result for result in unseen if key(result) == name], RATE)
        if found is not None:
            lines.append(_line([name, *_cells(found), f"{left.median:.1%}" if left else ""]))
    return "\n".join(lines) + "\n"


def _verdicts(results: Sequence[Result]) -> str:
    """How often the verdict agrees with what happened."""
    ran = [result for result in results if result.row.measured().get("fits") is True and result.fits is not None]
    failed = [result for result in results if result.row.measured().get("fits") is False and result.fits is not None]
    return (
        f"Of {len(ran)} runs that ran, {sum(bool(result.fits) for result in ran)} are said to fit; of {len(failed)} "
        f"that ran out of memory, {sum(not result.fits for result in failed)} are said not to. Most of the others do "
        "not state what they recompute or move to the host.\n"
    )


def _worst(results: Iterable[Result]) -> str:
    rows = []
    for result in results:
        try:
            measured = result.row.measured().get(RATE)
        except InputError:
            continue
        if measured and RATE in result.predicted:
            rows.append((result.predicted[RATE].value / float(measured) - 1.0, result))
    rows.sort(key=lambda pair: -abs(pair[0]))
    lines = [_line(["row", "stack", "model", "hardware", "devices", "precision", "off by"]), _rule(7)]
    for error, result in rows[:_WORST]:
        cells = result.row.cells
        stack = f"{cells['stack']} {cells['stack_version']}".strip()
        lines.append(
            _line(
                [
                    result.row.id,
                    stack,
                    cells["model"],
                    cells["hardware"],
                    cells["devices"],
                    cells["precision"],
                    f"{error:+.0%}",
                ]
            )
        )
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return f"|{' --- |' * columns}"
