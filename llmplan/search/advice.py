"""What would make a search find something: changes to what was asked, each tried with a search of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeAlias

from llmplan.answer.advice import MOST_DEVICES
from llmplan.catalog.catalog import Catalog
from llmplan.errors import InputError
from llmplan.machine.kernels import has_precision
from llmplan.records import dataclass, replace
from llmplan.search.ask import Ask
from llmplan.search.budget import OF_ADVICE, Budget
from llmplan.search.goal import SURELY
from llmplan.search.request import question
from llmplan.search.serving import first_of
from llmplan.search.serving_goal import ServingSearch
from llmplan.search.serving_request import serving_question
from llmplan.search.training import Search, search
from llmplan.serving.targets import TARGETS
from llmplan.setup.limits import Limits

MOST_SERVING_DEVICES = 1024
"""Where the search for more devices of a served model ends: some hundred replicas."""
MOST_CHANGES = 4
OF_WHAT_IS_LEFT = 0.25
"""Share of the simulations left that one change may have [1]."""
Answered: TypeAlias = Callable[[], Any]
"""Searches again, and gives the best, None where nothing does."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change after which there is an answer, and the best of it."""

    sentence: str
    best: Any


def what_would_do(ask: Ask, asked: Search, catalog: Catalog) -> list[Remedy]:
    """The smallest changes that do, by kind: dimensions opened, memory saved, another method; then more devices."""
    fixed = ask.changed({"devices": ",".join(map(str, asked.devices))}, max_devices=None, top=1, pareto=None)
    fixed = fixed.changed({"global_batch": asked.bases[0].workload.global_batch})

    def tried(changed: Ask) -> Answered:
        return lambda: next(iter(search(question(changed, catalog)[0]).best), None)

    larger = ((f"{size} devices", tried(fixed.changed({"devices": str(size)}))) for size in _doubled(asked.devices[-1]))
    changes = ((sentence, tried(changed)) for sentence, changed in _changes(fixed, asked))
    return [*_first_few(changes), *islice(_answered(larger), 1)]


def _changes(ask: Ask, asked: Search) -> Iterator[tuple[str, Ask]]:
    base, limits = asked.bases[0], asked.goal.given()
    work, pinned = base.workload, [name for name in asked.choices if name not in ("devices", "precision")]
    for name in pinned:
        yield f"{name} left open", ask.changed({name: None})
    if len(pinned) > 1:
        yield "every dimension left open", ask.changed(dict.fromkeys(pinned))
    for name in limits:
        rest = replace(asked.goal.limits, **({} if name == SURELY else {name: None}))
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


def what_would_serve(ask: Ask, asked: ServingSearch, catalog: Catalog) -> list[Remedy]:
    """The smallest changes after which some deployment does."""

    budget = Budget(OF_ADVICE)

    def tried(changed: Ask, least_rate: float | None) -> Answered:
        return lambda: first_of(serving_question(changed, catalog, least_rate)[0], budget.part(OF_WHAT_IS_LEFT))

    def on(size: int) -> Answered:
        more = ask.changed({"devices": None}, max_devices=size, top=1, pareto=None, objective="devices")
        return tried(more, asked.least_rate)

    changes = ((sentence, tried(changed, rate)) for sentence, changed, rate in _serving_changes(ask, asked))
    sizes = _doubled(asked.devices[-1], MOST_SERVING_DEVICES)
    few, smallest = _first_few(changes), _smallest([(f"up to {size} devices", on(size)) for size in sizes])
    if budget.short:
        smallest = [Remedy(f"{one.sentence} (fewer may do: not all were simulated)", one.best) for one in smallest]
    return [*few, *smallest]


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


def _first_few(changes: Iterable[tuple[str, Answered]]) -> list[Remedy]:
    """The first few changes after which there is an answer."""
    return list(islice(_answered(changes), MOST_CHANGES))


def _smallest(changes: list[tuple[str, Answered]]) -> list[Remedy]:
    """The first change after which there is an answer, where each allows what those before it do: halved."""
    found: list[Remedy] = []
    while changes:
        middle = (len(changes) - 1) // 2 if found else len(changes) - 1
        answered = list(_answered(changes[middle : middle + 1]))
        found = answered or found
        if not found:
            break
        changes = changes[:middle] if answered else changes[middle + 1 :]
    return found


def _answered(changes: Iterable[tuple[str, Answered]]) -> Iterator[Remedy]:
    for sentence, search_again in changes:
        try:
            best = search_again()
        except InputError:
            continue
        if best is not None:
            yield Remedy(sentence, best)


def _doubled(devices: int, most: int = MOST_DEVICES) -> Iterator[int]:
    """Twice as many devices, and so on."""
    while 2 * devices <= most:
        devices *= 2
        yield devices
