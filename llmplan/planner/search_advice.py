"""What would make a search find something: changes to what was asked, each tried with a search of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llmplan.catalog import Catalog
from llmplan.errors import InputError
from llmplan.planner.estimate import TrainingEstimate
from llmplan.planner.search import Search, search
from llmplan.planner.search_goal import SURELY
from llmplan.planner.search_request import Ask, question

MOST_DEVICES = 16_384
"""Where the search for more devices ends: the size of the largest published training runs (Llama 3, 2024)."""
MOST_CHANGES = 4


@dataclass(frozen=True, slots=True)
class Change:
    """A change after which there is an answer, and the best of it."""

    sentence: str
    best: TrainingEstimate


def what_would_do(ask: Ask, asked: Search, catalog: Catalog) -> list[Change]:
    """The smallest changes that do, by kind: dimensions opened, memory saved, another method; then more devices."""
    found: list[Change] = []
    largest = asked.devices[-1]
    fixed = ask.changed({"devices": ",".join(map(str, asked.devices))}, max_devices=None, top=1, pareto=None)
    fixed = fixed.changed({"global_batch": asked.bases[0].workload.global_batch})
    for sentence, changed in _changes(fixed, asked):
        if len(found) == MOST_CHANGES:
            break
        _try(found, sentence, changed, catalog)
    devices = 2 * largest
    before = len(found)
    while devices <= MOST_DEVICES and len(found) == before:
        _try(found, f"{devices} devices", fixed.changed({"devices": str(devices)}), catalog)
        devices *= 2
    return found


def _changes(ask: Ask, asked: Search) -> Iterator[tuple[str, Ask]]:
    base, limits = asked.bases[0], asked.goal.given()
    work, pinned = base.workload, [name for name in asked.choices if name not in ("devices", "precision")]
    for name in pinned:
        yield f"{name} left open", ask.changed({name: None})
    if len(pinned) > 1:
        yield "every dimension left open", ask.changed(dict.fromkeys(pinned))
    for name in limits:
        rest = asked.goal.limits.model_copy(update={} if name == SURELY else {name: None})
        surely = asked.goal.surely and name != SURELY
        yield f"without {name.replace('_', '-')}", ask.changed({"limits": None}, limits=rest, surely=surely)
    if not work.flash_attention:
        yield "flash attention", ask.changed({"flash_attention": True})
    frozen = work.workload == "lora"
    if not frozen and "offload_optimizer" not in asked.choices:
        yield "optimizer states in host memory", ask.changed({}, try_offload=True)
    if work.precision in ("fp32", "tf32"):
        yield "precision bf16", ask.changed({"precision": "bf16"})
    if not frozen and work.optimizer in ("adam", "adamw"):
        yield "optimizer adam-8bit", ask.changed({"optimizer": "adam-8bit"})
    if not frozen:
        yield "LoRA instead of all parameters", ask.changed({"workload": "lora"})
    if work.quantized_base is None:
        yield "LoRA on an nf4 base", ask.changed({"workload": "lora", "quantized_base": "nf4"})


def _try(found: list[Change], sentence: str, ask: Ask, catalog: Catalog) -> None:
    """Notes the change if there is an answer then."""
    try:
        answer = search(question(ask, catalog)[0])
    except InputError:
        return
    if answer.best:
        found.append(Change(sentence, answer.best[0]))
