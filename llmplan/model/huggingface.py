"""Reads a Hugging Face `config.json` into a ModelSpec, by the tables in `families/`.

Lenient to keys that do not change the shape, strict about those that do: what is missing, of the
wrong type, or of an architecture that is not known becomes an InputError with file and line.
"""

from __future__ import annotations

import re
from functools import lru_cache
from inspect import get_annotations
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from llmplan.documents import Document
from llmplan.errors import Fault, InputError
from llmplan.files import read_text
from llmplan.model.huggingface_config import MAX_INTEGER, Config, parse_config
from llmplan.model.huggingface_experts import mlps
from llmplan.model.huggingface_families import family, keys_of, known, names, unsupported, value_of
from llmplan.model.huggingface_fixes import FIXES
from llmplan.model.huggingface_images import vision_of
from llmplan.model.huggingface_layers import mixers, per_layer_config
from llmplan.model.huggingface_quantization import precisions
from llmplan.model.huggingface_sound import sound_of
from llmplan.model.huggingface_towers import tower_parameters
from llmplan.model.huggingface_unknown import nearest, refuse_unread
from llmplan.model.spec import ModelSpec
from llmplan.plain import RefusedError
from llmplan.records import defaults
from llmplan.records import names as names_of
from llmplan.schema import validated

Fields = dict[str, Any]
Family = dict[str, Any]

CONFIG, QUANT = "config.json", "hf_quant_config.json"
NEEDED = ("layers", "hidden", "heads", "vocab")


def read_config(path: Path) -> tuple[ModelSpec, tuple[str, ...]]:
    """The model of a config.json (or its folder), and warnings; InputError with every fault."""
    if path.is_dir():
        path = path / CONFIG
    config = parse_config(read_text(path), str(path))
    beside = path.with_name(path.name.removesuffix(CONFIG) + QUANT)
    quant = parse_config(read_text(beside), str(beside)) if beside.is_file() else None
    stem = path.name.removesuffix(CONFIG).removesuffix(".json").rstrip("_-.")
    name = stem.rpartition("--")[2] or path.absolute().parent.name
    return spec_of_config(config, quant, name)


def spec_of_config(
    document: Document, quant: Document | None = None, name: str = ""
) -> tuple[ModelSpec, tuple[str, ...]]:
    """A parsed config as a ModelSpec, and warnings that name what was assumed."""
    config = Config.of(document, quant)
    if config.faults:
        raise InputError(config.faults)
    entry, fields = _family(config)
    fields |= _read(config, entry)
    fields |= precisions(config, bool(fields.get("experts")))
    vision = vision_of(config, fields.get("hidden"))
    sound = sound_of(config, fields.get("hidden"))
    rules = tuple(word for word, rule in (("images", vision), ("sound", sound)) if rule is not None)
    fields["tower_parameters"] = tower_parameters(config, fields.get("hidden"), rules=rules)
    if fields["tower_parameters"]:
        fields["vision"] = vision
    fields["sound"] = sound
    refuse_unread(config, entry, bool(fields.get("approximate")))
    if config.faults:
        raise InputError(config.faults)
    spec = _checked(fields | {"name": name or config.model_type}, config)
    return spec, tuple(config.warnings)


def _family(config: Config) -> tuple[Family, Fields]:
    """The entry that reads this config; for an unknown type the one that its keys are like, and that it is so."""
    kind = known(config.model_type)
    if kind is None:
        return nearest(config), {"approximate": True}
    if kind not in names():
        config.fault(f"model_type {config.model_type!r} is not supported: {unsupported()[kind]}", "model_type")
        raise InputError(config.faults)
    return family(kind, config.architecture), {}


def _read(config: Config, entry: Family) -> Fields:
    """Every field that the table knows, then patterns of layers, then what only code can say."""
    fields: Fields = {"family": config.model_type}
    empty = {field for field, value in defaults(ModelSpec).items() if value is None}
    for field, keys in keys_of(entry).items():
        value = config.value(keys, _type_of(field), field)
        if value == 0 and field in NEEDED:
            config.fault(f"{config.key_of(field)} must be at least 1", config.key_of(field))
        elif value is not None and (value != 0 or field not in empty):
            fields[field] = value  # a 0 stands for "none" in widths and ranks that may be left out
    listed = config.data.get(entry.get("counted", ""))
    if "layers" not in fields and isinstance(listed, list) and listed:
        fields["layers"] = len(listed)
    _flags(config, entry, fields)
    _defaults(fields, entry, config)
    per_layer_config(config, fields, keys_of(entry))
    if "mixers" not in fields:
        fields |= mixers(config, entry, fields)
    fields |= mlps(config, entry, fields)
    if entry.get("fix"):
        fields = FIXES[entry["fix"]](config, fields)
    fields |= _computed(config, entry, fields)
    return {key: value for key, value in fields.items() if value is not None and key in names_of(ModelSpec)}


def _flags(config: Config, entry: Family, fields: Fields) -> None:
    """Keys that switch something on where they are true, and keys that must have the one value that is described."""
    for key, changes in entry.get("when", {}).items():
        config.used.add(key)
        if config.data.get(key) is True:
            fields |= changes
    for key, written in entry.get("expect", {}).items():
        value = value_of(written, fields)
        config.used.add(key)
        if value is not None and config.data.get(key) not in (None, value):
            config.fault(f"{key} = {config.data[key]!r} is not supported for {config.model_type}", key)


def _defaults(fields: Fields, entry: Family, config: Config) -> None:
    """What the family fixes, and what the config leaves out from its defaults; the rest is missing, and said so."""
    decided = entry.get("when", {}) and {name for key in entry["when"] for name in entry["when"][key]} & set(fields)
    fixed = {name: value for name, value in entry.get("set", {}).items() if not _is_sum(name, value)}
    fields |= {name: value for name, value in fixed.items() if name not in (decided or ())}
    _nested_defaults(fields, entry, config)
    for field, value in entry.get("default", {}).items():
        if field not in fields:
            fields[field] = value_of(value, fields) if _is_sum(field, value) else value
    hidden, heads = fields.get("hidden"), fields.get("heads")
    if fields.get("head_dim") is None and hidden and heads:
        if hidden % heads and "kv_lora_rank" not in fields and not entry.get("uneven_heads"):
            config.fault(f"hidden_size {hidden} is not a multiple of {heads} heads; give head_dim", "hidden_size")
        fields["head_dim"] = max(1, hidden // heads)
    for field in NEEDED:
        if field not in fields and not config.key_of(field):
            key = config.shown(keys_of(entry).get(field, [field]))
            config.fault(f"key {key} is missing ({field})")


def _is_sum(field: str, value: Any) -> bool:
    return isinstance(value, str) and _type_of(field) is not str


def _computed(config: Config, entry: Family, fields: Fields) -> Fields:
    """Fields that the family fixes as sums of others, or of keys of the config; they add to what a fix has found."""
    written = {name: text for name, text in entry.get("set", {}).items() if _is_sum(name, text)}
    numbers = {key: value for key, value in config.data.items() if type(value) is int and 0 <= value <= MAX_INTEGER}
    config.used |= numbers.keys() & {word for text in written.values() for word in re.split(r"[ +x]+", text)}
    sums = {name: value_of(text, numbers | fields) for name, text in written.items()}
    if missing := [name for name, value in sums.items() if value is None]:
        config.fault(f"a key is missing for {missing[0]} = {written[missing[0]]}")
    return {name: (fields.get(name) or 0) + value for name, value in sums.items() if value is not None}


def _nested_defaults(fields: Fields, entry: Family, config: Config) -> None:
    """A `text_config` holds only what differs from its configuration class: the class's own shapes, said aloud."""
    left_out = {name: value for name, value in entry.get("nested", {}).items() if name not in fields}
    if not config.nested or not left_out:
        return
    fields |= left_out
    shown = ", ".join(f"{name} {value}" for name, value in left_out.items())
    config.warnings.append(f"left out and taken from the configuration class of {config.model_type!r}: {shown}")


@lru_cache(maxsize=1)
def _types() -> dict[str, type]:
    types: dict[str, type] = {}
    for field, kind in get_annotations(ModelSpec).items():
        words = {kind, *get_args(kind)}
        text = str in words or any(get_origin(word) is Literal for word in words)
        types[field] = bool if bool in words else str if text and int not in words else int
    return types


def _type_of(field: str) -> type:
    return _types().get(field, int)


def _checked(fields: dict[str, Any], config: Config) -> ModelSpec:
    try:
        return validated(fields, ModelSpec)
    except RefusedError as error:
        faults = []
        for item in error.errors:
            field = ".".join(str(step) for step in item["loc"])
            key = config.key_of(field)
            text = item["msg"].removeprefix("Value error, ")
            message = f"{key or field}: {text[:1].lower()}{text[1:]}" if field else text
            faults.append(Fault(message, config.file, config.line(key)))
        raise InputError(faults) from None
