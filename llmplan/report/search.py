"""Answers of `fit` as tables and as rows: the best layouts, the Pareto front, or why nothing fits and what would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from llmplan.formatting import count, duration, plain, step_time
from llmplan.report.console import on_stdout
from llmplan.report.limits import target_text
from llmplan.report.search_text import (
    most_line,
    nothing_lines,
    plan_text,
    read_by,
    searched,
    serves,
    sizes,
    time_text,
    why,
)
from llmplan.report.sheet import Annotation, Sheet, SheetRow
from llmplan.search.answering import summarized
from llmplan.search.answers import Ranked
from llmplan.search.choices import is_open, names_of
from llmplan.serving.targets import TARGETS
from llmplan.si import GIB
from llmplan.training.choose import NEAR

if TYPE_CHECKING:
    from rich.console import Console

    from llmplan.search.answers import FitAnswer, FrontAnswer, SubjectAnswer, Summary

SAME = "= as good within the error: its band overlaps the first's"
MARGINAL = "? marginal: the limit lies inside the memory's band"
SHOWN_OF_FRONT = 20
_ONES = ("vp", "cp", "ep", "dcp")  # degrees whose column is left out where all are 1
_TEXTS = ("hardware", "stack", "", "prec", "redo", "sp", "host", "weights", "cache", " ")
WIDE = 120  # columns where nobody's terminal limits them
ABOUT = ("hardware", "stack")
"""Columns of what is compared where several devices or stacks were asked about."""
_UNITS = {
    "tokens_per_second": "tokens/s", "output_tokens_per_second": "tokens/s", "run_usd": "USD", "usd_per_hour": "USD/h",
    "usd_per_million_tokens": "USD/Mtok", "usd_per_million_output_tokens": "USD/Mtok", "devices": "devices",
}  # fmt: skip


def print_found(found: FitAnswer) -> None:
    """The answer on stdout."""
    with on_stdout(WIDE) as console:
        write_found(console, found)


def write_found(console: Console, found: FitAnswer) -> None:
    """Subject, the best, the front, what was searched and what was assumed."""
    best = [one for one in found.results if isinstance(one, Ranked)]
    console.print(_subject(found))
    console.print()
    _print_ranked(console, found, best)
    if found.each is not None:
        console.print()
        _print_each(console, found, found.each)
    if found.simplest is not None:
        console.print()
        console.print(Text(f"The simplest within {NEAR:.0%} of the best:"))
        _print_ranked(console, found, [found.simplest])
    if found.marginal is not None:
        console.print()
        console.print(Text("Better if it fits, which its band leaves open:"))
        _print_ranked(console, found, [found.marginal])
    if found.nothing_surely_fits and not serves(found):
        console.print()
        console.print(Text("Nothing fits with its whole band."))
    if found.pareto is not None:
        console.print()
        _print_front(console, found, found.pareto)
    console.print()
    console.print(Text(searched(found)))
    for sentence in found.left_out or ():
        console.print(Text(f"left out: {sentence}"))
    if found.assumptions:
        console.print()
        console.print(Text("Assumed", style="bold"))
        for sentence in found.assumptions:
            console.print(Text(f"  - {sentence}"))


def _prompt(said: dict[str, Any]) -> Iterator[str]:
    """The contents of a prompt: tokens, images, sound."""
    if said.get("input_tokens"):
        yield f"{said['input_tokens']:g} tokens"
    if said.get("images"):
        yield f"{said['images']} images of {said['image_size']}"
    if said.get("audio_seconds"):
        yield f"{said['audio_seconds']:g} s of sound"


def _subject(found: FitAnswer) -> Text:
    first = found.results[0]
    said, model = first.inputs, first.result.model
    if serves(found):
        load = f"{said['request_rate']:g} requests/s" if "request_rate" in said else f"{said['load']} load"
        targets = [f", {target_text(name)} at most {duration(said[name])}" for name in TARGETS if name in said]
        tokens = f"{' and '.join(_prompt(said))} in"
        work = f"{load} of {tokens} and {said['output_tokens']:g} out{''.join(targets)}"
    else:
        work = f"{said['workload']}, {said['global_batch']} x {said['seq_len']} tokens a step"
    cluster = "" if _several(found, "hardware") else f" in {said['cluster']}"
    return Text.assemble(
        (model.name, "bold"), f" ({count(model.parameters)}) on {sizes(found)} x ",
        (_names(found, "hardware"), "bold"), f"{cluster}, {_names(found, 'stack')} stack; {work}; ",
        (f"best {found.objective}", "bold"),
    )  # fmt: skip


def _several(found: FitAnswer, word: str) -> bool:
    """Whether several devices, or stacks, were compared."""
    return word in found.inputs and is_open(word, found.inputs[word])


def _names(found: FitAnswer, word: str) -> str:
    """`h100 or h200`: the names that were compared, or the only one."""
    if not _several(found, word):
        return str(found.results[0].inputs[word])
    *names, last = names_of(word, found.inputs[word])
    return f"{', '.join(names)} or {last}" if names else last


def _print_each(console: Console, found: FitAnswer, each: Sequence[SubjectAnswer]) -> None:
    """The best layout of every device and stack, then those without an answer, and why."""
    console.print(Text("Each at its best:"))
    rows = []
    for one in each:
        if one.objective is not None:
            mark = "=" if one.rank != 1 and one.as_good_within_error else ""
            value = {found.objective or "": value_text(one.objective)}
            rows.append({"": str(one.rank), " ": mark, **_columns(found, one), **value})
    print_rows(console, rows)
    for line in _behind(found, each):
        console.print(Text(line))


def _behind(found: FitAnswer, each: Sequence[SubjectAnswer]) -> Iterator[str]:
    """Devices and stacks without an answer: the nearest miss of each, and why it misses."""
    for one in each:
        if not one.does:
            name = " with ".join(str(one.inputs[word]) for word in ABOUT if _several(found, word))
            yield f"x  {name}: {plan_text(one)}: {why(found, one)}"


def _print_ranked(console: Console, found: FitAnswer, best: Sequence[Ranked]) -> None:
    """A row each; `=` marks those whose band overlaps the band of the first."""
    rows = []
    for one in best:
        same = "=" if one.rank > 1 and one.as_good_within_error else ""
        money = {found.objective or "": value_text(one.objective)} if found.objective in ("cost", "time") else {}
        rows.append({"": str(one.rank), " ": same, **_columns(found, summarized(one)), **money})
    print_rows(console, rows)
    if any(row[" "] for row in rows):
        console.print(Text(SAME, style="dim"))
    if any(one.result.verdict == "marginal" for one in best):
        console.print(Text(MARGINAL, style="dim"))


def _columns(found: FitAnswer, one: Summary) -> dict[str, str]:
    """The cells of one result by column, short enough for a terminal of 80 columns."""
    said = one.inputs
    sized = found.max_devices is not None or len(found.devices or ()) > 1
    head = {word: str(said[word]) if _several(found, word) else "" for word in ABOUT}
    head["devs"] = str(said["devices"]) if sized else ""
    memory = {"GiB": plain(one.peak_bytes.value / GIB) + ("?" if one.verdict == "marginal" else " ")}
    if serves(found):
        return head | _serving_columns(found, one) | memory
    return {
        **head,
        "prec": said["precision"] if _open(found, "precision") else "",
        **{name: str(said[name]) for name in ("tp", "pp", "vp", "cp", "ep", "dp", "zero")},
        "mb": str(said["micro_batch"]),
        "redo": f"{said['recompute'][:4]} {said.get('recompute_layers', '')}".rstrip(),
        "sp": "yes" if said["sequence_parallel"] else "",
        "host": "yes" if said["offload_optimizer"] else "",
        "step": time_text(one.step_seconds),
        "tokens/s": count(one.tokens_per_second.value) if one.tokens_per_second else "",
        "MFU": f"{one.mfu:.1%}",
        **memory,
    }


def _serving_columns(found: FitAnswer, one: Summary) -> dict[str, str]:
    said, rate = one.inputs, one.output_tokens_per_second
    return {
        **{name: str(said.get(name, 1)) for name in ("tp", "pp", "cp", "ep", "dp", "dcp")},
        "read by": read_by(said),
        "batch": str(said.get("batch", "")),
        "weights": said["weight_precision"] if _open(found, "weight_precision") else "",
        "cache": said["kv_precision"] if _open(found, "kv_precision") else "",
        "TTFT": time_text(one.ttft_seconds),
        "TPOT": time_text(one.tpot_seconds),
        **dict(_limited_shares(one)),
        "out/s": count(rate.value) if rate else "",
        "most req/s": plain(one.capacity_requests_per_second or 0.0),
        "load": f"{one.utilization:.0%}" if "request_rate" in said else "",
    }


def _limited_shares(one: Summary) -> Iterator[tuple[str, str]]:
    """What so many of 100 requests stay within, where that is limited: `TTFT p95`."""
    for name, (figure, share) in TARGETS.items():
        if share is not None and name in one.inputs:
            within = getattr(getattr(one, f"{figure}_seconds"), f"p{share}", None)
            title = figure if figure == "request" else figure.upper()
            yield f"{title} p{share}", "" if within is None else step_time(within)


def _open(found: FitAnswer, word: str) -> bool:
    """Whether several values of an option were compared."""
    return "," in str(found.inputs.get(word, ""))


def value_text(values: Mapping[str, float]) -> str:
    """An objective with its unit, for people."""
    ((key, value),) = values.items()
    if key == "headroom_bytes":
        return f"{plain(value / GIB)} GiB free"
    return duration(value) if key.endswith("_seconds") else f"{plain(value)} {_UNITS.get(key, key)}"


def print_rows(console: Console, rows: Sequence[dict[str, str]]) -> None:
    """A table without uninformative columns: empty ones, and degrees that are 1 everywhere."""
    if not rows:
        return
    silent = {name for name in rows[0] if _says_nothing(name, rows)}
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    names = [name for name in rows[0] if name not in silent or name == ""]
    for name in names:
        table.add_column(name, justify="left" if name in _TEXTS else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(row[name] for name in names))
    console.print(table)


def _says_nothing(name: str, rows: Sequence[Mapping[str, str]]) -> bool:
    """Whether a column is empty, or a degree that is 1 everywhere."""
    return {row[name] for row in rows} <= ({"1"} if name in _ONES else {""})


def _print_front(console: Console, found: FitAnswer, front: FrontAnswer) -> None:
    points = front.results
    console.print(Text(f"Pareto front of {' and '.join(front.objectives)} ({len(points)})", style="bold"))
    step = max(1, -(-len(points) // SHOWN_OF_FRONT))
    rows = []
    for one in points[::step]:
        values = zip(front.objectives, one.objectives.items(), strict=True)
        rows.append({f"by {name}": value_text(dict([pair])) for name, pair in values} | _columns(found, one))
    print_rows(console, rows)
    if step > 1:
        console.print(Text(f"one in {step} is shown; --json has all", style="dim"))


def sheet(found: FitAnswer, file: str = "", line: int | None = None) -> Sheet:
    """The best layouts as rows; annotations name the first, or say why there is none."""
    rows, annotations = [], []
    for number, one in enumerate(found.results, 1):
        shown = _columns(found, summarized(one))
        same = isinstance(one, Ranked) and one.rank > 1 and one.as_good_within_error
        cells = {"rank": f"{number}{' =' if same else ''}"} | {name: cell.strip() for name, cell in shown.items()}
        if isinstance(one, Ranked) and found.objective in ("cost", "time"):
            cells[found.objective] = value_text(one.objective)
        rows.append((one, cells))
    silent = {name for name in rows[0][1] if _says_nothing(name, [cells for _, cells in rows])} if rows else set()
    if rows:
        annotations.append(Annotation("notice", f"best {found.objective}", plan_text(summarized(rows[0][0]))))
    else:
        reason = most_line(found) if found.maximize or found.minimize else "\n".join(nothing_lines(found))
        annotations.append(Annotation("error", "nothing was found", reason))
    lines = [
        SheetRow(
            name=name, cells={head: cell for head, cell in cells.items() if head not in silent}, data=one,
            annotations=tuple(annotations) if number == 0 else (), file=file, line=line,
        )
        for number, ((one, cells), name) in enumerate(zip(rows, names(found), strict=True))
    ]  # fmt: skip
    notes = [SAME] if any(cells["rank"].endswith("=") for _, cells in rows) else []
    notes += [MARGINAL] if any(one.result.verdict == "marginal" for one, _ in rows) else []
    counted = [] if found.search is None else [searched(found)]
    return Sheet(lines=lines, notes=[*notes, *counted], named=False, annotations=() if rows else tuple(annotations))


def names(found: FitAnswer) -> list[str]:
    """Labels of the results in a chart: the layout, and the number of devices where it varies."""
    sized = found.max_devices is not None or len(found.devices or ()) > 1
    found_names = []
    for one in found.results:
        size, _, rest = plan_text(summarized(one)).partition(", ")
        layout = rest.partition(", TTFT")[0] if serves(found) else rest.rpartition(", ")[0]
        found_names.append(f"{size}, {layout}" if sized else layout)
    return found_names
