"""The encoder of sound of a Hugging Face config: its shape and its family's rule, by the tables in `families/`.

None where a family's rule is not known: sound cannot be planned, which is said when somebody asks for it.
"""

from __future__ import annotations

from typing import Any

from llmplan.model.huggingface_config import Config
from llmplan.model.huggingface_families import value_of
from llmplan.model.huggingface_towers import is_text_alone, table_of, tower_count, tower_names
from llmplan.model.sound_spec import SoundSpec
from llmplan.records import names as names_of

SOUND = "audio_config"
_HEADINGS = ("like", "default", "source")


def sound_of(config: Config, text_hidden: int | None) -> dict[str, Any] | None:
    """Fields of a `SoundSpec`; None without an encoder, for a class of text alone, or where the rule is not known."""
    families = table_of("sound.yaml")["families"]
    found = next((level for level in config.levels if isinstance(level.get(SOUND), dict)), None)
    if is_text_alone(config):
        return None
    if found is None:
        own = families.get(config.model_type)
        return None if own is None else _rule(own, {})
    family = families.get(str(found.get("model_type")))
    parameters = tower_count(found, SOUND, text_hidden)
    if family is None or parameters is None or text_hidden is None:
        return None
    kind, names = tower_names(found, found[SOUND], text_hidden)
    family = _entry(families, family)
    encoders = table_of("sound.yaml")["encoders"]
    shape = encoders["default"] | encoders.get(kind, {})
    fields = {key: value_of(text, names) for key, text in shape.items()}
    if None in fields.values():
        return None
    return fields | _rule(family, names) | {"parameters": parameters}


def _rule(family: dict[str, Any], names: dict[str, int]) -> dict[str, Any]:
    names = family.get("default", {}) | names
    written = {key: text for key, text in family.items() if key not in _HEADINGS}
    fields = {key: value_of(text, names) for key, text in written.items()}
    known = names_of(SoundSpec)
    return {key: value for key, value in fields.items() if value is not None and key in known}


def _entry(families: dict[str, Any], family: dict[str, Any]) -> dict[str, Any]:
    parent = family.get("like")
    return family if parent is None else _entry(families, families[parent]) | family
