"""The families of `families/`: one block of YAML each, read by its name, laid over the family that it is `like`.

Only the blocks that a config needs are parsed, so that the number of families costs no time.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from llmplan.documents import parse_yaml
from llmplan.files import read_text

FOLDER = Path(__file__).with_name("families")
TABLES = ("decoders", "experts", "recurrent", "encoders")
_BLOCK = re.compile(r"^(?=[\w.+-]+:)", re.MULTILINE)
# classes that compute logits of the next token: the decoder of a family that is otherwise an encoder, or has one
CAUSAL = re.compile(r"ForCausalLM|LMHead|GenerationDecoder|DoubleHeads")


@lru_cache(maxsize=1)
def _blocks() -> dict[str, str]:
    """The text of each family, by its name."""
    text = "".join(read_text(FOLDER / f"{table}.yaml") for table in TABLES)
    return {block.partition(":")[0]: block for block in _BLOCK.split(text) if not block.startswith("#")}


def _parsed(name: str) -> dict[str, Any]:
    data: dict[str, Any] = parse_yaml(_blocks()[name], name)[0].data[name]
    return data


@lru_cache(maxsize=1)
def keys() -> dict[str, Any]:
    """The contents of `families/keys.yaml`: groups of keys, and what is known of single keys."""
    data: dict[str, Any] = parse_yaml(read_text(FOLDER / "keys.yaml"), "keys.yaml")[0].data
    return data


@lru_cache(maxsize=1)
def unsupported() -> dict[str, str]:
    """Types that are known to be built in a way that the planner does not describe, and what that is."""
    data: dict[str, str] = parse_yaml(read_text(FOLDER / "unsupported.yaml"), "unsupported.yaml")[0].data
    return data


def names() -> tuple[str, ...]:
    """All families that are read."""
    return tuple(_blocks())


def known(kind: str) -> str | None:
    """The family that reads a `model_type`: its own, or that of the model whose text part it is."""
    kind = kind.lower()
    candidates = (kind, kind.removesuffix("_text"), kind.removesuffix("_text_model"))
    return next((name for name in candidates if name in _blocks() or name in unsupported()), None)


def family(name: str, architecture: str = "") -> dict[str, Any]:
    """A family's entry over those that it is `like`; with its part `causal` where the class has a language head."""
    merged = _resolved(name)
    causal = merged.pop("causal", None)
    if causal and CAUSAL.search(architecture):
        _lay_over(merged, causal)
    return merged


def _resolved(name: str) -> dict[str, Any]:
    entry = dict(_parsed(name))
    parent = entry.pop("like", None)
    if parent is None:
        return entry
    merged = _resolved(parent)
    merged.pop("nested", None)  # of one configuration class alone
    _lay_over(merged, entry)
    return merged


def parent(name: str) -> str | None:
    """The family that one is `like`; None for one that stands alone or is not known."""
    like: str | None = _parsed(name).get("like") if name in _blocks() else None
    return like


def _lay_over(merged: dict[str, Any], entry: dict[str, Any]) -> None:
    for key, value in entry.items():
        merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    # a field that the child reads from the config is no longer fixed by the parent
    own = entry.get("set", {})
    for field in entry.get("read", {}):
        if field not in own:
            merged["set"] = {name: value for name, value in merged.get("set", {}).items() if name != field}


def keys_of(entry: dict[str, Any]) -> dict[str, list[str]]:
    """Field to the keys that may hold it, of one family."""
    groups = keys()["groups"]
    found: dict[str, list[str]] = {}
    for group in ("shape", *entry.get("groups", ())):
        found |= groups[group]
    return {field: listed for field, listed in (found | entry.get("read", {})).items() if listed}


def value_of(written: Any, fields: dict[str, Any]) -> Any:
    """What a table writes for a number: itself, or a sum of products of fields, such as `2 x hidden + heads`.

    None where one of the fields is not there.

    >>> value_of("2 x hidden + heads", {"hidden": 64, "heads": 8})
    136
    """
    if not isinstance(written, str):
        return written
    total = 0
    for term in written.split(" + "):
        product = 1
        for factor in term.split(" x "):
            value = int(factor) if factor.lstrip("-").isdigit() else fields.get(factor)
            if value is None:
                return None
            product *= value
        total += product
    return total
