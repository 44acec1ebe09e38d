"""Answers of `fit` for people, and in rows: the best, the Pareto front, or why there is none and what would do."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmplan.formatting import binary, count, duration, plain, step_time
from llmplan.report.limits import target_text, written
from llmplan.report.sheet import Mark, Sheet, SheetRow
from llmplan.report.verdict import degrees, part_name, recomputed
from llmplan.search.answers import Miss, Ranked, summarized
from llmplan.search.choices import is_open, names_of
from llmplan.search.serving import BEHIND, LOAD, PLACES
from llmplan.search.space import REASONS
from llmplan.search.training import HOST, MEMORY
from llmplan.serving.targets import TARGETS
from llmplan.software.band import Interval
from llmplan.training.choose import NEAR

if TYPE_CHECKING:
    from llmplan.answer.answer import Answer
    from llmplan.search.answers import FitAnswer, FrontAnswer, MinimizeAnswer, SubjectAnswer, Summary

GIB = 2.0**30
SAME = "= as good within the error: its band overlaps the first's"
MARGINAL = "? marginal: the limit lies inside the memory's band"
SHOWN_OF_FRONT = 20
_ONES = ("vp", "cp", "ep")  # degrees whose column is left out where all are 1
_TEXTS = ("hardware", "stack", "", "prec", "redo", "sp", "host", "weights", "cache", " ")
WIDE = 120  # columns where nobody's terminal limits them
_ESTIMATED = {
    MEMORY: "they need more memory than a device has", HOST: "offloaded states exceed the host's memory",
    BEHIND: "they come behind by the objective, and their requests were not simulated",
    LOAD: "they do not keep up with the request rate", PLACES: "they have fewer places than requests in flight",
}  # fmt: skip
ABOUT = ("hardware", "stack")
"""Columns of what is compared where several devices or stacks were asked about."""
_UNITS = {
    "tokens_per_second": "tokens/s", "output_tokens_per_second": "tokens/s", "run_usd": "USD", "usd_per_hour": "USD/h",
    "usd_per_million_tokens": "USD/Mtok", "usd_per_million_output_tokens": "USD/Mtok", "devices": "devices",
}  # fmt: skip


def print_found(found: FitAnswer, to: Console | None = None) -> None:
    """Subject, the best, the front, what was searched and what was assumed; on stdout where no console is given."""
    best = [one for one in found.results if isinstance(one, Ranked)]
    with _printed(to) as console:
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
        if found.nothing_surely_fits and not _serves(found):
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


@contextmanager
def _printed(given: Console | None = None) -> Iterator[Console]:
    """A console whose lines go to stdout at the end, without the blanks that rich fills them up with; or the given."""
    if given is not None:
        yield given
        return
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    with console.capture() as captured:
        yield console
    for line in captured.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def _serves(found: FitAnswer) -> bool:
    return found.inputs.get("workload") == "serve"


def _sizes(found: FitAnswer) -> str:
    """How many devices were tried."""
    sizes = found.devices or ()
    if found.max_devices is not None:
        return f"up to {found.max_devices}"
    return f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else str(*sizes)


def _prompt(said: dict[str, Any]) -> Iterator[str]:
    """What a prompt holds."""
    if said.get("input_tokens"):
        yield f"{said['input_tokens']:g} tokens"
    if said.get("images"):
        yield f"{said['images']} images of {said['image_size']}"
    if said.get("audio_seconds"):
        yield f"{said['audio_seconds']:g} s of sound"


def _subject(found: FitAnswer) -> Text:
    first = found.results[0]
    said, model = first.inputs, first.result.model
    if _serves(found):
        load = f"{said['request_rate']:g} requests/s" if "request_rate" in said else f"{said['load']} load"
        targets = [f", {target_text(name)} at most {duration(said[name])}" for name in TARGETS if name in said]
        tokens = f"{' and '.join(_prompt(said))} in"
        work = f"{load} of {tokens} and {said['output_tokens']:g} out{''.join(targets)}"
    else:
        work = f"{said['workload']}, {said['global_batch']} x {said['seq_len']} tokens a step"
    cluster = "" if _several(found, "hardware") else f" in {said['cluster']}"
    return Text.assemble(
        (model.name, "bold"), f" ({count(model.parameters)}) on {_sizes(found)} x ",
        (_names(found, "hardware"), "bold"), f"{cluster}, {_names(found, 'stack')} stack; {work}; ",
        (f"best {found.objective}", "bold"),
    )  # fmt: skip


def _several(found: FitAnswer, word: str) -> bool:
    """Whether several devices, or stacks, were asked about."""
    return word in found.inputs and is_open(word, found.inputs[word])


def _names(found: FitAnswer, word: str) -> str:
    """`h100 or h200`: what was asked about, or the one there is."""
    if not _several(found, word):
        return str(found.results[0].inputs[word])
    *names, last = names_of(word, found.inputs[word])
    return f"{', '.join(names)} or {last}" if names else last


def _print_each(console: Console, found: FitAnswer, each: Sequence[SubjectAnswer]) -> None:
    """Every device and stack at its best; below, those of which nothing does, and why."""
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
    """Devices and stacks of which nothing does, what of them misses by least, and why."""
    for one in each:
        if not one.does:
            name = " with ".join(str(one.inputs[word]) for word in ABOUT if _several(found, word))
            yield f"x  {name}: {plan_text(one)}: {_why(found, one)}"


def _print_ranked(console: Console, found: FitAnswer, best: Sequence[Ranked]) -> None:
    """A line each; `=` marks those whose band overlaps the first's."""
    rows = []
    for one in best:
        same = "=" if one.rank > 1 and one.as_good_within_error else ""
        money = {found.objective or "": value_text(one.objective)} if found.objective in ("cost", "time") else {}
        rows.append({"": str(one.rank), " ": same, **_columns(found, summarized(one)), **money})
    print_rows(console, rows)
    if len(best) > 1:
        console.print(Text(SAME, style="dim"))
    if any(one.result.verdict == "marginal" for one in best):
        console.print(Text(MARGINAL, style="dim"))


def _columns(found: FitAnswer, one: Summary) -> dict[str, str]:
    """What a table says of one, by column; short, so that all of it stands in 80 columns."""
    said = one.inputs
    sized = found.max_devices is not None or len(found.devices or ()) > 1
    head = {word: str(said[word]) if _several(found, word) else "" for word in ABOUT}
    head["devs"] = str(said["devices"]) if sized else ""
    memory = {"GiB": plain(one.peak_bytes.value / GIB) + ("?" if one.verdict == "marginal" else " ")}
    if _serves(found):
        return head | _serving_columns(found, one) | memory
    return {
        **head,
        "prec": said["precision"] if _open(found, "precision") else "",
        **{name: str(said[name]) for name in ("tp", "pp", "vp", "cp", "ep", "dp", "zero")},
        "mb": str(said["micro_batch"]),
        "redo": f"{said['recompute'][:4]} {said.get('recompute_layers', '')}".rstrip(),
        "sp": "yes" if said["sequence_parallel"] else "",
        "host": "yes" if said["offload_optimizer"] else "",
        "step": _time(one.step_seconds),
        "tokens/s": count(one.tokens_per_second.value) if one.tokens_per_second else "",
        "MFU": f"{one.mfu:.1%}",
        **memory,
    }


def _serving_columns(found: FitAnswer, one: Summary) -> dict[str, str]:
    said, rate = one.inputs, one.output_tokens_per_second
    return {
        **{name: str(said[name]) for name in ("tp", "pp", "ep", "dp")},
        "read by": f"tp {said['prefill_tp']} dp {said['prefill_dp']}" if "prefill_devices" in said else "",
        "batch": str(said.get("batch", "")),
        "weights": said["weight_precision"] if _open(found, "weight_precision") else "",
        "cache": said["kv_precision"] if _open(found, "kv_precision") else "",
        "TTFT": _time(one.ttft_seconds),
        "TPOT": _time(one.tpot_seconds),
        "out/s": count(rate.value) if rate else "",
        "most req/s": plain(one.capacity_requests_per_second or 0.0),
        "load": f"{one.utilization:.0%}" if "request_rate" in said else "",
    }


def _open(found: FitAnswer, word: str) -> bool:
    """Whether several values of a word were compared."""
    return "," in str(found.inputs.get(word, ""))


def _time(value: Interval | None) -> str:
    return "" if value is None else step_time(value.value)


def value_text(values: Mapping[str, float]) -> str:
    """An objective with its unit, for people."""
    ((key, value),) = values.items()
    if key == "headroom_bytes":
        return f"{plain(value / GIB)} GiB free"
    return duration(value) if key.endswith("_seconds") else f"{plain(value)} {_UNITS.get(key, key)}"


def print_rows(console: Console, rows: Sequence[dict[str, str]]) -> None:
    """A table without the columns that say nothing: empty ones, and degrees that are 1 everywhere."""
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


def searched(found: FitAnswer) -> str:
    """How many there were, how many fit, how many keep the limits."""
    counts = found.search
    assert counts is not None  # `--maximize` has none, and is not printed here
    kept = f", {counts.kept} keep the limits" if counts.kept != counts.fitting else ""
    what = "deployments" if _serves(found) else "layouts"
    return f"{counts.considered} {what} considered, {counts.legal} legal and estimated, {counts.fitting} fit{kept}"


def nothing_lines(found: FitAnswer) -> Iterator[str]:
    """That nothing was found, why, what misses by least, and what would do."""
    what = "deployment" if _serves(found) else "layout"
    subject = f"{found.inputs['model']} on {_sizes(found)} x {found.inputs['hardware']}"
    yield f"no {what} of {subject} does it; {searched(found)}"
    yield from _removed_lines(found)
    if found.nearest_misses:
        yield "nearest misses:"
        for miss in found.nearest_misses:
            yield f"  {plan_text(miss)}: {_why(found, miss)}"
    yield "what would do:" if found.changes else "nothing that was tried would do"
    for one in found.changes or ():
        yield f"  {one.change}: {plan_text(one)}, {plain(one.peak_bytes.value / GIB)} GiB"


def _removed_lines(found: FitAnswer) -> Iterator[str]:
    """What stood in the way of how many, the most first."""
    assert found.search is not None
    texts, limits = {**REASONS, **_ESTIMATED}, found.limits or {}
    for reason, number in sorted(found.search.removed.items(), key=lambda item: -item[1]):
        most = limits.get(reason)
        limit = "" if most is None or most is True else f" {written(reason, float(most))}"
        yield f"  {number} of {found.search.considered}: " + (
            texts.get(reason) or f"they miss {_option(reason)}{limit}"
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def plan_text(one: Summary) -> str:
    """`16 devices, tp 4 dp 4, mb 2 zero 1, 2.1 s a step`, or with the times and the capacity of a deployment."""
    said = one.inputs
    layout = " ".join([*degrees(said), f"dp {said['dp']}"])
    if one.step_seconds is None:
        if "prefill_devices" in said:
            layout += f", prompts on tp {said['prefill_tp']} dp {said['prefill_dp']}"
        tpot = f", TPOT {_time(one.tpot_seconds)}" if one.tpot_seconds else ""
        most = f"at most {plain(one.capacity_requests_per_second or 0.0)} requests/s"
        return f"{said['devices']} devices, {layout}, TTFT {_time(one.ttft_seconds)}{tpot}, {most}"
    more = [f"mb {said['micro_batch']}", f"zero {said['zero']}"]
    more += [recomputed(said)] if said["recompute"] != "none" else []
    more += [word for word, name in (("sp", "sequence_parallel"), ("offload", "offload_optimizer")) if said[name]]
    return f"{said['devices']} devices, {layout}, {' '.join(more)}, {_time(one.step_seconds)} a step"


def _why(found: FitAnswer, one: Miss | SubjectAnswer) -> str:
    """By how much it misses."""
    peak, usable = one.peak_bytes, one.usable_bytes
    if peak.value > usable:
        memory = f"{binary(peak.value, 3)} of {binary(usable, 3)}"
        over = binary(peak.value - usable, 3)
        part = f"; the largest part is {part_name(one.largest_part)}" if isinstance(one, Miss) else ""
        return f"{memory}, {over} too much{part}"
    if one.stable is False:
        return "does not keep up with the request rate"
    missed = [
        f"{_option(name)} {written(name, limit.limit)} ({written(name, limit.value)})"
        for name, limit in one.limits.items()
        if not limit.kept and limit.value is not None
    ]
    if (found.limits or {}).get("surely") and one.verdict != "fits":
        missed.append(f"--surely (the memory band reaches {binary(peak.high, 3)} of {binary(usable, 3)})")
    return f"misses {', '.join(missed) or 'a limit'}"


def most_line(found: FitAnswer) -> str:
    """`micro_batch 6 is the most that fits; 7 would need 81.2 GiB`."""
    if found.minimize is not None:
        return _least_line(found.minimize)
    most = found.maximize
    assert most is not None
    does = "has places in memory and meets the targets" if _serves(found) else "fits"
    if most.value is None:
        return f"not even {most.word} 1 {does} at this layout"
    text = f"{most.word} {most.value} is the most that {does}"
    if _serves(found):
        return text + (_context(found.results[0]) if most.word == "input_tokens" else "")
    if most.next is None or most.next.peak_bytes is None:
        return f"{text}: the global batch allows no more" if most.word == "micro_batch" else text
    usable = binary(found.results[0].result.memory.usable_bytes)
    return f"{text}; {most.next.value} would need {binary(most.next.peak_bytes)}, and {usable} are usable"


def _context(found: Answer) -> str:
    """The whole context of a longest prompt, and what the model was made for."""
    whole = found.inputs.get("input_tokens", 0.0) + found.inputs["output_tokens"]
    limit = found.result.model.max_context
    made_for = f"; the model was made for {limit}" if limit is not None and whole > limit else ""
    return f": a context of {whole:.0f} tokens with the answer{made_for}"


def _least_line(least: MinimizeAnswer) -> str:
    if least.value is None:
        return f"not even {least.word} 1 has places in memory and meets the targets"
    return f"{least.word} {least.value:g} is the least that has places in memory and meets the targets"


def sheet(found: FitAnswer, file: str = "", line: int | None = None) -> Sheet:
    """The best layouts in rows; a workflow is told the first, or that there is none and why."""
    rows, marks = [], []
    for number, one in enumerate(found.results, 1):
        shown = _columns(found, summarized(one))
        same = isinstance(one, Ranked) and one.rank > 1 and one.as_good_within_error
        cells = {"rank": f"{number}{' =' if same else ''}"} | {name: cell.strip() for name, cell in shown.items()}
        if isinstance(one, Ranked) and found.objective in ("cost", "time"):
            cells[found.objective] = value_text(one.objective)
        rows.append((one, cells))
    silent = {name for name in rows[0][1] if _says_nothing(name, [cells for _, cells in rows])} if rows else set()
    if rows:
        marks.append(Mark("notice", f"best {found.objective}", plan_text(summarized(rows[0][0]))))
    else:
        why = most_line(found) if found.maximize or found.minimize else "\n".join(nothing_lines(found))
        marks.append(Mark("error", "nothing was found", why))
    lines = [
        SheetRow(
            name=name, cells={head: cell for head, cell in cells.items() if head not in silent}, data=one,
            marks=tuple(marks) if number == 0 else (), file=file, line=line,
        )
        for number, ((one, cells), name) in enumerate(zip(rows, names(found), strict=True))
    ]  # fmt: skip
    notes = [SAME] if any(cells["rank"].endswith("=") for _, cells in rows) else []
    notes += [MARGINAL] if any(one.result.verdict == "marginal" for one, _ in rows) else []
    counted = [] if found.search is None else [searched(found)]
    return Sheet(lines=lines, notes=[*notes, *counted], named=False, marks=() if rows else tuple(marks))


def names(found: FitAnswer) -> list[str]:
    """What each of the best is called in a picture: its layout, and its devices where they differ."""
    sized = found.max_devices is not None or len(found.devices or ()) > 1
    found_names = []
    for one in found.results:
        size, _, rest = plan_text(summarized(one)).partition(", ")
        layout = rest.partition(", TTFT")[0] if _serves(found) else rest.rpartition(", ")[0]
        found_names.append(f"{size}, {layout}" if sized else layout)
    return found_names
