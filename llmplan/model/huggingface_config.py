"""A config.json as it is read: its text part, the line of each key, what was read, what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import field
from typing import Any

from llmplan.documents import Document, is_too_large, lenient_json
from llmplan.errors import Fault, InputError
from llmplan.records import dataclass

# where multimodal models keep their language model
WRAPPERS = (
    "text_config",
    "llm_config",
    "language_config",
    "language_model_config",
    "thinker_config",
    "text_model_config",
)
# what stands outside the language model and belongs to it; the first wins over what stands inside, from version 5 on
TIE = "tie_word_embeddings"
OUTER = ("quantization_config", "architectures", "compression_config")
PER_LAYER = ("heads", "kv_heads", "head_dim", "ffn_hidden")  # fields that a layer may have of its own
MAX_INTEGER = 10**15
MAX_LAYERS = 10_000  # as ModelSpec has it; beyond, the spec itself reports the fault
SHOWN = 60  # characters of a bad value in a message
_KEY = re.compile(r'"((?:[^"\\\n]|\\.){1,200})"\s*:')


def parse_config(text: str, file: str) -> Document:
    """JSON as Python's json module writes it (Infinity is allowed), with the first line of each key."""
    try:
        data = lenient_json(text, file)
    except json.JSONDecodeError as error:
        raise InputError(Fault(f"is not valid JSON: {error.msg} (column {error.colno})", file, error.lineno)) from None
    except ValueError:
        raise InputError(Fault("holds a number with too many digits", file)) from None
    if not isinstance(data, dict):
        raise InputError(Fault("is not a model configuration: expected a JSON object", file, 1))
    if is_too_large(data):
        raise InputError(Fault("holds more values than any model's configuration", file, 1))
    lines: dict[tuple[str | int, ...], int] = {(): 1}
    inner = min((at for name in WRAPPERS if (at := text.find(f'"{name}"')) >= 0), default=len(text))
    line, at = 1, 0
    for match in _KEY.finditer(text):
        line, at = line + text.count("\n", at, match.start()), match.start()
        lines.setdefault(("inner", match[1]) if at > inner else (match[1],), line)
    return Document(data, file, lines)


@dataclass
class Config:
    """The part of a config that describes the language model.

    levels: the config and what it wraps, from the outside in. used: keys that were read. read_as: key to the field
    that it became. faults, warnings: found on the way.
    per_layer: field to its value in each layer, where layers differ.
    """

    data: dict[str, Any]
    document: Document
    quant: Document | None
    model_type: str
    nested: bool
    levels: list[dict[str, Any]] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    read_as: dict[str, str] = field(default_factory=dict)
    per_layer: dict[str, list[int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, document: Document, quant: Document | None) -> Config:
        """Unwraps multimodal configs, and says so."""
        data, levels, faults = document.data, [document.data], []
        while (name := next((name for name in WRAPPERS if data.get(name) is not None), None)) is not None:
            if not isinstance(data[name], dict):
                message = f"{name} must be an object, got {_short(data[name])}"
                faults.append(Fault(message, document.file, document.lines.get((name,), 1)))
                break
            outer, data = data, dict(data[name])
            levels.append(data)
            if "hidden_size" in outer and "num_hidden_layers" in outer and "hidden_size" not in data:
                data = {key: value for key, value in outer.items() if key not in WRAPPERS}
            data |= {key: outer[key] for key in OUTER if key in outer and data.get(key) is None}
            if isinstance(outer.get("architectures"), list) and outer["architectures"]:
                data["architectures"] = outer["architectures"]  # the class that is loaded (Kimi K2.5 names both)
            inner_wins = _is_of_4(document.data) and isinstance(data.get(TIE), bool)
            data |= {TIE: outer[TIE]} if isinstance(outer.get(TIE), bool) and not inner_wins else {}
            data.setdefault("model_type", outer.get("model_type"))
        nested = data is not document.data
        kind = data.get("model_type")
        known = kind if isinstance(kind, str) else ""
        config = cls(data, document, quant, known, nested, levels, faults=faults)
        if kind is not None and not isinstance(kind, str):
            config.fault("model_type must be text", "model_type")
        return config

    @property
    def is_of_4(self) -> bool:
        """Whether transformers 4 wrote it, whose classes tie and share weights in other ways than those of 5."""
        return _is_of_4(self.document.data)

    @property
    def file(self) -> str:
        """The config's file, for messages."""
        return self.document.file

    @property
    def architecture(self) -> str:
        """The class that the weights are of, such as `BertForMaskedLM`; empty where the config does not say."""
        listed = self.data.get("architectures")
        return str(listed[0]) if isinstance(listed, list) and listed else ""

    @property
    def layers(self) -> int:
        """Layers as the config says them, 1 where it does not, or says more than any; only to weigh lists of names."""
        names = ("num_hidden_layers", "n_layer", "num_layers", "num_transformer_layers")
        value = next((self.data.get(key) for key in names if key in self.data), 1)
        return value if isinstance(value, int) and value <= MAX_LAYERS else 1

    def line(self, key: str) -> int:
        """The line where `key` stands, or the first."""
        lines = self.document.lines
        inner, outer = lines.get(("inner", key)), lines.get((key,))
        found = (inner or outer) if self.nested else (outer or inner)
        return found or 1

    def key_of(self, name: str) -> str:
        """The key that became the field `name`; empty if none did."""
        return next((key for key, read in self.read_as.items() if read == name), "")

    def fault(self, message: str, key: str = "") -> None:
        """Notes a fault, to be raised with all others."""
        self.faults.append(Fault(message, self.file, self.line(key)))

    def shown(self, keys: Sequence[str]) -> str:
        """Keys for a message: the usual name first."""
        return " or ".join(keys[:2])

    def value(self, keys: Sequence[str], kind: type, name: str = "") -> Any:
        """The first of `keys` that is there and not null, as `kind`; a fault for another type."""
        self.used.update(keys)
        for key in keys:
            if self.data.get(key) is not None:
                self.read_as[key] = name
                return self._as(key, self._one(self.data[key], name), kind)
        return None

    def _one(self, value: Any, name: str) -> Any:
        """The usual number where there is one a layer; all of them go to `per_layer` where they differ."""
        numbers = isinstance(value, list) and all(type(item) is int and 0 < item <= MAX_INTEGER for item in value)
        if not numbers or not 1 < len(value) == self.layers:
            return value
        if len(set(value)) > 1:
            if name not in PER_LAYER:
                return value
            self.per_layer[name] = value
        return max(set(value), key=value.count)

    def _as(self, key: str, value: Any, kind: type) -> Any:
        if kind is int:
            whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            if isinstance(value, bool) or not whole:
                self.fault(f"{key} must be a whole number, got {_short(value)}", key)
                return None
            if not 0 <= value <= MAX_INTEGER:
                self.fault(f"{key} must lie between 0 and {MAX_INTEGER:.0e}, got {_short(value)}", key)
                return None
            return int(value)
        if not isinstance(value, kind):
            self.fault(f"{key} must be {'true or false' if kind is bool else 'text'}, got {_short(value)}", key)
            return None
        return value

    def nested_in(self, key: str) -> dict[str, Any]:
        """The mapping under `key`; empty where there is none."""
        self.used.add(key)
        value = self.data.get(key)
        return value if isinstance(value, dict) else {}

    def words(self, key: str, layers: int, spare: int = 0) -> list[str] | None:
        """A list with one word (or number) a layer; trailing entries of up to `spare` MTP layers are dropped."""
        value = self.data.get(key)
        self.used.add(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, (str, int)) for item in value):
            self.fault(f"{key} must be a list with one entry a layer, got {_short(value)}", key)
            return None
        if not layers <= len(value) <= layers + spare:
            self.fault(f"{key} has {len(value)} entries for {layers} layers", key)
            return None
        return [str(item) for item in value[:layers]]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _is_of_4(data: dict[str, Any]) -> bool:
    return str(data.get("transformers_version", "")).startswith("4.")
