"""Reads a Hugging Face `config.json` into a ModelSpec, by the table in `families.yaml`.

Lenient to keys that do not change the shape, strict about those that do: what is missing, of the
wrong type, or of an architecture that is not known becomes an InputError with file and line.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from llmplan.errors import Fault, InputError
from llmplan.files import Document, parse_yaml, read_text
from llmplan.model.huggingface_config import Config, parse_config
from llmplan.model.huggingface_fixes import FIXES
from llmplan.model.huggingface_layers import mixers, mlps
from llmplan.model.huggingface_quantization import precisions
from llmplan.model.spec import ModelSpec

CONFIG, QUANT = "config.json", "hf_quant_config.json"
ACTIVATION = ("hidden_act", "activation_function", "hidden_activation")
# activations that no published decoder uses with a gate; those that are used so only beside an RMSNorm (Gemma)
UNGATED = ("relu2", "squared_relu", "relu")
UNGATED_WITH_LAYERNORM = ("gelu", "gelu_new", "gelu_fast", "quick_gelu", "gelu_pytorch_tanh")
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
    family = _family(config)
    fields = _read(config, family)
    fields |= precisions(config, bool(fields.get("experts")))
    _refuse_unread(config, family)
    if config.faults:
        raise InputError(config.faults)
    spec = _checked(fields | {"name": name or config.model_type}, config)
    return spec, tuple(config.warnings)


def _read(config: Config, family: dict[str, Any]) -> dict[str, Any]:
    """Every field that the table knows, then patterns of layers, then what only code can say."""
    fields: dict[str, Any] = {"family": config.model_type}
    for field, keys in _keys(family).items():
        value = config.value(keys, _type_of(field), field)
        if value == 0 and field in NEEDED:
            config.fault(f"{config.key_of(field)} must be at least 1", config.key_of(field))
        elif value is not None and (value != 0 or ModelSpec.model_fields[field].default is not None):
            fields[field] = value  # a 0 stands for "none" in widths and ranks that may be left out
    fields |= family.get("set", {})
    _defaults(fields, family, config)
    if "mixers" not in fields:
        fields |= mixers(config, family, fields) | mlps(config, family, fields)
    if "fix" in family:
        fields = FIXES[family["fix"]](config, fields)
    return {key: value for key, value in fields.items() if value is not None and key in ModelSpec.model_fields}


def _keys(family: dict[str, Any]) -> dict[str, list[str]]:
    groups = table()["groups"]
    keys: dict[str, list[str]] = {}
    for group in ("shape", *family.get("groups", ())):
        keys |= groups[group]
    return {field: names for field, names in (keys | family.get("read", {})).items() if names}


def _defaults(fields: dict[str, Any], family: dict[str, Any], config: Config) -> None:
    """Fills what the config leaves out from the family's defaults; the rest is missing, and said so."""
    _nested_defaults(fields, family, config)
    for field, value in family.get("default", {}).items():
        if field not in fields:
            fields[field] = _default(value, fields)
    hidden, heads = fields.get("hidden"), fields.get("heads")
    if fields.get("head_dim") is None and hidden and heads:
        if hidden % heads and "kv_lora_rank" not in fields:
            config.fault(f"hidden_size {hidden} is not a multiple of {heads} heads; give head_dim", "hidden_size")
        fields["head_dim"] = max(1, hidden // heads)
    for field in NEEDED:
        if field not in fields and not config.key_of(field):
            key = config.shown(_keys(family).get(field, [field]))
            config.fault(f"key {key} is missing ({field})")


def _nested_defaults(fields: dict[str, Any], family: dict[str, Any], config: Config) -> None:
    """A `text_config` holds only what differs from its configuration class: the class's own shapes, said aloud."""
    left_out = {name: value for name, value in family.get("nested", {}).items() if name not in fields}
    if not config.nested or not left_out:
        return
    fields |= left_out
    shown = ", ".join(f"{name} {value}" for name, value in left_out.items())
    config.warnings.append(f"left out and taken from the configuration class of {config.model_type!r}: {shown}")


def _default(value: Any, fields: dict[str, Any]) -> Any:
    """A default as the table writes it: a plain value, `heads`, or `<n> x hidden`."""
    if value == "heads":
        return fields.get("heads")
    if isinstance(value, str) and value.endswith(" x hidden"):
        return int(value.split()[0]) * fields["hidden"] if "hidden" in fields else None
    return value


@lru_cache(maxsize=1)
def _types() -> dict[str, type]:
    types: dict[str, type] = {}
    for field, info in ModelSpec.model_fields.items():
        words = {info.annotation, *get_args(info.annotation)}
        types[field] = bool if bool in words else str if str in words and int not in words else int
    return types


def _type_of(field: str) -> type:
    return _types().get(field, int)


def _family(config: Config) -> dict[str, Any]:
    """The family's entry with what it takes from others; the generic decoder for an unknown type."""
    families, unsupported = table()["families"], table()["unsupported"]
    kind = config.model_type.lower()
    for candidate in (kind, kind.removesuffix("_text")):
        if candidate in families:
            return resolve(candidate)
        if candidate in unsupported:
            config.fault(f"model_type {config.model_type!r} is not supported: {unsupported[candidate]}", "model_type")
            raise InputError(config.faults)
    return _generic(config)


def _generic(config: Config) -> dict[str, Any]:
    """An unknown decoder with ordinary keys reads like Llama, with a warning; anything else is refused."""
    named = config.model_type or "(no model_type)"
    architectures = config.data.get("architectures")
    listed = [str(item) for item in architectures] if isinstance(architectures, list) else []
    if config.data.get("is_encoder_decoder") is True or (
        listed and not any("CausalLM" in a or "LMHead" in a or "ConditionalGeneration" in a for a in listed)
    ):
        what = ", ".join(listed) or "an encoder-decoder"
        config.fault(f"model_type {named!r} ({what}) is not known and is no causal language model", "model_type")
        raise InputError(config.faults)
    kind, words = _nearest(config)
    config.warnings.append(f"model_type {named!r} is not known: read as {words}; check the parameter count")
    return resolve(kind)


def _nearest(config: Config) -> tuple[str, str]:
    """The family that an unknown decoder's keys are those of, and what to call it."""
    groups = table()["groups"]
    moe = any(config.data.get(key) for key in groups["moe"]["experts"])
    plain = "with two RMSNorms a layer and without biases that the config does not name"
    latent = all(config.data.get(key) for key in ("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
    if latent and moe:
        if all(config.data.get(key) for keys in groups["index"].values() for key in keys):
            return "deepseek_v32", "DeepSeek-V3.2 (latent attention with an index, experts)"
        return "deepseek_v3", "DeepSeek-V3 (latent attention, experts)"
    if latent:
        return "latent", f"a dense decoder with latent attention, {plain}"
    if moe:
        own = any(config.data.get(key) for key in groups["moe"]["expert_ffn_hidden"])
        width = "" if own else " as wide as intermediate_size"
        return "generic_moe", f"a mixture of experts with gated MLPs{width}, {plain}"
    activation = str(next((config.data[key] for key in ACTIVATION if key in config.data), "")).lower()
    rms = any("rms" in key for key in config.data)
    if activation in UNGATED or (activation in UNGATED_WITH_LAYERNORM and not rms):
        return "generic_plain", f"a dense decoder with an MLP without gate ({activation}), as GPT-2, with LayerNorms"
    return "generic", f"a dense decoder with a gated MLP, as Llama, {plain}"


def resolve(kind: str) -> dict[str, Any]:
    """A family's entry merged over the ones that it is `like`."""
    entry = dict(table()["families"][kind])
    parent = entry.pop("like", None)
    if parent is None:
        return entry
    merged = resolve(parent)
    merged.pop("nested", None)  # of one configuration class alone
    for key, value in entry.items():
        merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    # a field that the child reads from the config is no longer fixed by the parent
    for field in entry.get("read", {}):
        if field not in entry.get("set", {}):
            merged["set"] = {name: value for name, value in merged.get("set", {}).items() if name != field}
    return merged


def _refuse_unread(config: Config, family: dict[str, Any]) -> None:
    """Faults for keys that change the architecture and that nothing has read."""
    for key in family.get("refuse", ()):
        if config.data.get(key):
            config.fault(f"{key} = {config.data[key]!r} is not supported for {config.model_type}", key)
    harmless = set(table()["harmless"].split())
    for key, value in config.data.items():
        empty = value in (None, False, 0, 1, "", "none", [], {})
        if empty or key in config.used or key in harmless or isinstance(value, bool):
            continue
        if config.is_suspicious(key, table()["suspicious"]):
            named = config.model_type or "(no model_type)"
            config.fault(f"key {key!r} is not known for model_type {named!r}, and it changes the architecture", key)


def _checked(fields: dict[str, Any], config: Config) -> ModelSpec:
    try:
        return ModelSpec.model_validate(fields)
    except ValidationError as error:
        faults = []
        for item in error.errors(include_url=False):
            field = ".".join(str(step) for step in item["loc"])
            key = config.key_of(field)
            text = item["msg"].removeprefix("Value error, ")
            message = f"{key or field}: {text[:1].lower()}{text[1:]}" if field else text
            faults.append(Fault(message, config.file, config.line(key)))
        raise InputError(faults) from None


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """The contents of `families.yaml`."""
    path = Path(__file__).with_name("families.yaml")
    data: dict[str, Any] = parse_yaml(read_text(path), path.name)[0].data
    return data
