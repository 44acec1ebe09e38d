"""Answers of `fit` for people: the best layouts, the Pareto front, or why there is none and what would do."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmplan.formatting import binary, count, duration, plain, step_time
from llmplan.report.verdict import degrees, largest_part
from llmplan.search.goal import objective_value
from llmplan.search.space import REASONS
from llmplan.search.training import HOST, MEMORY, NEAR, as_good

if TYPE_CHECKING:
    from llmplan.search.advice import Change
    from llmplan.search.most import Most
    from llmplan.search.training import Counts, Found, Search
    from llmplan.training.estimate import TrainingEstimate

GIB = 2.0**30
SHOWN_OF_FRONT = 20
_DEGREES = ("vp", "cp", "ep")
_TEXTS = ("prec", "redo", "sp", "host", "weights", "cache", " ")
WIDE = 120  # columns where nobody's terminal limits them
_ESTIMATED = {MEMORY: "they need more memory than a device has", HOST: "offloaded states exceed the host's memory"}
_UNITS = {"tokens_per_second": "tokens/s", "run_usd": "USD", "usd_per_million_tokens": "USD/Mtok", "devices": "devices"}


def print_found(asked: Search, found: Found, told: Sequence[str]) -> None:
    """Subject, the best layouts, the front, what was searched and what was assumed, on stdout."""
    with printed() as console:
        console.print(_subject(asked))
        console.print()
        _print_ranked(console, asked, found.best)
        if found.simple is not None:
            console.print()
            console.print(Text(f"The simplest within {NEAR:.0%} of the best:"))
            _print_ranked(console, asked, [found.simple])
        if found.sure is not None and found.best[0].verdict != "fits":
            console.print()
            console.print(Text("The best that fits with its whole band:"))
            _print_ranked(console, asked, [found.sure])
        if found.sure is None:
            console.print()
            sized = f" on {found.best[0].plan.devices} devices" if asked.first_size else ""
            console.print(Text(f"Nothing{sized} fits with its whole band; --surely searches for what does."))
        if asked.pareto is not None:
            console.print()
            _print_front(console, asked, found.pareto)
        console.print()
        console.print(Text(searched(found.counts)))
        if told:
            console.print()
            console.print(Text("Assumed", style="bold"))
            for sentence in told:
                console.print(Text(f"  - {sentence}"))


@contextmanager
def printed() -> Iterator[Console]:
    """A console whose lines go to stdout at the end, without the blanks that rich fills them up with."""
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    with console.capture() as captured:
        yield console
    for line in captured.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def _subject(asked: Search) -> Text:
    base, sizes = asked.bases[0], asked.devices
    many = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    work = base.workload
    return Text.assemble(
        (base.model.name, "bold"), f" ({count(base.model.parameters)}) on {many} x ", (base.device.id, "bold"),
        f" in {base.cluster.id}, {base.stack.id} stack; {work.workload}, "
        f"{work.global_batch} x {work.seq_len} tokens a step; ",
        (f"best {asked.goal.objective}", "bold"),
    )  # fmt: skip


def layout_text(one: TrainingEstimate) -> str:
    """`tp 4 pp 8 dp 16`: degrees above one, and dp."""
    layout = one.plan.layout
    return " ".join([*degrees(layout), f"dp {layout.dp}"])


def extras_text(one: TrainingEstimate) -> str:
    """`mb 2 zero 1 recompute full sp`: what goes with the degrees."""
    layout = one.plan.layout
    parts = [f"mb {layout.micro_batch}", f"zero {layout.zero}"]
    if layout.recompute != "none":
        parts.append(f"recompute {layout.recompute}")
    if layout.sequence_parallel:
        parts.append("sp")
    return " ".join([*parts, *(["offload"] if layout.offload_optimizer else [])])


def value_text(values: dict[str, float]) -> str:
    """An objective with its unit, for people."""
    ((key, value),) = values.items()
    if key == "headroom_bytes":
        return f"{plain(value / GIB)} GiB free"
    return duration(value) if key.endswith("_seconds") else f"{plain(value)} {_UNITS[key]}"


def _print_ranked(console: Console, asked: Search, found: Sequence[TrainingEstimate]) -> None:
    """A line a layout; `=` marks those whose band overlaps the first's."""
    if not found:
        return
    goal, money = asked.goal, asked.goal.objective in ("cost", "time")
    rows = []
    for rank, one in enumerate(found, 1):
        row = {"": str(rank), " ": "=" if rank > 1 and as_good(goal, found[0], one) else "", **_columns(asked, one)}
        rows.append(row | ({goal.objective: value_text(objective_value(goal, goal.objective, one))} if money else {}))
    print_rows(console, rows)
    legend = ["= as good within the error: its band overlaps the first's"] if len(found) > 1 else []
    legend += (
        ["? marginal: the limit lies inside the memory's band"] if any(x.verdict == "marginal" for x in found) else []
    )
    for line in legend:
        console.print(Text(line, style="dim"))


def _columns(asked: Search, one: TrainingEstimate) -> dict[str, str]:
    """What a table says of one layout, by column; short, so that all of it stands in 80 columns."""
    layout = one.plan.layout
    return {
        "devs": str(one.plan.devices) if len(asked.devices) > 1 else "",
        "prec": one.plan.workload.precision if len(asked.bases) > 1 else "",
        **{name: str(getattr(layout, name)) for name in ("tp", "pp", "vp", "cp", "ep", "dp", "zero")},
        "mb": str(layout.micro_batch),
        "redo": layout.recompute[:4],
        "sp": "yes" if layout.sequence_parallel else "",
        "host": "yes" if layout.offload_optimizer else "",
        "step": step_time(one.step.value),
        "tokens/s": count(one.tokens_per_second.value),
        "MFU": f"{one.mfu:.1%}",
        "GiB": plain(one.peak.value / GIB) + ("?" if one.verdict == "marginal" else " "),
    }


def print_rows(console: Console, rows: Sequence[dict[str, str]]) -> None:
    """A table without the columns that say nothing: empty ones, and degrees that are 1 everywhere."""
    if not rows:
        return
    silent = {name for name in rows[0] if {row[name] for row in rows} <= ({"1"} if name in _DEGREES else {""})}
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    names = [name for name in rows[0] if name not in silent or name == ""]
    for name in names:
        table.add_column(name, justify="left" if name in _TEXTS else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(row[name] for name in names))
    console.print(table)


def _print_front(console: Console, asked: Search, found: Sequence[TrainingEstimate]) -> None:
    assert asked.pareto is not None
    console.print(Text(f"Pareto front of {' and '.join(asked.pareto)} ({len(found)} layouts)", style="bold"))
    step = max(1, -(-len(found) // SHOWN_OF_FRONT))
    rows = []
    for one in found[::step]:
        values = {f"by {name}": value_text(objective_value(asked.goal, name, one)) for name in asked.pareto}
        rows.append(values | _columns(asked, one))
    print_rows(console, rows)
    if step > 1:
        console.print(Text(f"one in {step} is shown; --json has all", style="dim"))


def searched(counts: Counts, what: str = "layouts") -> str:
    """How many layouts there were, how many fit, and in what time."""
    rate = counts.legal / counts.seconds if counts.seconds else 0.0
    return (
        f"{counts.considered} {what} considered, {counts.legal} legal and estimated, {counts.fitting} fit"
        f"{f', {counts.kept} keep the limits' if counts.kept != counts.fitting else ''}; "
        f"{duration(counts.seconds)}, {plain(rate)} a second"
    )


def removed_lines(asked: Search, counts: Counts) -> list[str]:
    """What stood in the way of how many layouts, the most first."""
    texts = {**REASONS, **_ESTIMATED}
    limits = asked.goal.given()
    lines = []
    for reason, number in counts.removed.most_common():
        if number:
            text = (
                texts.get(reason) or f"they miss --{reason.replace('_', '-')} {_limit(reason, limits[reason])}".rstrip()
            )
            lines.append(f"  {number} of {counts.considered}: {text}")
    return lines


def _limit(name: str, value: Any) -> str:
    if value is True:
        return ""
    return binary(value, 3) if name == "max_memory" else f"{value:g}"


def nothing_lines(asked: Search, found: Found, changes: Sequence[Change]) -> list[str]:
    """That nothing was found, why, what misses by least, and what would do."""
    sizes = asked.devices
    many = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    base = asked.bases[0]
    lines = [f"no layout of {base.model.name} on {many} x {base.device.id} does it; {searched(found.counts)}"]
    lines += removed_lines(asked, found.counts)
    if found.misses:
        lines.append("nearest misses:")
        lines += [f"  {_miss(asked, one)}" for one in found.misses]
    lines.append("what would do:" if changes else "nothing that was tried would do")
    for change in changes:
        one = change.best
        lines.append(
            f"  {change.sentence}: {one.plan.devices} devices, {layout_text(one)}, {extras_text(one)}, "
            f"{plain(one.peak.value / GIB)} GiB, {step_time(one.step.value)} a step"
        )
    return lines


def _miss(asked: Search, one: TrainingEstimate) -> str:
    over = one.peak.value - one.usable_bytes
    where = f"{one.plan.devices} devices, {layout_text(one)}, {extras_text(one)}"
    if over > 0:
        memory = f"{binary(one.peak.value, 3)} of {binary(one.usable_bytes, 3)}"
        return f"{where}: {memory}, {binary(over, 3)} too much; the largest part is {largest_part(one)}"
    late = asked.goal.longest_steps(one.plan, one.plan.devices)
    broken = []
    for name, most in late.items():
        if one.step.value > most:
            much = "dear" if name == "max_cost" else "slow"
            broken.append(f"{name.replace('_', '-')} ({plain(one.step.value / most)} times too {much})")
    allowed = asked.goal.limits.max_memory
    if allowed is not None and one.peak.value > allowed:
        broken.append(f"max-memory ({binary(one.peak.value, 3)} of {binary(allowed, 3)})")
    if asked.goal.surely and one.verdict != "fits":
        broken.append(f"surely (the memory band reaches {binary(one.peak.high, 3)} of {binary(one.usable_bytes, 3)})")
    return f"{where}: fits, {step_time(one.step.value)} a step; misses {', '.join(broken)}"


def most_line(found: Most) -> str:
    """`micro_batch 6 is the most that fits; 7 would need 81.2 GiB of 79.1 GiB`."""
    usable = binary(found.estimate.usable_bytes)
    serving = found.estimate.plan.workload is not None
    if found.value is None:
        return (
            f"not even {found.word} 1 {'does' if serving else 'fits'} at this layout; {usable} of a device are usable"
        )
    does = "has places in memory and meets the targets" if serving else "fits"
    text = f"{found.word} {found.value} is the most that {does}"
    if serving:
        return text
    if found.beyond is None or found.beyond_peak is None:
        return f"{text}: the global batch allows no more" if found.word == "micro_batch" else text
    return f"{text}; {found.beyond} would need {binary(found.beyond_peak)}, and {usable} are usable"
