"""From the keys and values of a framework to the options of a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from llmplan.launch import pairs
from llmplan.launch.pairs import Item
from llmplan.launch.relations import RELATIONS
from llmplan.launch.shape import of_shape
from llmplan.launch.target import Frame, Target
from llmplan.records import dataclass
from llmplan.setup.options import VOCABULARY

ADAPTERS = ("lora_rank", "lora_targets", "dora", "quantized_base")
IDLE = {"lora": (), "pretrain": (*ADAPTERS, "packing"), "serve": ()}
"""Options that go with other workloads."""


@dataclass(slots=True)
class Words:
    """Options of a plan, the item that each comes from, and items that were not understood."""

    words: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Item] = field(default_factory=dict)
    unread: list[Item] = field(default_factory=list)


def words_of(
    target: Target, frame: Frame | None, items: Iterable[Item], known: Mapping[str, Any] | None = None
) -> Words:
    """The options that items give. known: options given elsewhere, from which others may follow."""
    settings = (*target.settings, *target.shape, *(frame.settings if frame else ()))
    found = pairs.read(settings, items, (*target.ignored, *(frame.ignored if frame else ())))
    facts = {**target.implied, **pairs.defaults(target.settings), **found.facts}
    stated = {name: value for name, value in (known or {}).items() if name not in found.facts}
    facts |= stated
    if target.shape and (model := of_shape({**pairs.defaults(target.shape), **found.facts}, target.id)) is not None:
        facts.setdefault("model", model)
    for name in ("nodes", *target.relations, "nodes"):  # devices may follow from degrees, and degrees from devices
        facts |= {word: value for word, value in RELATIONS[name].words(facts).items() if word not in stated}
    words = {
        name: value for name, value in facts.items() if name in VOCABULARY and value is not None and name not in stated
    }
    kind = facts.get("workload")
    idle = () if kind is None else IDLE.get(kind, ADAPTERS)  # a framework has defaults of what is not there
    words = {name: value for name, value in words.items() if name not in idle}
    if words.get("speculation") != "draft-model":  # a head that drafts is named by the same option
        words.pop("draft_model", None)
    return Words(words, found.places, found.unread)
