"""A serving estimate for people: what fits, how fast it answers, how much it takes, what was assumed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from llmplan.answer.serving_bottleneck import serving_bottleneck
from llmplan.formatting import binary, count, plain, step_time
from llmplan.report.verdict import COLORS, WORDS, degrees, model_size

if TYPE_CHECKING:
    from rich.console import Console

    from llmplan.answer.serving_bottleneck import ServingBottleneck
    from llmplan.serving.estimate import ServingEstimate
    from llmplan.software.band import Interval

_GIB = 2.0**30
_FELT = 0.0005  # gains below a twentieth of a percent round to nothing


def print_serving(console: Console, answer: ServingEstimate) -> None:
    """One serving estimate."""
    for line in _header(answer):
        console.print(line)
    console.print()
    needed, room = answer.needed, answer.usable_bytes
    console.print(Text.assemble(
        ("Memory of a device  ", "bold"), (WORDS[answer.verdict], f"bold {COLORS[answer.verdict]}"),
        f": {plain(needed.value / _GIB)} GiB with one request, {plain(room / _GIB)} GiB for the engine "
        f"of {plain(answer.capacity_bytes / _GIB)}",
    ))  # fmt: skip
    _print_rows(console, _memory_rows(answer))
    if answer.fits:
        for title, rows in (("Latency", _latency_rows(answer)), ("Load", _load_rows(answer))):
            console.print()
            console.print(Text(title, style="bold"))
            _print_rows(console, rows)
        if answer.economics is not None:
            from llmplan.report.serving_economics import serving_economics_rows

            console.print()
            console.print(Text("Cost and energy", style="bold"))
            _print_rows(console, serving_economics_rows(answer.economics))


def serving_no(answer: ServingEstimate) -> Iterator[str]:
    """Why the answer is no, for `--check`."""
    if not answer.fits:
        yield (
            f"does not fit: {binary(answer.needed.value, 3)} with one request, and the engine may take "
            f"{binary(answer.usable_bytes, 3)} of a device"
        )
        return
    if answer.answers:
        return
    for one in answer.warnings:
        if one.code in ("LP021", "LP023"):
            yield one.message
    if answer.replicas_needed:
        devices = f"{answer.replica_devices} devices"
        yield f"replicas needed: {answer.replicas_needed} of {devices} (the plan has {answer.replicas})"


def _header(answer: ServingEstimate) -> list[Text]:
    plan, layout, work = answer.plan, answer.plan.layout, answer.plan.workload
    first = Text.assemble(
        (plan.model.name, "bold"), f" ({model_size(plan.model)}) on ", (f"{plan.devices} x {plan.device.id}", "bold"),
        f" in {plan.cluster.id}, {plan.stack.id} {answer.version}",
    )  # fmt: skip
    parallel = degrees(layout, ("tp", "pp", "cp", "ep"))
    precisions = f"weights {work.weight_precision}, inputs {work.activation_precision}, cache {work.kv_precision}"
    amount = {"open": f"{work.request_rate or 0:g} requests/s", "saturated": "as many as fit"}
    load = f"{work.load} load of {amount.get(work.load, f'{work.batch} requests')}"
    lengths = f"{work.input_tokens:g} tokens in"
    if answer.tpot is not None:
        lengths += f", {work.output_tokens:g} out"
    copies = f"{answer.replicas} replica{'s' if answer.replicas > 1 else ''}"
    return [first, Text(" x ".join([*parallel, copies]) + f"; {precisions}"), Text(f"serve; {load}, {lengths}")]


def _memory_rows(answer: ServingEstimate) -> Iterator[tuple[str, str]]:
    names = {"weights_bytes": "weights", "kv_cache_bytes": "key-value cache", "activations_bytes": "workspace",
             "overhead_bytes": "context, graphs"}  # fmt: skip
    for name, value in answer.memory.parts().items():
        yield names[name], f"{plain(float(value) / _GIB)} GiB"
    if answer.kv_tokens is not None and answer.fits:
        tokens = answer.kv_tokens
        yield "cache holds", f"{count(tokens.value)} tokens, {count(tokens.low)}-{count(tokens.high)}, all devices"
        yield "resident at once", f"{plain(answer.resident, 6)} requests of these lengths"
        yield "longest sequence", _longest(answer)


def _longest(answer: ServingEstimate) -> str:
    """What has room, or what the model takes where that is less."""
    room, limit = float(answer.memory.longest), answer.plan.model.max_context
    if limit is not None and room > limit:
        return f"{count(limit)} tokens, the model's limit"
    return f"{count(room)} tokens"


def _latency_rows(answer: ServingEstimate) -> Iterator[tuple[str, str]]:
    work = answer.plan.workload
    looped = work is not None and work.load in ("closed", "saturated") and answer.sequences > 1
    yield "to the first token", _time(answer.ttft) + (" when requests come steadily" if looped else "")
    if looped:
        yield "", f"{step_time(answer.burst_ttft.value)} when all of them come at once"
    if work is not None and work.load == "open":
        yield "", f"{step_time(answer.p95_ttft.value)} for 95 % of them"
    if answer.tpot is not None:
        yield "per output token", _time(answer.tpot)
    yield "whole batch" if work is not None and work.load == "static" else "whole request", _time(answer.request)


def _load_rows(answer: ServingEstimate) -> Iterator[tuple[str, str]]:
    if answer.output_tokens_per_second is not None:
        rate = answer.output_tokens_per_second
        yield "output", f"{plain(rate.value)} tokens/s, {plain(rate.low)}-{plain(rate.high)}"
    rate = answer.requests_per_second
    yield "requests", f"{plain(rate.value)} a second; at most {plain(answer.capacity)} with every place taken"
    share = f"{plain(answer.sequences)} in flight, {answer.load:.0%} of "
    used = share + ("the capacity" if answer.replicas_needed is not None else "the places")
    yield "in use", used if answer.stable else f"{used}: unstable at this rate, the queue grows without end"
    if answer.replicas_needed is not None:
        needed = (
            str(answer.replicas_needed)
            if answer.replicas_needed
            else "no number behind one front end reaches the targets"
        )
        yield "replicas needed", f"{needed} (of {answer.replica_devices} devices each; the plan has {answer.replicas})"
    yield from _bottleneck_rows(serving_bottleneck(answer), writes=answer.tpot is not None)


def _bottleneck_rows(found: ServingBottleneck, *, writes: bool) -> Iterator[tuple[str, str]]:
    """What holds requests back, what each step waits for, and what a tenth more would bring."""
    yield "held back by", f"{found.resource.replace('_', ' ')}; {found.advice.message} ({found.advice.code})"
    steps = (("a decoding step", found.decode), ("a prefill", found.prefill))
    for name, seconds in steps if writes else steps[1:]:
        whole = sum(seconds.values())
        waits = sorted(seconds.items(), key=lambda item: -item[1])
        yield f"{name} waits for", ", ".join(f"{n.replace('_', ' ')} {value / whole:.0%}" for n, value in waits)
    gains = sorted(found.elasticity.items(), key=lambda item: -item[1].capacity)
    felt = [f"{name.replace('_', ' ')} {one.capacity - 1:+.1%}" for name, one in gains if one.capacity - 1 >= _FELT]
    yield "10% more brings", f"capacity: {', '.join(felt) or 'nothing'}"


def _time(value: Interval) -> str:
    return step_time(value.value, value.low, value.high)


def _print_rows(console: Console, rows: Iterator[tuple[str, str]]) -> None:
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(no_wrap=True)
    grid.add_column()
    for name, text in rows:
        grid.add_row(f"  {name}", text)
    console.print(grid)
