"""Writes `docs/accuracy.md` and `docs/accuracy-serving.md`: how far off predictions are, left out and fitted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from llmplan.answer.rows import Row, read_rows
from llmplan.answer.scores import Result, Score, score
from llmplan.answer.validate import validate
from llmplan.calibration import accuracy_sections as sections
from llmplan.calibration.runs import FILES, PEAK, RATE
from llmplan.calibration.study import LEFT_OUT
from llmplan.catalog.catalog import open_catalog
from llmplan.records import replace
from llmplan.software.band import Interval
from llmplan.software.distance import bits_of

PAGES = Path("docs")
_TOP = """# Accuracy of {what}

Made by `python -m llmplan.calibration accuracy` from `hardware_catalog/measurements/`; a test holds it fresh. A user's
run is a publication that nobody fitted on, so **left out** comes first: every publication is predicted by a fit that
has not seen it ([how](catalogue.md#how-stacks-are-fitted)). **Fitted** is what `llmplan validate` gives. Errors are
|predicted / measured - 1|; rows of one publication, stack, model and hardware share one vote.
"""

_POOLS = "Prefill and decoding on devices of their own, and speculation by multi-token prediction.\n"

Key = Callable[[Row], str]


def write_pages(folder: Path = PAGES) -> list[Path]:
    """Writes both pages from the stored left-out predictions and the entries as they stand, and published layouts."""
    from llmplan.calibration.layouts import PATH, layouts_table

    PATH.write_text(layouts_table(open_catalog()), encoding="utf-8")
    written = [PATH]
    for name, text in pages().items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def pages() -> dict[str, str]:
    """Both pages by name."""
    catalog = open_catalog()
    trained, served, pools, cached = (_results(path) for path in FILES)
    notes = {name: _notes(name) for name in ("accuracy-notes.md", "accuracy-serving-notes.md")}
    training = [
        _TOP.format(what="training"),
        _quantity(RATE, *trained, _keys("stack", "hardware", "precision", "size", "kind")),
        sections.rankings(*trained), _quantity(PEAK, *trained, _keys("memory_kind", "stack")),
        sections.verdicts(trained[1]), sections.distances(trained[0], RATE), sections.worst(trained[0], RATE),
        notes["accuracy-notes.md"], sections.at_ceilings(catalog),
    ]  # fmt: skip
    serving = [_TOP.format(what="serving")]
    for quantity in ("tpot_seconds", "ttft_seconds", "output_tokens_per_second", "request_seconds"):
        unseen, fitted = ([one for one in some if not _given(one, quantity)] for some in served)
        serving.append(_quantity(quantity, unseen, fitted, _keys("stack", "hardware", "load", "kind")))
    serving.append(sections.choices(*served))
    serving += [f"# Two pools\n\n{_POOLS}"]
    for quantity in ("tpot_seconds", "ttft_seconds", "output_tokens_per_second"):
        serving.append(_quantity(quantity, *pools, _keys("framework", "speculation")))
    serving += [_quantity("kv_tokens", *cached, _keys("stack")), sections.distances(served[0], "tpot_seconds")]
    serving += [sections.worst(served[0], "tpot_seconds"), notes["accuracy-serving-notes.md"]]
    return {"accuracy.md": "\n".join(filter(None, training)), "accuracy-serving.md": "\n".join(filter(None, serving))}


def _given(result: Result, quantity: str) -> bool:
    """Whether it is no prediction: the output rate of an open load is what arrives."""
    return quantity == "output_tokens_per_second" and result.row.cells.get("load") == "open"


def _notes(name: str) -> str:
    path = PAGES / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


@cache
def fitted_results(file: Path) -> tuple[Result, ...]:
    """What `llmplan validate` makes of a file."""
    return tuple(validate(read_rows(file), open_catalog()))


def _results(file: Path) -> tuple[list[Result], list[Result]]:
    """Left-out and fitted results of a file; the first only of rows that were left out."""
    fitted = list(fitted_results(file.resolve()))
    document = json.loads((LEFT_OUT / f"{file.stem}.json").read_text(encoding="utf-8"))
    stored = {row["id"]: row for row in document["rows"]}
    unseen = []
    for result in fitted:
        row = stored.get(result.row.id)
        if row is not None:
            found = {name: Interval(value, *row["interval"][name]) for name, value in row["predicted"].items()}
            unseen.append(replace(result, predicted=found, remarks=tuple(row["distances"])))
    return unseen, fitted


def _keys(*names: str) -> dict[str, Key]:
    made: dict[str, Key] = {"size": _size, "kind": _kind, "precision": _precision}

    def cell(name: str) -> Key:
        return lambda row: row.cells.get(name) or "unstated"

    return {name: made.get(name, cell(name)) for name in names}


def _size(row: Row) -> str:
    devices = int(row.cells["devices"] or 1)
    limits = ((1, "1 device"), (8, "2 to 8"), (64, "9 to 64"), (512, "65 to 512"))
    return next((name for limit, name in limits if devices <= limit), "more than 512")


def _kind(row: Row) -> str:
    layers = "experts" if row.cells.get("experts") else "dense"
    workload = row.cells["workload"]
    return layers if workload == "serve" else f"{workload}, {layers}"


def _precision(row: Row) -> str:
    return f"{bits_of(row.cells.get('precision') or 'bf16')} bits"


def _quantity(name: str, unseen: Sequence[Result], fitted: Sequence[Result], keys: dict[str, Key]) -> str:
    """One quantity: all rows, then by each key."""
    lines = [f"## {sections.TITLES[name]}\n"]
    lines += [_head(), sections.rule(9), _both("all", unseen, fitted, name)]
    for key, of in keys.items():
        rows = []
        for group in sorted({of(result.row) for result in fitted}):
            out, known = ([one for one in some if of(one.row) == group] for some in (unseen, fitted))
            rows.append(_both(group, out, known, name))
        rows = [row for row in rows if row]
        if len(rows) > 1:
            lines += ["", f"By {key.replace('_', ' ')}:\n", _head(), sections.rule(9), *rows]
    return "\n".join(lines) + "\n"


def _head() -> str:
    return sections.line(["", "rows", "left out: median", "90th percentile", "bias", "in the 80 % band", "band's width",
                  "fitted: median", "90th percentile"])  # fmt: skip


def _both(name: str, unseen: Sequence[Result], fitted: Sequence[Result], quantity: str) -> str:
    """One line of a table; empty where nothing was measured."""
    out, known = score(unseen, quantity), score(fitted, quantity)
    if out is None or known is None:
        return ""
    width = f"{_width(unseen, quantity):.0%}"
    left = [f"{out.median:.1%}", f"{out.p90:.1%}", f"{out.bias:+.1%}", f"{out.inside_band:.0%}", width]
    return sections.line([name, str(out.rows), *left, *_short(known)])


def _short(found: Score) -> list[str]:
    return [f"{found.median:.1%}", f"{found.p90:.1%}"]


def _width(results: Iterable[Result], quantity: str) -> float:
    """Median width of the bands of rows that measured the quantity, of the prediction [1]."""
    widths = sorted(
        (value.high - value.low) / value.value for one in results
        if one.row.measured.get(quantity) and (value := one.predicted.get(quantity)) is not None
    )  # fmt: skip
    return widths[len(widths) // 2] if widths else math.nan
