"""A training estimate as text: model and layout, memory and time by part with bars, verdict, assumptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from llmplan.answer.training import TrainingResult
from llmplan.formatting import binary, decimal, percent, plain, step_time
from llmplan.report.console import on_stdout, print_rows
from llmplan.report.economics import run_lines
from llmplan.report.verdict import COLORS, FELT, WORDS, degrees, largest_part, model_size, part_name, recomputed
from llmplan.si import GIB

if TYPE_CHECKING:
    from rich.console import Console

    from llmplan.answer.answer import Answer
    from llmplan.answer.bottleneck import Bottleneck

NARROW, WIDEST_BAR = 60, 30  # columns
_SHOWN = 0.005  # shares below half a percent round to nothing


def print_answers(answers: Sequence[Answer]) -> None:
    """Every answer on stdout, an empty line between two."""
    with on_stdout() as console:
        for number, answer in enumerate(answers):
            if number:
                console.print()
            print_answer(console, answer)


def print_answer(console: Console, answer: Answer) -> None:
    """One answer, followed by its assumptions and warnings."""
    if isinstance(answer.result, TrainingResult):
        _print_training(console, answer, answer.result)
    else:
        from llmplan.report.serving import print_serving

        print_serving(console, answer, answer.result)
    _print_list(console, "Assumed", [f"- {sentence}" for sentence in answer.assumptions])
    _print_list(console, "Warnings", [f"{one.code} {one.message}" for one in answer.warnings])


def _print_training(console: Console, answer: Answer, result: TrainingResult) -> None:
    for line in _header(answer, result):
        console.print(line)
    console.print()
    _print_memory(console, result)
    console.print()
    _print_time(console, result)


def _header(answer: Answer, result: TrainingResult) -> list[Text]:
    """Model and hardware; layout and workload."""
    inputs = answer.inputs
    first = Text.assemble(
        (result.model.name, "bold"), f" ({model_size(result.model)}) on ",
        (f"{inputs['devices']} x {inputs['hardware']}", "bold"), f" in {inputs['cluster']}, {inputs['stack']} stack",
    )  # fmt: skip
    words = [
        " x ".join([*degrees(inputs), f"dp {inputs['dp']}"]), f"zero {inputs['zero']}", recomputed(inputs),
        *(["sequence parallel"] if inputs["sequence_parallel"] and inputs["tp"] > 1 else []),
        *(["optimizer on the host"] if inputs["offload_optimizer"] else []),
        *(["parameters on the host"] if inputs["offload_parameters"] else []),
        *(["activations on the host"] if inputs.get("offload_activations") else []),
        *([f"shards in {inputs['dp_replicate']} copies"] if inputs.get("dp_replicate") else []),
        *(["optimizer in the backward pass"] if inputs["optimizer_in_backward"] else []),
    ]  # fmt: skip
    base = inputs.get("quantized_base") or inputs["precision"]
    trained = f" ({result.model.trainable_parameters:,} trained)"
    kind = ", DoRA of rank" if inputs.get("dora") else ", rank"
    adapters = f"{kind} {inputs['lora_rank']} on {base}{trained}" if inputs["workload"] == "lora" else ""
    batch = f"{inputs['global_batch']} x {inputs['seq_len']} tokens a step, micro-batch {inputs['micro_batch']}"
    method = f" ({inputs['method']})" if "method" in inputs else ""
    third = f"{inputs['workload']}{method}{adapters} in {inputs['precision']}, {inputs['optimizer']}; {batch}"
    return [first, Text("; ".join(words)), Text(third)]


def _print_memory(console: Console, result: TrainingResult) -> None:
    memory = result.memory
    peak, usable = memory.peak_bytes, memory.usable_bytes
    over = peak.value - usable
    band = f"{plain(peak.low / GIB)}-{plain(peak.high / GIB)}"
    margin = f"{plain(abs(over) / GIB)} GiB {'too much' if over > 0 else 'to spare'}"
    console.print(Text.assemble(
        ("Memory of a device  ", "bold"), (WORDS[result.verdict], f"bold {COLORS[result.verdict]}"),
        f": {plain(peak.value / GIB)} GiB, {band}",
    ))  # fmt: skip
    room = f"{plain(usable / GIB)} GiB usable of {plain(memory.capacity_bytes / GIB)}"
    console.print(Text(f"  {room}, {margin}; the largest part is {largest_part(memory.parts)}"))
    parts = {name: (value, f"{plain(value / GIB)} GiB") for name, value in _largest_first(memory.parts).items()}
    _print_parts(console, parts, max(peak.value, usable))
    if memory.host_bytes_per_node:
        lacking = ", which has less" if over <= 0 and result.verdict == "does-not-fit" else ""
        console.print(Text(f"  and {binary(memory.host_bytes_per_node, 3)} in the memory of each host{lacking}"))


def _print_time(console: Console, result: TrainingResult) -> None:
    step, rate = result.time.step_seconds, result.throughput.tokens_per_second
    console.print(Text.assemble(("Time of a step  ", "bold"), step_time(step.value, step.low, step.high)))
    parts = {name: (value, step_time(value)) for name, value in _largest_first(result.time.parts).items()}
    _print_parts(console, parts, step.value)
    console.print()
    each = plain(result.throughput.tokens_per_second_per_device.value)
    console.print(Text.assemble(
        ("Throughput  ", "bold"),
        f"{plain(rate.value)} tokens/s, {plain(rate.low)}-{plain(rate.high)}; {each} a device",
    ))  # fmt: skip
    speed = decimal(result.throughput.flops_per_second_per_device, "FLOP/s", 3)
    used = f"{speed} a device, MFU {result.mfu:.1%}, HFU {result.hfu:.1%}"
    console.print(Text.assemble(("Utilisation  ", "bold"), used))
    found = result.bottleneck
    name = part_name(found.resource)
    console.print(Text.assemble(("Bottleneck  ", "bold"), f"{name}; {found.advice.message} ({found.advice.code})"))
    for line in bottleneck_lines(found):
        console.print(Text(f"  {line}"))
    if result.run is not None:
        _print_run(console, result)


def bottleneck_lines(found: Bottleneck) -> Iterator[str]:
    """The shares of the step, and what a tenth more of each resource would bring."""
    waits = sorted(found.seconds, key=lambda name: -found.seconds[name])
    shares = [f"{part_name(name)} {found.share(name):.0%}" for name in waits if found.share(name) >= _SHOWN]
    yield "of the step: " + ", ".join(shares)
    gains = sorted(found.elasticity.items(), key=lambda item: -item[1].speedup)
    felt = [f"{part_name(name)} {one.speedup - 1:+.1%}" for name, one in gains if one.speedup - 1 >= FELT]
    yield "10% more brings: " + (", ".join(felt) or "nothing")


def _print_run(console: Console, result: TrainingResult) -> None:
    """The whole run: time, interruptions, cost, energy, carbon, storage."""
    console.print()
    print_rows(console, run_lines(result), style="bold")


def _largest_first(parts: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(parts.items(), key=lambda item: -item[1]))


def _print_parts(console: Console, parts: Mapping[str, tuple[float, str]], whole: float) -> None:
    """A line a part: name, amount, share of `whole`, and a bar if the width allows."""
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
        grid.add_row(f"  {part_name(name)}", text, percent(share), *bar)
    console.print(grid)


def _bar(console: Console, share: float, width: int) -> str:
    """A bar of that share of the width, in ASCII if the terminal has nothing else."""
    mark = "#" if console.options.ascii_only else "█"
    return mark * min(width, round(share * width))


def _print_list(console: Console, title: str, lines: list[str]) -> None:
    if not lines:
        return
    console.print()
    console.print(Text(title, style="bold"))
    marked = (line.partition(" ") for line in lines)
    print_rows(console, ((f"  {mark}", text) for mark, _, text in marked), gap=1)
