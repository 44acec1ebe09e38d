"""Changes that make a plan fit, smallest first; each has been tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmplan.catalog.catalog import Catalog
from llmplan.errors import InputError
from llmplan.records import dataclass
from llmplan.setup.layout import SHARD_ALL
from llmplan.setup.named import draft_of
from llmplan.setup.request import Request
from llmplan.software.band import Interval
from llmplan.training.memory import training_memory
from llmplan.training.plan import TrainingPlan
from llmplan.training.resolve import resolve_training

MOST_DEVICES = 16_384
"""Where the search for more devices ends: the size of the largest published training runs (Llama 3, 2024)."""
MOST_ADVICE = 5
OPEN: dict[str, Any] = {"tp": None, "pp": None, "dp": None, "vp": None, "recompute": None, "recompute_layers": None}
"""Options to take back so that the layout is chosen anew."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A change to what was asked that fits; peak: of the changed plan [bytes]."""

    change: str
    plan: TrainingPlan
    peak: Interval


def what_would_fit(wanted: Request, catalog: Catalog) -> list[Advice]:
    """Changes after which the prediction fits, the least first; those that touch the hardware or the method last."""
    plan = resolve_training(draft_of(wanted, catalog), catalog)
    found: list[Advice] = []
    for change, words in _changes(plan):
        if len(found) == MOST_ADVICE:
            break
        advice = _try(wanted, change, words, catalog)
        if advice is not None:
            found.append(advice)
    more = _more_devices(wanted, plan, catalog)
    return [*found, more] if more is not None else found


def _changes(plan: TrainingPlan) -> Iterator[tuple[str, dict[str, Any]]]:
    """Changes on the same devices, from the one that costs least speed to another method of training."""
    layout, workload = plan.layout, plan.workload
    frozen = workload.workload == "lora"
    if layout.micro_batch > 1:
        yield "micro_batch 1", {"micro_batch": 1}
    if not workload.flash_attention:
        yield "flash attention", {"flash_attention": True}
    for stage in range(layout.zero + 1, SHARD_ALL + 1):
        if layout.dp * layout.cp > 1:
            yield f"zero {stage}", {"zero": stage}
    for recompute in ("selective", "full"):
        if layout.recompute not in ("full", recompute):
            yield f"recompute {recompute}", {"recompute": recompute}
    if layout.recompute_layers is not None:
        yield "recompute every layer", {"recompute_layers": None, "recompute": "full"}
    yield "another layout", OPEN
    if layout.zero < SHARD_ALL:
        yield "zero 3 with another layout", OPEN | {"zero": SHARD_ALL}
    if not layout.offload_optimizer and not frozen:
        yield "optimizer states in host memory", OPEN | {"offload_optimizer": True}
    if not frozen:
        yield "LoRA instead of all parameters", OPEN | {"workload": "lora"}
    if workload.quantized_base is None:
        yield "LoRA on an nf4 base", OPEN | {"workload": "lora", "quantized_base": "nf4"}


def _more_devices(wanted: Request, plan: TrainingPlan, catalog: Catalog) -> Advice | None:
    """The next number of devices, doubling, on which some layout fits."""
    devices = 2 * plan.devices
    while devices <= MOST_DEVICES:
        advice = _try(wanted, f"{devices} devices", OPEN | {"devices": devices}, catalog)
        if advice is not None:
            return advice
        devices *= 2
    return None


def _try(wanted: Request, change: str, words: dict[str, Any], catalog: Catalog) -> Advice | None:
    """The advice for a changed request, if it can be planned and fits."""
    try:
        plan = resolve_training(draft_of(wanted.changed(**words), catalog), catalog)
    except InputError:
        return None
    peak = plan.interval("peak_bytes", float(training_memory(plan).peak_bytes))
    if peak.value > plan.usable_bytes:
        return None
    return Advice(change, plan, peak)
