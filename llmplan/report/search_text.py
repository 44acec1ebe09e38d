"""Answers of `fit` in sentences: what was searched, why nothing was found, what would help, what --maximize found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from llmplan.formatting import binary, plain, step_time
from llmplan.report.limits import written
from llmplan.report.verdict import degrees, part_name, recomputed
from llmplan.search.answers import Miss
from llmplan.search.demands import LOAD, PLACES
from llmplan.search.found import HOST, MEMORY
from llmplan.search.serving import BEHIND, FEWER, UNTRIED
from llmplan.search.space import REASONS
from llmplan.si import GIB
from llmplan.software.band import Interval

if TYPE_CHECKING:
    from llmplan.answer.answer import Answer
    from llmplan.search.answers import FitAnswer, MinimizeAnswer, SubjectAnswer, Summary

_ESTIMATED = {
    MEMORY: "they need more memory than a device has", HOST: "offloaded states exceed the host's memory",
    FEWER: "more of the same replicas miss a limit clearly",
    UNTRIED: "so many requests are in flight that they were not simulated: the search ended early",
    BEHIND: "they come behind by the objective, and their requests were not timed",
    LOAD: "they do not keep up with the request rate", PLACES: "they have fewer places than requests in flight",
}  # fmt: skip


def serves(found: FitAnswer) -> bool:
    """Whether serving deployments were searched."""
    return found.inputs.get("workload") == "serve"


def sizes(found: FitAnswer) -> str:
    """How many devices were tried."""
    sizes = found.devices or ()
    if found.max_devices is not None:
        return f"up to {found.max_devices}"
    return f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else str(*sizes)


def time_text(value: Interval | None) -> str:
    """A time with its unit; nothing where there is none."""
    return "" if value is None else step_time(value.value)


def searched(found: FitAnswer) -> str:
    """How many there were, how many fit, how many keep the limits."""
    counts = found.search
    assert counts is not None  # `--maximize` has none, and is not printed here
    kept = f", {counts.kept} keep the limits" if counts.kept != counts.fitting else ""
    if passed := counts.removed.get(BEHIND):
        kept += f"; {passed} that can only come behind were not timed"
    if untried := counts.removed.get(UNTRIED):
        kept += f"; {untried} were not simulated, as the search ended early"
    what = "deployments" if serves(found) else "layouts"
    return f"{counts.considered} {what} considered, {counts.legal} legal and estimated, {counts.fitting} fit{kept}"


def nothing_lines(found: FitAnswer) -> Iterator[str]:
    """That nothing was found: the reasons, the nearest misses, and changes that would help."""
    what = "deployment" if serves(found) else "layout"
    subject = f"{found.inputs['model']} on {sizes(found)} x {found.inputs['hardware']}"
    yield f"no {what} of {subject} does it; {searched(found)}"
    yield from _removed_lines(found)
    if found.nearest_misses:
        yield "nearest misses:"
        for miss in found.nearest_misses:
            yield f"  {plan_text(miss)}: {why(found, miss)}"
    yield "what would do:" if found.changes else "nothing that was tried would do"
    for one in found.changes or ():
        yield f"  {one.change}: {plan_text(one)}, {plain(one.peak_bytes.value / GIB)} GiB"


def _removed_lines(found: FitAnswer) -> Iterator[str]:
    """How many candidates each reason removed, the most first."""
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


def read_by(inputs: Mapping[str, Any]) -> str:
    """Degrees of the devices that only read prompts, of a plan's options; empty where there are none."""
    if "prefill_devices" not in inputs:
        return ""
    names = ("tp", "cp", "dp") if inputs["prefill_cp"] > 1 else ("tp", "dp")
    return " ".join(f"{name} {inputs[f'prefill_{name}']}" for name in names)


def plan_text(one: Summary) -> str:
    """`16 devices, tp 4 dp 4, mb 2 zero 1, 2.1 s a step`, or with the times and the capacity of a deployment."""
    inputs = one.inputs
    layout = " ".join([*degrees(inputs), f"dp {inputs['dp']}"])
    if one.step_seconds is None:
        if "prefill_devices" in inputs:
            layout += f", prompts on {read_by(inputs)}"
        layout += f", batch {inputs['batch']}" if "batch" in inputs else ""
        tpot = f", TPOT {time_text(one.tpot_seconds)}" if one.tpot_seconds else ""
        most = f"at most {plain(one.capacity_requests_per_second or 0.0)} requests/s"
        return f"{inputs['devices']} devices, {layout}, TTFT {time_text(one.ttft_seconds)}{tpot}, {most}"
    more = [f"mb {inputs['micro_batch']}", f"zero {inputs['zero']}"]
    more += [recomputed(inputs)] if inputs["recompute"] != "none" else []
    more += [word for word, name in (("sp", "sequence_parallel"), ("offload", "offload_optimizer")) if inputs[name]]
    return f"{inputs['devices']} devices, {layout}, {' '.join(more)}, {time_text(one.step_seconds)} a step"


def why(found: FitAnswer, one: Miss | SubjectAnswer) -> str:
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
    does = "has places in memory and meets the targets" if serves(found) else "fits"
    if most.value is None:
        return f"not even {most.word} 1 {does} at this layout"
    text = f"{most.word} {most.value} is the most that {does}"
    if serves(found):
        return text + (_context(found.results[0]) if most.word == "input_tokens" else "")
    if most.next is None or most.next.peak_bytes is None:
        return f"{text}: the global batch allows no more" if most.word == "micro_batch" else text
    usable = binary(found.results[0].result.memory.usable_bytes)
    return f"{text}; {most.next.value} would need {binary(most.next.peak_bytes)}, and {usable} are usable"


def _context(found: Answer) -> str:
    """The longest context that fits, beside the one that the model supports."""
    whole = found.inputs.get("input_tokens", 0.0) + found.inputs["output_tokens"]
    limit = found.result.model.max_context
    made_for = f"; the model was made for {limit}" if limit is not None and whole > limit else ""
    return f": a context of {whole:.0f} tokens with the answer{made_for}"


def _least_line(least: MinimizeAnswer) -> str:
    if least.value is None:
        return f"not even {least.word} 1 has places in memory and meets the targets"
    return f"{least.word} {least.value:g} is the least that has places in memory and meets the targets"
