"""Encoders of images and sound beside a language model: counted by their config, so that memory knows them.

What is not described is not counted, and the warning says so.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from llmplan.documents import parse_yaml
from llmplan.files import read_text
from llmplan.model.huggingface_config import MAX_INTEGER, Config
from llmplan.model.huggingface_families import CAUSAL, FOLDER, value_of

TOWERS = ("vision_config", "audio_config")
MOST = 10**12  # parameters of all towers together, as ModelSpec has it


@lru_cache(maxsize=2)
def table_of(name: str) -> dict[str, Any]:
    """A table of `families/`."""
    table: dict[str, Any] = parse_yaml(read_text(FOLDER / name), name)[0].data
    return table


def is_text_alone(config: Config) -> bool:
    """Whether the class is the text part alone: one for causal language models, but for Phi-4-multimodal's."""
    return bool(CAUSAL.search(config.architecture)) and "Multimodal" not in config.architecture


def tower_parameters(config: Config, text_hidden: int | None, *, rules: tuple[str, ...] = ()) -> int:
    """Parameters of the encoders and of their way into the language model [1]; a warning says what was counted.

    rules: `images`, `sound`: where the rule is known by which they become tokens.

    """
    if is_text_alone(config):
        return 0
    found = [(level, name) for level in config.levels for name in TOWERS if level.get(name)]
    if not found and not config.nested and "visual" not in config.data:
        return 0
    counts = [tower_count(level, name, text_hidden) for level, name in found]
    known = sum(count for count in counts if count is not None)
    if not 0 < known <= MOST:
        config.warnings.append("a multimodal model: only its text part is planned, without encoders of images or sound")
        return 0
    rest = "" if None not in counts else "; another is not known and not counted"
    computed = f"computes where {' or '.join(rules)} {'is' if rules == ('sound',) else 'are'} given"
    computed = computed if rules else "only its text part computed"
    config.warnings.append(
        f"a multimodal model: its encoder of {known / 1e9:.2f} B is held in memory, and {computed}{rest}"
    )
    return known


def tower_names(outer: dict[str, Any], tower: dict[str, Any], text_hidden: int) -> tuple[str | None, dict[str, Any]]:
    """The entry that describes a tower, None where there is none, and the words that sums over its keys may use."""
    table = table_of("towers.yaml")
    named = str(tower.get("model_type") or outer.get("model_type") or "")
    kind = next((name for name in (named, f"{named}_vision") if name in table["towers"]), None)
    entry = {} if kind is None else _entry(table, kind)
    names = entry.get("default", {}) | _numbers(outer) | _numbers(tower) | {"text_hidden": text_hidden}
    names |= {word: names[key] for word, key in entry.get("names", {}).items() if key in names}
    return kind, names | _derived(names, tower)


def tower_count(outer: dict[str, Any], name: str, text_hidden: int | None) -> int | None:
    """Parameters of one tower with its projector; None where it is not described or says too little.

    name: the key that holds its config.
    """
    tower = outer[name]
    if not isinstance(tower, dict) or text_hidden is None:
        return None
    table = table_of("towers.yaml")
    kind, names = tower_names(outer, tower, text_hidden)
    family, projectors = str(outer.get("model_type")), table["projectors"]
    projector = projectors.get(f"{family}+{kind}", projectors.get(family))
    if kind is None or projector is None:
        return None
    entry = _entry(table, kind)
    layers, layer = value_of(entry["layers"], names), value_of(entry["layer"], names)
    parts = [value_of(entry["rest"], names), value_of(projector, names)]
    parts += [value_of(text, names) for key, text in entry.get("option", {}).items() if tower.get(key) is not False]
    if layers is None or layer is None or None in parts:
        return None
    return int(layers * layer + sum(parts))


def _entry(table: dict[str, Any], kind: str) -> dict[str, Any]:
    entry = dict(table["towers"][kind])
    parent = entry.pop("like", None)
    return entry if parent is None else _entry(table, parent) | entry


def _numbers(data: dict[str, Any]) -> dict[str, int]:
    """Whole numbers and flags of a config as they are, lists as their length."""
    whole = {key: int(value) for key, value in data.items() if isinstance(value, int) and 0 <= value <= MAX_INTEGER}
    whole |= {key: int(value) for key, value in data.items() if isinstance(value, float) and value.is_integer()}
    return whole | {key: len(value) for key, value in data.items() if isinstance(value, list)}


def _derived(names: dict[str, int], tower: dict[str, Any]) -> dict[str, int]:
    """Patches of an image and their pixels, and the like, as far as the config says what they follow from."""

    def side(key: str) -> int:
        value = tower.get(key, names.get(key, 0))
        value = value[0] if isinstance(value, list) and value else value
        return value if type(value) is int and 0 < value <= MAX_INTEGER else 0

    image, patch = side("image_size"), side("patch_size")
    found = {"merged": names["spatial_merge_size"] ** 2} if "spatial_merge_size" in names else {}
    if patch:
        channels = names.get("num_channels") or names.get("in_channels") or names.get("in_chans") or 3
        found["patch"] = channels * patch**2
    if image and patch:
        found |= {"side": image // patch, "patches": (image // patch) ** 2}
    if "num_mel_bins" in names:
        found["bands"] = -(-names["num_mel_bins"] // 8)
    if names.get("num_attention_heads") and "hidden_size" in names:
        found["head_width"] = names["hidden_size"] // names["num_attention_heads"]
    return found
