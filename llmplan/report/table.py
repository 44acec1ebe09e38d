"""An estimate for people: who, where and how; memory and time by part with bars; the verdict; what was assumed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmplan.answer.bottleneck import bottleneck
from llmplan.formatting import binary, decimal, plain, step_time
from llmplan.report.bottleneck import bottleneck_lines
from llmplan.report.verdict import COLORS, WORDS, degrees, largest_part, model_size, part_name
from llmplan.training.estimate import TrainingEstimate

if TYPE_CHECKING:
    from llmplan.answer.answer import Estimate
    from llmplan.answer.economics.summary import Economics

NARROW, WIDEST_BAR = 60, 30  # columns


def print_estimates(answers: Sequence[Estimate]) -> None:
    """Every estimate on stdout, an empty line between two."""
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        for number, answer in enumerate(answers):
            if number:
                console.print()
            print_estimate(console, answer)
    for line in captured.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")  # rich fills lines up with blanks


def print_estimate(console: Console, answer: Estimate) -> None:
    """One estimate, with what was assumed and should be known."""
    if isinstance(answer, TrainingEstimate):
        _print_training(console, answer)
    else:
        from llmplan.report.serving import print_serving

        print_serving(console, answer)
    _print_list(console, "Assumed", [f"- {sentence}" for sentence in answer.plan.assumptions])
    _print_list(console, "Warnings", [f"{one.code} {one.message}" for one in answer.warnings])


def _print_training(console: Console, answer: TrainingEstimate) -> None:
    for line in _header(answer):
        console.print(line)
    console.print()
    _print_memory(console, answer)
    console.print()
    _print_time(console, answer)


def _header(answer: TrainingEstimate) -> list[Text]:
    """Model and hardware; layout and workload."""
    plan, layout, work = answer.plan, answer.plan.layout, answer.plan.workload
    first = Text.assemble(
        (plan.model.name, "bold"), f" ({model_size(plan.model)}) on ", (f"{plan.devices} x {plan.device.id}", "bold"),
        f" in {plan.cluster.id}, {plan.stack.id} stack",
    )  # fmt: skip
    words = [
        " x ".join([*degrees(layout), f"dp {layout.dp}"]), f"zero {layout.zero}", f"recompute {layout.recompute}",
        *(["sequence parallel"] if layout.sequence_parallel else []),
        *(["optimizer on the host"] if layout.offload_optimizer else []),
    ]  # fmt: skip
    adapters = f", rank {work.lora_rank} on {work.quantized_base or work.precision}" if work.workload == "lora" else ""
    batch = f"{work.global_batch} x {work.seq_len} tokens a step, micro-batch {layout.micro_batch}"
    third = f"{work.workload}{adapters} in {work.precision}, {work.optimizer}; {batch}"
    return [first, Text("; ".join(words)), Text(third)]


def _print_memory(console: Console, answer: TrainingEstimate) -> None:
    peak, usable = answer.peak, answer.usable_bytes
    over = peak.value - usable
    gib = 2.0**30
    band = f"{plain(peak.low / gib)}-{plain(peak.high / gib)}"
    margin = f"{plain(abs(over) / gib)} GiB {'too much' if over > 0 else 'to spare'}"
    console.print(Text.assemble(
        ("Memory of a device  ", "bold"), (WORDS[answer.verdict], f"bold {COLORS[answer.verdict]}"),
        f": {plain(peak.value / gib)} GiB, {band}",
    ))  # fmt: skip
    room = f"{plain(usable / gib)} GiB usable of {plain(answer.capacity_bytes / gib)}"
    console.print(Text(f"  {room}, {margin}; the largest part is {largest_part(answer)}"))
    parts = {name: (value, f"{plain(value / gib)} GiB") for name, value in _present(answer.memory.parts()).items()}
    _print_parts(console, parts, max(peak.value, usable))
    if answer.memory.host_bytes:
        console.print(Text(f"  and {binary(float(answer.memory.host_bytes), 3)} in the memory of each host"))


def _print_time(console: Console, answer: TrainingEstimate) -> None:
    step, rate, devices = answer.step, answer.tokens_per_second, answer.plan.devices
    console.print(Text.assemble(("Time of a step  ", "bold"), step_time(step.value, step.low, step.high)))
    parts = {name: (value, step_time(value)) for name, value in _present(answer.time.parts()).items()}
    _print_parts(console, parts, step.value)
    console.print()
    console.print(Text.assemble(
        ("Throughput  ", "bold"),
        f"{plain(rate.value)} tokens/s, {plain(rate.low)}-{plain(rate.high)}; {plain(rate.value / devices)} a device",
    ))  # fmt: skip
    speed = decimal(answer.model_flops / step.value / devices, "FLOP/s", 3)
    used = f"{speed} a device, MFU {answer.mfu:.1%}, HFU {answer.hfu:.1%}"
    console.print(Text.assemble(("Utilisation  ", "bold"), used))
    found = bottleneck(answer)
    name = found.resource.replace("_", " ")
    console.print(Text.assemble(("Bottleneck  ", "bold"), f"{name}; {found.advice.message} ({found.advice.code})"))
    for line in bottleneck_lines(found):
        console.print(Text(f"  {line}"))
    if answer.economics is not None:
        _print_run(console, answer.economics)


def _print_run(console: Console, found: Economics) -> None:
    """The whole run: time, interruptions, cost, energy, carbon, storage."""
    from llmplan.report.economics import economics_lines

    console.print()
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column()
    for head, text in economics_lines(found):
        grid.add_row(head, text)
    console.print(grid)


def _present(parts: Mapping[str, Any]) -> dict[str, float]:
    """Parts that are there, the largest first."""
    found = {name: float(value) for name, value in parts.items() if float(value) != 0.0}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _print_parts(console: Console, parts: Mapping[str, tuple[float, str]], whole: float) -> None:
    """A line a part: name, amount, share of `whole`, and a bar where there is room."""
    room = console.width >= NARROW
    bar_width = min(WIDEST_BAR, console.width - 45)
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    if room:
        grid.add_column(no_wrap=True)
    for name, (value, text) in parts.items():
        share = value / whole
        bar = [Text(_bar(console, share, bar_width), style="cyan")] if room else []
        grid.add_row(f"  {part_name(name)}", text, _percent(share), *bar)
    console.print(grid)


def _bar(console: Console, share: float, width: int) -> str:
    """A bar of that share of the width, in characters that the terminal has."""
    mark = "#" if console.options.ascii_only else "█"
    return mark * min(width, round(share * width))


def _percent(share: float) -> str:
    """`12%`; less than one is said to be so."""
    return f"{share:.0%}" if share >= 0.005 else "<1%"  # noqa: PLR2004  (what rounds to nothing)


def _print_list(console: Console, title: str, lines: list[str]) -> None:
    if not lines:
        return
    console.print()
    console.print(Text(title, style="bold"))
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for line in lines:
        mark, _, text = line.partition(" ")
        grid.add_row(f"  {mark}", text)
    console.print(grid)
