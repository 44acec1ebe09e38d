"""Reads the header of a GGUF file: its metadata and its table of tensors, never their data.

Nothing is allocated by a size that the file claims: every count is held against the bytes that are left, and long
arrays (vocabularies) are passed over.
"""

from __future__ import annotations

import re
import struct
from dataclasses import field
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from llmplan.documents import Document, parse_yaml
from llmplan.errors import Fault, InputError
from llmplan.files import builtin, read_text, unreadable
from llmplan.model.weights import Tensor, Weights
from llmplan.records import dataclass

MAGIC = b"GGUF"
VERSIONS = (2, 3)
_FIXED = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_LONGEST_TEXT = 65_536  # of a key or a value that is kept
_LONGEST_ARRAY = 4_096  # values that are kept: one a layer; a vocabulary is not
_MOST_TENSORS, _MOST_KEYS, _MOST_DIMENSIONS, _MOST_DEPTH = 1_000_000, 100_000, 8, 3
_LEAST_TENSOR, _LEAST_KEY, _LEAST_TEXT = 24, 12, 8  # bytes that one takes at least
_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})\.gguf\Z")
_BITS = 8.0


@dataclass
class Header:
    """What one file says: metadata by key, tensors, and how many bytes their data need and are there [bytes]."""

    path: Path
    metadata: dict[str, Any] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)
    needed: float = 0.0
    there: float = 0.0


def read_gguf(path: Path) -> tuple[dict[str, Any], Weights, tuple[str, ...]]:
    """Metadata and weights of a GGUF file, of all its parts where it is split, and warnings."""
    headers = [read_header(part) for part in _parts(path)]
    first = headers[0]
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    if not tensors:
        raise InputError(Fault("holds no tensors", str(path)))
    weights = Weights(tensors, str(path))
    bits = _BITS * weights.bytes / max(weights.parameters, 1)
    kinds = [kind for kind in weights.kinds() if kind != "F32"] or ["F32"]
    short = [header for header in headers if header.needed > header.there]
    warnings = tuple(
        f"{header.path.name} ends before its tensors do: {header.there:.4g} of {header.needed:.4g} bytes are there"
        for header in short
    )
    label = f"{', '.join(kinds)}, {bits:.3g} bits a parameter"
    return first.metadata, Weights(tensors, str(path), label), warnings


def _parts(path: Path) -> list[Path]:
    """The file, or all parts of a split one; an InputError where one is missing."""
    match = _SPLIT.search(path.name)
    if match is None:
        return [path]
    count = int(match[2])
    stem = path.name[: match.start()]
    parts = [path.with_name(f"{stem}-{number:05d}-of-{count:05d}.gguf") for number in range(1, min(count, 9999) + 1)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise InputError(Fault(f"is one of {count} parts, and {missing[0]} is missing", str(path)))
    return parts


def read_header(path: Path) -> Header:
    """The header of one file; an InputError where it is no GGUF file, cut off, or claims what cannot be."""
    try:
        with path.open("rb") as file:
            return _Reader(path, file, path.stat().st_size).header()
    except FileNotFoundError:
        raise InputError(Fault("no such file", str(path))) from None
    except OSError as error:
        raise unreadable(error, path) from None


@dataclass
class _Reader:
    """One pass over a header; left: bytes of the file that were not read yet."""

    path: Path
    file: BinaryIO
    left: int

    def header(self) -> Header:
        """Everything before the data."""
        size = self.left
        if self.take(len(MAGIC)) != MAGIC:
            self.fail("is no GGUF file: it does not begin with GGUF")
        version = self.number("<I")
        if version not in VERSIONS:
            self.fail(f"is GGUF version {version}; {' and '.join(map(str, VERSIONS))} are read")
        tensors = self.count("tensors", _LEAST_TENSOR, _MOST_TENSORS)
        keys = self.count("keys", _LEAST_KEY, _MOST_KEYS)
        found = Header(self.path)
        for _ in range(keys):
            key = self.text()
            found.metadata[key] = self.value(self.number("<I"), 0)
        for _ in range(tensors):
            tensor = self.tensor()
            found.tensors.append(tensor)
            found.needed += tensor.bytes
        found.there = float(min(size, self.left))
        return found

    def tensor(self) -> Tensor:
        """One row of the table."""
        name = self.text()
        dimensions = self.number("<I")
        if dimensions > _MOST_DIMENSIONS:
            self.fail(f"tensor {name[:80]!r} claims {dimensions} dimensions")
        shape = tuple(int(self.number("<Q")) for _ in range(dimensions))
        number, _ = int(self.number("<I")), self.number("<Q")
        kind = types().get(number)
        if kind is None:
            self.fail(f"tensor {name[:80]!r} is of type {number}, which is not known")
        assert kind is not None
        elements = prod(shape)
        if not 0 < elements < 1 << 53:
            self.fail(f"tensor {name[:80]!r} claims the shape {shape}")
        if shape and shape[0] % kind["block"]:
            self.fail(
                f"tensor {name[:80]!r} has rows of {shape[0]}, no multiple of the {kind['block']} of {kind['name']}"
            )
        # the file has the fastest dimension first, other formats last
        return Tensor(name, shape[::-1], kind["name"], elements / kind["block"] * kind["bytes"])

    def value(self, kind: float, depth: int) -> Any:
        """One value of the metadata; None for an array that is too long to keep."""
        if kind in _FIXED:
            return self.number(_FIXED[int(kind)])
        if kind == _STRING:
            return self.text(keep=True)
        if kind != _ARRAY or depth >= _MOST_DEPTH:
            self.fail(f"has a value of type {kind:g} in its metadata, which is not known")
        inner = int(self.number("<I"))
        if inner in _FIXED:
            size = struct.calcsize(_FIXED[inner])
            count = self.count("values", size, self.left)
            if count > _LONGEST_ARRAY:
                self.skip(count * size)
                return None
            return [self.number(_FIXED[inner]) for _ in range(count)]
        count = self.count("values", _LEAST_TEXT, self.left)
        values = [self.value(inner, depth + 1) for _ in range(count)] if count <= _LONGEST_ARRAY else None
        if values is None:
            for _ in range(count):
                if inner == _STRING:
                    self.skip(int(self.number("<Q")))
                else:
                    self.value(inner, depth + 1)
        return values

    def text(self, *, keep: bool = False) -> str:
        """A string; a long one is cut where it may be."""
        length = int(self.number("<Q"))
        if length > self.left or (length > _LONGEST_TEXT and not keep):
            self.fail(f"claims a text of {length} bytes where {self.left} are left: it is cut off or broken")
        kept = self.take(min(length, _LONGEST_TEXT)).decode("utf-8", "replace")
        self.skip(max(0, length - _LONGEST_TEXT))
        return kept

    def count(self, what: str, least: int, most: int) -> int:
        """A count that the bytes left can hold."""
        count = int(self.number("<Q"))
        if count > most or count * least > self.left:
            self.fail(f"claims {count} {what} where {self.left} bytes are left: it is cut off or broken")
        return count

    def number(self, form: str) -> Any:
        """One number."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def take(self, size: int) -> bytes:
        """The next bytes."""
        found = self.file.read(size) if size <= self.left else b""
        if len(found) != size:
            self.fail("ends inside its header: it is cut off")
        self.left -= size
        return found

    def skip(self, size: int) -> None:
        """Passes over bytes."""
        if size > self.left:
            self.fail("ends inside its header: it is cut off")
        self.file.seek(size, 1)
        self.left -= size

    def fail(self, message: str) -> None:
        """Raises an InputError about this file."""
        raise InputError(Fault(message, str(self.path)))


def types() -> dict[int, dict[str, Any]]:
    """Types of ggml by number: name, elements of a block, bytes of a block."""
    return {int(number): entry for number, entry in table()["types"].items()}


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """The contents of `hardware_catalog/ggml.yaml`."""
    path = builtin() / "ggml.yaml"
    data: dict[str, Any] = parse_yaml(read_text(path), path.name)[0].data
    return data


def config_of(metadata: dict[str, Any], weights: Weights) -> Document:
    """The metadata in the words of a config.json, without a model_type where nobody described the architecture."""
    facts = table()
    name = str(metadata.get("general.architecture", ""))
    entry = facts["architectures"].get(name)
    found: dict[str, Any] = {}
    for key, behind in facts["keys"].items():
        value = metadata.get(f"{name}.{behind}")
        if isinstance(value, list):  # one a layer
            value = max(value, default=None) if len(set(value) - {0}) <= 1 else value
        if value is not None:
            found[key] = value
            found |= dict.fromkeys(facts["also"].get(key, ()), value)
    experts = found.get("num_experts")
    if entry is not None:
        found["model_type"] = entry["experts"] if experts and "experts" in entry else entry["family"]
    names = {tensor.name: tensor for tensor in weights.tensors}
    if "token_embd.weight" not in names:
        raise InputError(Fault("has no token_embd.weight: it is no language model", weights.file))
    found["vocab_size"] = names["token_embd.weight"].shape[0]
    found["tie_word_embeddings"] = "output.weight" not in names
    if experts and "moe_intermediate_size" not in found and "intermediate_size" in found:
        found["moe_intermediate_size"] = found["intermediate_size"]
    return Document(found, weights.file, {(): 1})
