"""What would make a search find something: changes to what was asked, each tried with a search of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmplan.catalog.catalog import Catalog
from llmplan.errors import InputError
from llmplan.machine.kernels import has_precision
from llmplan.records import dataclass
from llmplan.search.ask import Ask
from llmplan.search.goal import SURELY
from llmplan.search.request import question
from llmplan.search.serving import ServingSearch, search_serving
from llmplan.search.serving_request import serving_question
from llmplan.search.training import Search, search
from llmplan.serving.targets import TARGETS
from llmplan.setup.limits import Limits

MOST_DEVICES = 16_384
"""Where the search for more devices ends: the size of the largest published training runs (Llama 3, 2024)."""
MOST_SERVING_DEVICES = 1024
"""The same for a served model: some hundred replicas."""
MOST_CHANGES = 4


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change after which there is an answer, and the best of it."""

    sentence: str
    best: Any


def what_would_do(ask: Ask, asked: Search, catalog: Catalog) -> list[Remedy]:
    """The smallest changes that do, by kind: dimensions opened, memory saved, another method; then more devices."""
    found: list[Remedy] = []
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


def _try(found: list[Remedy], sentence: str, ask: Ask, catalog: Catalog) -> None:
    """Notes the change if there is an answer then."""
    try:
        answer = search(question(ask, catalog)[0])
    except InputError:
        return
    if answer.best:
        found.append(Remedy(sentence, answer.best[0]))


def what_would_serve(ask: Ask, asked: ServingSearch, catalog: Catalog) -> list[Remedy]:
    """The smallest changes after which some deployment does."""
    found: list[Remedy] = []
    for sentence, changed, least_rate in _serving_changes(ask, asked):
        if len(found) == MOST_CHANGES:
            break
        _try_serving(found, sentence, changed, catalog, least_rate)
    devices, before = 2 * asked.devices[-1], len(found)
    while devices <= MOST_SERVING_DEVICES and len(found) == before:
        more = ask.changed({"devices": None}, max_devices=devices, top=1, pareto=None, objective="devices")
        _try_serving(found, f"up to {devices} devices", more, catalog, asked.least_rate)
        devices *= 2
    return found


def _serving_changes(ask: Ask, asked: ServingSearch) -> Iterator[tuple[str, Ask, float | None]]:
    """A sentence, the changed question and the output rate that it still wants."""
    base, rate = asked.bases[0], asked.least_rate
    work = base.workload
    quiet = ask.changed({}, top=1, pareto=None)
    for name in asked.choices:
        if name != "devices":
            yield f"{name} left open", quiet.changed({name: None}), rate
    for name in ("weight_precision", "kv_precision"):
        if getattr(work, name) != "fp8" and has_precision(base.device, "fp8"):
            yield f"{name} fp8", quiet.changed({name: "fp8"}), rate
    for name in TARGETS:
        if getattr(work, name) is not None:
            yield f"without {name.replace('_', '-')}", quiet.changed({name: None}), rate
    if rate is not None:
        yield "without min-output-tokens-per-second", quiet, None
    if asked.most_cost is not None:
        yield "without max-cost-per-million", quiet.changed({"limits": None}, limits=Limits()), rate


def _try_serving(found: list[Remedy], sentence: str, ask: Ask, catalog: Catalog, least_rate: float | None) -> None:
    try:
        answer = search_serving(serving_question(ask, catalog, least_rate)[0])
    except InputError:
        return
    if answer.best:
        found.append(Remedy(sentence, answer.best[0]))
