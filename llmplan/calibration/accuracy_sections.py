"""Sections of an accuracy page: rankings, verdicts, distances, the worst rows, coefficients at their limits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from llmplan.answer.scores import Result, score
from llmplan.calibration.runs import OUTPUT, PEAK, RATE
from llmplan.calibration.scoring import choosing, ranking
from llmplan.catalog.catalog import Catalog
from llmplan.catalog.inheritance import numbers
from llmplan.software.distance import DISTANCES

_WORST = 12
_CHOICES = ("tp", "pp", "vp", "cp", "micro_batch", "zero", "recompute")
TITLES = {
    RATE: "Training throughput", PEAK: "Peak memory", "tpot_seconds": "Time per output token",
    "ttft_seconds": "Time to first token", "output_tokens_per_second": "Output tokens a second",
    "request_seconds": "Whole request, or static batch", "kv_tokens": "Tokens that the cache holds",
}  # fmt: skip


def rankings(unseen: Sequence[Result], fitted: Sequence[Result]) -> str:
    """How often the faster of two measured layouts comes first, and what is lost by taking the predicted winner."""
    lines = [
        "## Choosing\n",
        "Of two measured layouts of one job that differ by more than 5 %, how often is the faster one predicted to be? "
        "Regret: what is lost by taking the layout that is predicted to be the fastest.\n",
        line(["pairs that differ in", "pairs", "jobs", "left out: right", "mean over jobs", "regret", "fitted: mean",
               "regret"]),
        rule(8),
    ]  # fmt: skip
    for choice in ("", *_CHOICES):
        out, known = ranking(unseen, choice), ranking(fitted, choice)
        if out is None or known is None:
            continue
        regrets = ["", ""] if choice else [f"{out.regret:.1%}", f"{known.regret:.1%}"]
        cells = [f"{out.right:.0%}", f"{out.job_mean:.0%}", regrets[0], f"{known.job_mean:.0%}", regrets[1]]
        lines.append(line([choice.replace("_", " ") or "anything", str(out.pairs), str(out.jobs), *cells]))
    return "\n".join(lines) + "\n"


def choices(unseen: Sequence[Result], fitted: Sequence[Result]) -> str:
    """How often the faster of two engines, and of two devices, is predicted to be."""
    lines = [
        "## Choosing an engine, or a device\n",
        "Of two engines on one device, or of two devices under one engine, that were measured on one job (model, "
        "precision of weights, devices, load, lengths) and differ by more than 5 %, how often is the faster one "
        "predicted to be?\n",
        line(["of two", "by", "pairs", "jobs", "left out: right", "over jobs", "fitted: right", "over jobs"]),
        rule(8),
    ]  # fmt: skip
    for word, name in (("stack", "engines"), ("hardware", "devices")):
        for quantity in ("tpot_seconds", "ttft_seconds", OUTPUT):
            out, known = (choosing(some, word, quantity) for some in (unseen, fitted))
            if out is not None and known is not None:
                shares = (out.right, out.job_mean, known.right, known.job_mean)
                cells = [str(out.pairs), str(out.jobs), *(f"{share:.0%}" for share in shares)]
                lines.append(line([name, TITLES[quantity].lower(), *cells]))
    return "\n".join(lines) + "\n"


def verdicts(results: Sequence[Result]) -> str:
    """How often the verdict agrees with what happened."""
    counts = Counter(
        (one.row.measured.get("fits"), one.fits) for one in results if one.fits is not None and not one.skipped
    )
    ran, failed = counts[True, True] + counts[True, False], counts[False, True] + counts[False, False]
    return (
        f"Of {ran} runs that ran, {counts[True, True]} are said to fit; of {failed} that ran out of memory, "
        f"{counts[False, False]} are said not to. Many of the others do not say what they recompute or move to the "
        "host.\n"
    )


def distances(unseen: Sequence[Result], quantity: str) -> str:
    """How far off predictions are by what of the run had not been seen; `remarks` of left-out results hold it."""
    lines = ["## What was not seen\n", "A run may count in several lines.\n"]
    lines += [line(["", "rows", "median", "90th percentile", "in the 80 % band"]), rule(5)]
    for name in ("", *DISTANCES):
        found = score([one for one in unseen if (name in one.remarks if name else not one.remarks)], quantity)
        if found is not None:
            cells = [f"{found.median:.1%}", f"{found.p90:.1%}", f"{found.inside_band:.0%}"]
            lines.append(line([name.replace("_", " ") or "all of it was seen", str(found.rows), *cells]))
    return "\n".join(lines) + "\n"


def worst(unseen: Sequence[Result], quantity: str) -> str:
    """The groups furthest off when left out."""
    groups: dict[tuple[str, ...], list[Result]] = defaultdict(list)
    for one in unseen:
        if one.row.measured.get(quantity) and quantity in one.predicted:
            groups[tuple(one.row.group)].append(one)
    found = [(score(some, quantity), key) for key, some in groups.items()]
    known = [(one, key) for one, key in found if one is not None]
    ordered = sorted(known, key=lambda pair: -pair[0].median)
    lines = [f"## The {_WORST} groups furthest off, left out\n"]
    lines += [line(["publication", "stack", "model", "hardware", "rows", "median", "bias"]), rule(7)]
    for worst, key in ordered[:_WORST]:
        lines.append(line([*key, str(worst.rows), f"{worst.median:.0%}", f"{worst.bias:+.0%}"]))
    return "\n".join(lines) + "\n"


def at_ceilings(catalog: Catalog) -> str:
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


def line(cells: Sequence[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def rule(columns: int) -> str:
    """The line under its head."""
    return f"|{' --- |' * columns}"
