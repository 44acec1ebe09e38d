"""A serving estimate as text: memory, latency, load, bottleneck, cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from llmplan.formatting import EXACT, binary, count, percent, plain, step_time
from llmplan.report.console import print_rows
from llmplan.report.economics import serving_lines
from llmplan.report.verdict import COLORS, FELT, WORDS, degrees, model_size, part_name
from llmplan.serving.targets import SHARES
from llmplan.si import GIB

if TYPE_CHECKING:
    from rich.console import Console

    from llmplan.answer.answer import Answer
    from llmplan.answer.serving import ServingResult
    from llmplan.answer.serving_bottleneck import ServingBottleneck
    from llmplan.software.band import Interval

_MEMORY = {"weights_bytes": "weights", "kv_cache_bytes": "key-value cache", "activations_bytes": "workspace",
           "overhead_bytes": "context, graphs"}  # fmt: skip
_WEIGHTS = {"attention_bytes": "attention", "mlp_bytes": "dense MLP", "shared_experts_bytes": "shared experts",
            "routed_experts_bytes": "routed experts", "embedding_bytes": "embedding", "head_bytes": "head",
            "encoders_bytes": "encoders", "rest_bytes": "rest", "draft_bytes": "draft",
            "adapters_bytes": "adapters"}  # fmt: skip
_LEAST_SHARE = 0.005
"""Share of the weights below which a module group is not shown."""


def print_serving(console: Console, answer: Answer, result: ServingResult) -> None:
    """One serving estimate."""
    for line in _header(answer, result):
        console.print(line)
    console.print()
    memory = result.memory
    console.print(Text.assemble(
        ("Memory of a device  ", "bold"), (WORDS[result.verdict], f"bold {COLORS[result.verdict]}"),
        f": {plain(memory.needed_bytes.value / GIB)} GiB with one request, {plain(memory.usable_bytes / GIB)} GiB for "
        f"the engine of {plain(memory.capacity_bytes / GIB)}",
    ))  # fmt: skip
    print_rows(console, _indented(_memory_rows(answer, result)))
    if result.fits:
        for title, rows in (
            ("Latency", _latency_rows(answer, result)),
            ("Load", _load_rows(result, pools="prefill_devices" in answer.inputs)),
            ("Cost and energy", serving_lines(result)),
        ):
            console.print()
            console.print(Text(title, style="bold"))
            print_rows(console, _indented(rows))


def _indented(rows: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return ((f"  {name}", text) for name, text in rows)


def serving_no(answer: Answer, result: ServingResult) -> Iterator[str]:
    """Why the answer is no, for `--check`."""
    memory, load = result.memory, result.load
    if not result.fits:
        yield (
            f"does not fit: {binary(memory.needed_bytes.value, 3)} with one request, and the engine may take "
            f"{binary(memory.usable_bytes, 3)} of a device"
        )
    elif not result.is_yes:
        for one in answer.warnings:
            if one.code in ("LP021", "LP023"):
                yield one.message
        if load.replicas_needed:
            each = _devices(load.replica_devices)
            yield f"replicas needed: {load.replicas_needed} of {each} (the plan has {load.replicas})"


def _header(answer: Answer, result: ServingResult) -> list[Text]:
    inputs = answer.inputs
    first = Text.assemble(
        (result.model.name, "bold"), f" ({model_size(result.model)}) on ",
        (f"{inputs['devices']} x {inputs['hardware']}", "bold"),
        f" in {inputs['cluster']}, {inputs['stack']} {result.engine_version}",
        f", memory as of {result.rules_version}" if result.rules_version else "",
    )  # fmt: skip
    precisions = f"weights {inputs['weight_precision']}, inputs {inputs['activation_precision']}"
    amount = {"open": f"{inputs.get('request_rate', 0):g} requests/s", "saturated": "as many as fit"}
    load = f"{inputs['load']} load of {amount.get(inputs['load'], str(inputs.get('batch')) + ' requests')}"
    lengths = f"{_prompt(answer, result)} in"
    if result.latency.tpot_seconds is not None:
        lengths += f", {plain(inputs['output_tokens'], EXACT)} out"
    copies = f"{result.load.replicas} replica{'s' if result.load.replicas > 1 else ''}"
    layout = " x ".join([*degrees(inputs, ("tp", "pp", "cp", "ep", "dcp")), copies])
    if "prefill_devices" in inputs:
        reads = {name: inputs.get(f"prefill_{name}", 0) for name in ("tp", "cp", "ep", "dp", "redundant_experts")}
        pool = " x ".join(
            [*degrees(reads, ("tp", "cp", "ep")), f"{reads['dp']} replica{'s' if reads['dp'] > 1 else ''}"]
        )
        layout = f"prompts on {_devices(inputs['prefill_devices'])}: {pool}; answers on the others: {layout}"
    return [
        first, Text(f"{layout}; {precisions}, cache {inputs['kv_precision']}"), Text(f"serve; {load}, {lengths}"),
    ]  # fmt: skip


def _devices(number: int) -> str:
    return "1 device" if number == 1 else f"{number} devices"


def _prompt(answer: Answer, result: ServingResult) -> str:
    """Text, images and sound of a prompt."""
    text, sound = answer.inputs.get("input_tokens"), result.sound
    parts = [f"{plain(text, EXACT)} tokens"] if text else []
    parts += [_images(answer, result)] if result.images is not None else []
    if sound is not None:
        parts.append(f"{sound.seconds:g} s of sound ({sound.tokens} tokens)")
    return " and ".join(parts)


def _images(answer: Answer, result: ServingResult) -> str:
    """Images beside the text of a prompt."""
    if result.images is None:
        return ""
    images, size = result.images.images, answer.inputs["image_size"]
    each = f"{result.images.tokens_per_image} tokens"
    return f"an image of {size} ({each})" if images == 1 else f"{images} images of {size} ({each} each)"


def _memory_rows(answer: Answer, result: ServingResult) -> Iterator[tuple[str, str]]:
    for name, word in _MEMORY.items():
        text = f"{plain(getattr(result.memory.parts, name) / GIB)} GiB"
        yield word, text + (f": {_groups(result)}" if name == "weights_bytes" else "")
    if result.memory.host_bytes is not None:
        what = "prefixes" if result.prefix_cache is not None else "what is not on the devices"
        yield "in host memory", f"{plain(result.memory.host_bytes / GIB)} GiB a node: {what}"
    if result.kv_cache is not None and result.fits:
        tokens, printed = result.kv_cache.tokens, result.kv_cache.printed
        longest = f"requests of {count(result.kv_cache.max_model_len)} tokens at once"
        if printed is not None:
            engine = "each replica prints" if result.load.replicas > 1 else "the engine prints"
            yield engine, f"{printed.tokens:,.0f} tokens, {printed.requests:,.2f} {longest}"
        else:
            yield "cache has room for", f"{plain(result.kv_cache.requests)} {longest}"
        yield "cache holds", f"{count(tokens.value)} tokens, {count(tokens.low)}-{count(tokens.high)}, all devices"
        yield "resident at once", f"{plain(result.load.resident_sequences, 6)} requests of these lengths"
        yield "longest sequence", _longest(answer, result)
    if result.prefix_cache is not None and result.fits:
        found = result.prefix_cache
        hits = f"{count(found.hit_tokens)} tokens of a prompt hit, {count(found.computed_tokens)} are computed"
        yield "prefixes", f"{hits}; room for {count(found.room_tokens)} tokens of others"
        if found.host_tokens is not None:
            brought = f"{count(found.host_hit_tokens or 0)} of a prompt come from there"
            took = f"in {step_time(found.host_load_seconds or 0.0)}"
            yield "on hosts", f"{count(found.host_tokens)} tokens of prefixes; {brought} {took}"


def _groups(result: ServingResult) -> str:
    """Module groups of the weights, the largest first."""
    groups = result.memory.weights
    least = _LEAST_SHARE * sum(groups.values())
    shown = sorted((item for item in groups.items() if item[1] >= least), key=lambda group: -group[1])
    return ", ".join(f"{_WEIGHTS[name]} {plain(held / GIB)}" for name, held in shown)


def _longest(answer: Answer, result: ServingResult) -> str:
    """The longest sequence that has room, or the engine's limit or the model's if that is less."""
    assert result.kv_cache is not None
    room, given, most = result.kv_cache.longest_tokens, answer.inputs.get("max_model_len"), result.model.max_context
    limits = [(float(limit), of) for limit, of in ((given, "max_model_len"), (most, "the model's limit")) if limit]
    limit, of = min(limits, default=(room, ""), key=lambda one: one[0])
    return f"{count(limit)} tokens, {of}" if limit < room else f"{count(room)} tokens"


def _latency_rows(answer: Answer, result: ServingResult) -> Iterator[tuple[str, str]]:
    load, latency = answer.inputs["load"], result.latency
    looped = load in ("closed", "saturated") and result.load.sequences > 1
    apart = looped and latency.burst_ttft_seconds.value != latency.ttft_seconds.value
    if latency.tpot_seconds is not None:  # else the first token is the answer
        yield from _first_token_rows(answer, result, apart=apart)
    yield from _encoders(result)
    if latency.tpot_seconds is not None:
        yield "per output token", _time(latency.tpot_seconds)
        if latency.tpot_seconds.p50 is not None:
            yield "", _shares(latency.tpot_seconds)
    yield "whole batch" if load == "static" else "whole request", _time(latency.request_seconds)
    if latency.request_seconds.p50 is not None:
        yield "", _shares(latency.request_seconds)
    elif latency.tpot_seconds is None and load == "open" and latency.ttft_seconds.p95 is not None:
        yield "", f"{step_time(latency.ttft_seconds.p95)} for 95 % of them"


def _first_token_rows(answer: Answer, result: ServingResult, *, apart: bool) -> Iterator[tuple[str, str]]:
    load, latency = answer.inputs["load"], result.latency
    yield "to the first token", _time(latency.ttft_seconds) + (" when requests come steadily" if apart else "")
    if apart:
        yield "", f"{step_time(latency.burst_ttft_seconds.value)} when all of them come at once"
    if load == "open" and latency.ttft_seconds.p50 is not None:
        yield "", _shares(latency.ttft_seconds)
    elif load == "open" and latency.ttft_seconds.p95 is not None:
        yield "", f"{step_time(latency.ttft_seconds.p95)} for 95 % of them"


def _encoders(result: ServingResult) -> Iterator[tuple[str, str]]:
    """The encoders' part of the time to the first token, and what they work on."""
    images, sound, inputs = result.images, result.sound, []
    seconds: float | None = None
    if images is not None:
        seconds, pieces = images.encoder_seconds, images.tiles_per_image
        tiles = f" in {pieces} tiles" if pieces > 1 else ""
        inputs.append(f"{images.images} x {images.patches_per_image} patches{tiles}")
    if sound is not None and sound.encoder_seconds is not None:
        windows = f" in {sound.windows} windows" if sound.windows > 1 else ""
        seconds = sound.encoder_seconds
        inputs.append(f"{sound.positions} positions of sound{windows}")
    if seconds is not None:
        what = " and ".join(word for word, one in (("images", images), ("sound", sound)) if one is not None)
        yield f"encoder of {what}", f"{step_time(seconds)}: {' and '.join(inputs)}, part of the first token's time"


def _load_rows(result: ServingResult, *, pools: bool) -> Iterator[tuple[str, str]]:
    load, output = result.load, result.throughput.output_tokens_per_second
    if output is not None:
        yield "output", f"{plain(output.value)} tokens/s, {plain(output.low)}-{plain(output.high)}"
    rate, most = result.throughput.requests_per_second.value, load.capacity_requests_per_second
    yield "requests", f"{plain(rate)} a second; at most {plain(most)} with every place taken"
    doing = "being written" if pools else "in flight"  # of two pools, the others are read or wait for that
    share = f"{plain(load.sequences)} {doing}, {percent(load.utilization)} of "
    used = share + ("the capacity" if load.replicas_needed is not None else "the places")
    yield "in use", used if load.stable else f"{used}: unstable at this rate, the queue grows without end"
    if load.replicas_needed is not None:
        needed = load.replicas_needed or "no number behind one front end reaches the targets"
        beside = ", and devices that read prompts in proportion" if pools and load.replicas_needed else ""
        have = f"of {_devices(load.replica_devices)} each{beside}; the plan has {load.replicas}"
        yield "replicas needed", f"{needed} ({have})"
    yield from _bottleneck_rows(result.bottleneck, writes=result.latency.tpot_seconds is not None)


def _bottleneck_rows(found: ServingBottleneck, *, writes: bool) -> Iterator[tuple[str, str]]:
    """The bottleneck, what each step waits for, and what 10 % more of each resource would bring."""
    yield "bottleneck", f"{part_name(found.resource)}; {found.advice.message} ({found.advice.code})"
    steps = (("a decoding step", found.decode_seconds), ("a prefill", found.prefill_seconds))
    for name, seconds in steps if writes else steps[1:]:
        whole = sum(seconds.values())
        waits = sorted(seconds.items(), key=lambda item: -item[1])
        yield f"{name} waits for", ", ".join(f"{part_name(n)} {value / whole:.0%}" for n, value in waits)
    gains = sorted(found.elasticity.items(), key=lambda item: -item[1].capacity)
    felt = [f"{part_name(name)} {one.capacity - 1:+.1%}" for name, one in gains if one.capacity - 1 >= FELT]
    yield "10% more brings", f"capacity: {', '.join(felt) or 'nothing'}"


def _shares(value: Interval) -> str:
    """`361 ms p50, 630 ms p95, 1 s p99`."""
    shares = ((share, getattr(value, f"p{share}")) for share in SHARES)
    return ", ".join(f"{step_time(seconds)} p{share}" for share, seconds in shares if seconds is not None)


def _time(value: Interval) -> str:
    return step_time(value.value, value.low, value.high)
