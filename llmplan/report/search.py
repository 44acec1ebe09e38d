"""Answers of `fit` as tables and as rows: the best layouts, the Pareto front, or why nothing fits and what would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from llmplan.formatting import count, duration
from llmplan.report.console import on_stdout
from llmplan.report.limits import target_text
from llmplan.report.search_text import (
    most_line,
    nothing_lines,
    plan_text,
    searched,
    serves,
    sizes,
    why,
)
from llmplan.report.sheet import Annotation, Sheet, SheetRow
from llmplan.search.answering import summarized
from llmplan.search.answers import Ranked
from llmplan.search.choices import names_of
from llmplan.serving.targets import TARGETS
from llmplan.training.choose import NEAR

if TYPE_CHECKING:
    from rich.console import Console

    from llmplan.search.answers import FitAnswer, FrontAnswer, SubjectAnswer
from llmplan.report.search_columns import ABOUT, MARGINAL, SAME, TEXTS, columns_of, says_nothing, several, value_text

SHOWN_OF_FRONT = 20
WIDE = 120  # columns where nobody's terminal limits them


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


def _prompt(inputs: dict[str, Any]) -> Iterator[str]:
    """The contents of a prompt: tokens, images, sound."""
    if inputs.get("input_tokens"):
        yield f"{inputs['input_tokens']:g} tokens"
    if inputs.get("images"):
        yield f"{inputs['images']} images of {inputs['image_size']}"
    if inputs.get("audio_seconds"):
        yield f"{inputs['audio_seconds']:g} s of sound"


def _subject(found: FitAnswer) -> Text:
    first = found.results[0]
    inputs, model = first.inputs, first.result.model
    if serves(found):
        load = f"{inputs['request_rate']:g} requests/s" if "request_rate" in inputs else f"{inputs['load']} load"
        targets = [f", {target_text(name)} at most {duration(inputs[name])}" for name in TARGETS if name in inputs]
        tokens = f"{' and '.join(_prompt(inputs))} in"
        work = f"{load} of {tokens} and {inputs['output_tokens']:g} out{''.join(targets)}"
    else:
        work = f"{inputs['workload']}, {inputs['global_batch']} x {inputs['seq_len']} tokens a step"
    cluster = "" if several(found, "hardware") else f" in {inputs['cluster']}"
    return Text.assemble(
        (model.name, "bold"), f" ({count(model.parameters)}) on {sizes(found)} x ",
        (_names(found, "hardware"), "bold"), f"{cluster}, {_names(found, 'stack')} stack; {work}; ",
        (f"best {found.objective}", "bold"),
    )  # fmt: skip


def _names(found: FitAnswer, option: str) -> str:
    """`h100 or h200`: the names that were compared, or the only one."""
    if not several(found, option):
        return str(found.results[0].inputs[option])
    *names, last = names_of(option, found.inputs[option])
    return f"{', '.join(names)} or {last}" if names else last


def _print_each(console: Console, found: FitAnswer, each: Sequence[SubjectAnswer]) -> None:
    """The best layout of every device and stack, then those without an answer, and why."""
    console.print(Text("Each at its best:"))
    rows = []
    for one in each:
        if one.objective is not None:
            mark = "=" if one.rank != 1 and one.as_good_within_error else ""
            value = {found.objective or "": value_text(one.objective)}
            rows.append({"": str(one.rank), " ": mark, **columns_of(found, one), **value})
    print_rows(console, rows)
    for line in _behind(found, each):
        console.print(Text(line))


def _behind(found: FitAnswer, each: Sequence[SubjectAnswer]) -> Iterator[str]:
    """Devices and stacks without an answer: the nearest miss of each, and why it misses."""
    for one in each:
        if not one.does:
            name = " with ".join(str(one.inputs[word]) for word in ABOUT if several(found, word))
            yield f"x  {name}: {plan_text(one)}: {why(found, one)}"


def _print_ranked(console: Console, found: FitAnswer, best: Sequence[Ranked]) -> None:
    """A row each; `=` marks those whose band overlaps the band of the first."""
    rows = []
    for one in best:
        same = "=" if one.rank > 1 and one.as_good_within_error else ""
        money = {found.objective or "": value_text(one.objective)} if found.objective in ("cost", "time") else {}
        rows.append({"": str(one.rank), " ": same, **columns_of(found, summarized(one)), **money})
    print_rows(console, rows)
    if any(row[" "] for row in rows):
        console.print(Text(SAME, style="dim"))
    if any(one.result.verdict == "marginal" for one in best):
        console.print(Text(MARGINAL, style="dim"))


def print_rows(console: Console, rows: Sequence[dict[str, str]]) -> None:
    """A table without uninformative columns: empty ones, and degrees that are 1 everywhere."""
    if not rows:
        return
    silent = {name for name in rows[0] if says_nothing(name, rows)}
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    names = [name for name in rows[0] if name not in silent or name == ""]
    for name in names:
        table.add_column(name, justify="left" if name in TEXTS else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(row[name] for name in names))
    console.print(table)


def _print_front(console: Console, found: FitAnswer, front: FrontAnswer) -> None:
    points = front.results
    console.print(Text(f"Pareto front of {' and '.join(front.objectives)} ({len(points)})", style="bold"))
    step = max(1, -(-len(points) // SHOWN_OF_FRONT))
    rows = []
    for one in points[::step]:
        values = zip(front.objectives, one.objectives.items(), strict=True)
        rows.append({f"by {name}": value_text(dict([pair])) for name, pair in values} | columns_of(found, one))
    print_rows(console, rows)
    if step > 1:
        console.print(Text(f"one in {step} is shown; --json has all", style="dim"))


def sheet(found: FitAnswer, file: str = "", line: int | None = None) -> Sheet:
    """The best layouts as rows; annotations name the first, or say why there is none."""
    rows, annotations = [], []
    for number, one in enumerate(found.results, 1):
        shown = columns_of(found, summarized(one))
        same = isinstance(one, Ranked) and one.rank > 1 and one.as_good_within_error
        cells = {"rank": f"{number}{' =' if same else ''}"} | {name: cell.strip() for name, cell in shown.items()}
        if isinstance(one, Ranked) and found.objective in ("cost", "time"):
            cells[found.objective] = value_text(one.objective)
        rows.append((one, cells))
    silent = {name for name in rows[0][1] if says_nothing(name, [cells for _, cells in rows])} if rows else set()
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
