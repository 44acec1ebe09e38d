"""Writes `docs/accuracy.md` and `docs/accuracy-serving.md`: how far off predictions are, left out and fitted."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from llmplan.answer.rows import Row, read_rows
from llmplan.answer.validate import Result, Score, score, validate
from llmplan.calibration.runs import FILES, OUTPUT, PEAK, RATE
from llmplan.calibration.scoring import choosing, ranking
from llmplan.calibration.study import LEFT_OUT
from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.catalog.inheritance import numbers
from llmplan.records import replace
from llmplan.software.band import Interval
from llmplan.software.distance import DISTANCES, bits_of

PAGES = Path("docs")
_WORST = 12
_CHOICES = ("tp", "pp", "vp", "cp", "micro_batch", "zero", "recompute")
_TOP = """# Accuracy of {what}

Made by `python -m llmplan.calibration accuracy` from `hardware_catalog/measurements/`; a test holds it fresh. A user's
run is a publication that nobody fitted on, so **left out** comes first: every publication is predicted by a fit that
has not seen it ([how](catalogue.md#how-stacks-are-fitted)). **Fitted** is what `llmplan validate` gives. Errors are
|predicted / measured - 1|; rows of one publication, stack, model and hardware share one vote.
"""
_TITLES = {
    RATE: "Training throughput", PEAK: "Peak memory", "tpot_seconds": "Time per output token",
    "ttft_seconds": "Time to first token", "output_tokens_per_second": "Output tokens a second",
    "request_seconds": "Whole request, or static batch", "kv_tokens": "Tokens that the cache holds",
}  # fmt: skip

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
        _rankings(*trained), _quantity(PEAK, *trained, _keys("memory_kind", "stack")), _verdicts(trained[1]),
        _distances(trained[0], RATE), _worst(trained[0], RATE), notes["accuracy-notes.md"], _at_ceilings(catalog),
    ]  # fmt: skip
    serving = [_TOP.format(what="serving")]
    for quantity in ("tpot_seconds", "ttft_seconds", "output_tokens_per_second", "request_seconds"):
        unseen, fitted = ([one for one in some if not _given(one, quantity)] for some in served)
        serving.append(_quantity(quantity, unseen, fitted, _keys("stack", "hardware", "load", "kind")))
    serving.append(_choices(*served))
    serving += [f"# Two pools\n\n{_POOLS}"]
    for quantity in ("tpot_seconds", "ttft_seconds", "output_tokens_per_second"):
        serving.append(_quantity(quantity, *pools, _keys("framework", "speculation")))
    serving += [_quantity("kv_tokens", *cached, _keys("stack")), _distances(served[0], "tpot_seconds")]
    serving += [_worst(served[0], "tpot_seconds"), notes["accuracy-serving-notes.md"]]
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
        return lambda row: row.cells.get(name) or "unsaid"

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
    lines = [f"## {_TITLES[name]}\n"]
    lines += [_head(), _rule(9), _both("all", unseen, fitted, name)]
    for key, of in keys.items():
        rows = []
        for group in sorted({of(result.row) for result in fitted}):
            out, known = ([one for one in some if of(one.row) == group] for some in (unseen, fitted))
            rows.append(_both(group, out, known, name))
        rows = [row for row in rows if row]
        if len(rows) > 1:
            lines += ["", f"By {key.replace('_', ' ')}:\n", _head(), _rule(9), *rows]
    return "\n".join(lines) + "\n"


def _head() -> str:
    return _line(["", "rows", "left out: median", "90th percentile", "bias", "in the 80 % band", "band's width",
                  "fitted: median", "90th percentile"])  # fmt: skip


def _both(name: str, unseen: Sequence[Result], fitted: Sequence[Result], quantity: str) -> str:
    """One line of a table; empty where nothing was measured."""
    out, known = score(unseen, quantity), score(fitted, quantity)
    if out is None or known is None:
        return ""
    width = f"{_width(unseen, quantity):.0%}"
    left = [f"{out.median:.1%}", f"{out.p90:.1%}", f"{out.bias:+.1%}", f"{out.inside_band:.0%}", width]
    return _line([name, str(out.rows), *left, *_short(known)])


def _short(found: Score) -> list[str]:
    return [f"{found.median:.1%}", f"{found.p90:.1%}"]


def _width(results: Iterable[Result], quantity: str) -> float:
    """Median width of the bands of rows that measured the quantity, of the prediction [1]."""
    widths = sorted(
        (value.high - value.low) / value.value for one in results
        if one.row.measured().get(quantity) and (value := one.predicted.get(quantity)) is not None
    )  # fmt: skip
    return widths[len(widths) // 2] if widths else math.nan


def _rankings(unseen: Sequence[Result], fitted: Sequence[Result]) -> str:
    lines = [
        "## Choosing\n",
        "Of two measured layouts of one job that differ by more than 5 %, how often is the faster one predicted to be? "
        "Regret: what is lost by taking the layout that is predicted to be the fastest.\n",
        _line(["pairs that differ in", "pairs", "jobs", "left out: right", "mean over jobs", "regret", "fitted: mean",
               "regret"]),
        _rule(8),
    ]  # fmt: skip
    for choice in ("", *_CHOICES):
        out, known = ranking(unseen, choice), ranking(fitted, choice)
        if out is None or known is None:
            continue
        regrets = ["", ""] if choice else [f"{out.regret:.1%}", f"{known.regret:.1%}"]
        cells = [f"{out.right:.0%}", f"{out.job_mean:.0%}", regrets[0], f"{known.job_mean:.0%}", regrets[1]]
        lines.append(_line([choice.replace("_", " ") or "anything", str(out.pairs), str(out.jobs), *cells]))
    return "\n".join(lines) + "\n"


def _choices(unseen: Sequence[Result], fitted: Sequence[Result]) -> str:
    """How often the faster of two engines, and of two devices, is predicted to be."""
    lines = [
        "## Choosing an engine, or a device\n",
        "Of two engines on one device, or of two devices under one engine, that were measured on one job (model, "
        "precision of weights, devices, load, lengths) and differ by more than 5 %, how often is the faster one "
        "predicted to be?\n",
        _line(["of two", "by", "pairs", "jobs", "left out: right", "over jobs", "fitted: right", "over jobs"]),
        _rule(8),
    ]  # fmt: skip
    for word, name in (("stack", "engines"), ("hardware", "devices")):
        for quantity in ("tpot_seconds", "ttft_seconds", OUTPUT):
            out, known = (choosing(some, word, quantity) for some in (unseen, fitted))
            if out is not None and known is not None:
                shares = (out.right, out.job_mean, known.right, known.job_mean)
                cells = [str(out.pairs), str(out.jobs), *(f"{share:.0%}" for share in shares)]
                lines.append(_line([name, _TITLES[quantity].lower(), *cells]))
    return "\n".join(lines) + "\n"


def _verdicts(results: Sequence[Result]) -> str:
    """How often the verdict agrees with what happened."""
    said = Counter(
        (one.row.measured().get("fits"), one.fits) for one in results if one.fits is not None and not one.skipped
    )
    ran, failed = said[True, True] + said[True, False], said[False, True] + said[False, False]
    return (
        f"Of {ran} runs that ran, {said[True, True]} are said to fit; of {failed} that ran out of memory, "
        f"{said[False, False]} are said not to. Many of the others do not say what they recompute or move to the "
        "host.\n"
    )


def _distances(unseen: Sequence[Result], quantity: str) -> str:
    """How far off predictions are by what of the run had not been seen; `remarks` of left-out results hold it."""
    lines = ["## What was not seen\n", "A run may count in several lines.\n"]
    lines += [_line(["", "rows", "median", "90th percentile", "in the 80 % band"]), _rule(5)]
    for name in ("", *DISTANCES):
        found = score([one for one in unseen if (name in one.remarks if name else not one.remarks)], quantity)
        if found is not None:
            cells = [f"{found.median:.1%}", f"{found.p90:.1%}", f"{found.inside_band:.0%}"]
            lines.append(_line([name.replace("_", " ") or "all of it was seen", str(found.rows), *cells]))
    return "\n".join(lines) + "\n"


def _worst(unseen: Sequence[Result], quantity: str) -> str:
    """The groups furthest off when left out."""
    groups: dict[tuple[str, ...], list[Result]] = defaultdict(list)
    for one in unseen:
        if one.row.measured().get(quantity) and quantity in one.predicted:
            groups[tuple(one.row.group)].append(one)
    found = [(score(some, quantity), key) for key, some in groups.items()]
    known = [(one, key) for one, key in found if one is not None]
    ordered = sorted(known, key=lambda pair: -pair[0].median)
    lines = [f"## The {_WORST} groups furthest off, left out\n"]
    lines += [_line(["publication", "stack", "model", "hardware", "rows", "median", "bias"]), _rule(7)]
    for worst, key in ordered[:_WORST]:
        lines.append(_line([*key, str(worst.rows), f"{worst.median:.0%}", f"{worst.bias:+.0%}"]))
    return "\n".join(lines) + "\n"


def _at_ceilings(catalog: Catalog) -> str:
    """Coefficients that sit at their ceiling: there the rows ask for more than nature allows."""
    lines = list(_near_ceilings(catalog))
    return (
        "## Coefficients at a ceiling\n\nThere the physics lacks a term.\n\n" + "\n".join(lines) + "\n" if lines else ""
    )


def _near_ceilings(catalog: Catalog) -> Iterator[str]:
    near = 0.99
    for name in catalog.ids("stacks"):
        entry = catalog.stack(name)
        for version, fitted in (("", entry.fitted), *((one.version, one.fitted) for one in entry.versions)):
            for word, value in fitted.items():
                if value >= near * numbers()[word].ceiling:
                    yield f"- {name} {version}".rstrip() + f": {word} {value:g}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return f"|{' --- |' * columns}"
