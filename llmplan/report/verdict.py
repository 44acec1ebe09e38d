"""The verdict and what would change it, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from llmplan.formatting import binary, count

if TYPE_CHECKING:
    from llmplan.answer.advice import Advice
    from llmplan.answer.training import ModelAnswer, TrainingResult

WORDS = {"fits": "fits", "marginal": "marginal", "does-not-fit": "does not fit"}
COLORS = {"fits": "green", "marginal": "yellow", "does-not-fit": "red"}
FELT = 0.0005  # gains below a twentieth of a percent round to nothing


def verdict_line(result: TrainingResult) -> str:
    """`does not fit: 95.1 GiB of 79.1 GiB usable on a device, 16 GiB too much; the largest part is ...`."""
    peak, usable = result.memory.peak_bytes.value, result.memory.usable_bytes
    over = peak - usable
    margin = f"{binary(over, 3)} too much" if over > 0 else f"{binary(-over, 3)} to spare"
    largest = largest_part(result.memory.parts)
    return (
        f"{WORDS[result.verdict]}: {binary(peak, 3)} of {binary(usable, 3)} usable on a device, {margin}; "
        f"the largest part is {largest}"
    )


def largest_part(parts: Mapping[str, float]) -> str:
    """The name of the part of the memory that takes most."""
    return part_name(max(parts, key=lambda part: parts[part]))


def recomputed(inputs: Mapping[str, Any]) -> str:
    """`recompute full`, or in how many layers of each virtual stage.

    >>> recomputed({"recompute": "full"}), recomputed({"recompute": "full", "recompute_layers": 3})
    ('recompute full', 'recompute full in 3 layers')
    """
    layers = inputs.get("recompute_layers")
    return f"recompute {inputs['recompute']}" + (f" in {layers} layer{'s' * (layers > 1)}" if layers else "")


def degrees(inputs: Mapping[str, Any], names: Sequence[str] = ("tp", "pp", "vp", "cp", "ep", "dcp")) -> list[str]:
    """Degrees of parallelism that are more than one, of a plan's options; with ep the copies of experts."""
    copies = inputs.get("redundant_experts", 0)
    beside = {"ep": f" with {copies} redundant experts"} if copies else {}
    return [f"{name} {inputs[name]}{beside.get(name, '')}" for name in names if inputs.get(name, 1) > 1]


def model_size(model: ModelAnswer) -> str:
    """`70.6B`, or `671B, 37.6B active` where a token does not use all of them; with what encoders have beside them."""
    size = count(model.parameters)
    if model.active_parameters != model.parameters:
        size = f"{size}, {count(model.active_parameters)} active"
    if model.approximate:
        size = f"about {size}, read by likeness"
    return f"{size}, encoders {count(model.encoder_parameters)} more" if model.encoder_parameters else size


def part_name(key: str) -> str:
    """`optimizer_states_bytes` as `optimizer states`."""
    return key.removesuffix("_bytes").removesuffix("_seconds").replace("_", " ")


def advice_lines(found: Iterable[Advice]) -> Iterator[str]:
    """One line a change that was tried and fits, with the layout and peak that come of it."""
    empty = True
    for advice in found:
        if empty:
            yield "what would fit:"
        empty = False
        yield f"  {advice.change}: {binary(advice.peak.value, 3)} with {_layout(advice)}"
    if empty:
        yield "nothing that was tried fits: fewer tokens a micro-batch, a smaller model or larger devices are needed"


def _layout(advice: Advice) -> str:
    layout = advice.plan.layout
    words = asdict(layout)
    parallel = " ".join(degrees(words, ("tp", "pp", "cp", "ep", "dp", "dcp")))
    return f"{parallel or 'one device'}, zero {layout.zero}, {recomputed(words)}"
