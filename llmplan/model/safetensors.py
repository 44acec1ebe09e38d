"""Reads the headers of safetensors files: names, types and shapes of tensors, 8 bytes and a JSON, never their data."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import Any

from llmplan.documents import lenient_json, parse_json
from llmplan.errors import Fault, InputError
from llmplan.files import read_text
from llmplan.model.weights import Tensor, Weights

PATTERN, INDEX = "*.safetensors", "model.safetensors.index.json"
MOST_HEADER = 100_000_000  # bytes, the format's own limit
TYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "C64": 64,
}  # fmt: skip
"""Bits of an element by type, as the format's own library lists them."""
PLAIN = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
"""Types of which an element is a parameter; others are packed or are indices."""
_SIZE = 8  # bytes of the number before the header
_BITS = 8.0


def read_safetensors(folder: Path) -> tuple[Weights | None, tuple[str, ...]]:
    """The weights that stand in a folder, and warnings; None where there are none, or not all of them."""
    files = sorted(folder.glob(PATTERN))
    if not files:
        return None, ()
    index = folder / INDEX
    if index.is_file():
        listed = parse_json(read_text(index), str(index)).data
        names = listed.get("weight_map") if isinstance(listed, dict) else None
        if not isinstance(names, dict):
            raise InputError(Fault("has no weight_map", str(index)))
        wanted = {str(name) for name in names.values()}
        missing = sorted(wanted - {file.name for file in files})
        if missing:
            warning = f"{len(missing)} of {len(wanted)} files of weights are not here: nothing is checked against them"
            return None, (warning,)
        files = [file for file in files if file.name in wanted]
    tensors = [tensor for file in files for tensor in read_file(file)]
    bits = _BITS * sum(tensor.bytes for tensor in tensors) / max(sum(t.parameters for t in tensors if t.counts), 1)
    kinds = ", ".join(Weights(tuple(tensors), "").kinds())
    return Weights(tuple(tensors), str(folder), f"{kinds}, {bits:.3g} bits a parameter"), ()


def read_file(path: Path) -> list[Tensor]:
    """Tensors of one file; an InputError where its header is cut off or contradicts itself."""
    size = path.stat().st_size
    with path.open("rb") as file:
        raw = file.read(_SIZE)
        length = struct.unpack("<Q", raw)[0] if len(raw) == _SIZE else MOST_HEADER + 1
        if length > min(MOST_HEADER, size - _SIZE):
            raise InputError(Fault("claims a header that it does not hold: it is cut off or no safetensors", str(path)))
        text = file.read(length)
    try:
        header = lenient_json(text, str(path))
    except ValueError:
        raise InputError(Fault("has a header that is not valid JSON", str(path))) from None
    if not isinstance(header, dict):
        raise InputError(Fault("has a header that is no JSON object", str(path)))
    return [_tensor(path, name, entry) for name, entry in header.items() if name != "__metadata__"]


def _tensor(path: Path, name: str, entry: Any) -> Tensor:
    """One entry; its bytes follow from type and shape, and must be those that it takes in the file."""
    try:
        kind, shape = str(entry["dtype"]), tuple(int(size) for size in entry["shape"])
        begin, end = (int(offset) for offset in entry["data_offsets"])
        held = prod(shape) * TYPE_BITS[kind] / _BITS
    except (KeyError, TypeError, ValueError, OverflowError):  # sizes that no float holds, Infinity among them
        raise InputError(Fault(f"tensor {name[:80]!r} has no known type, shape and place", str(path))) from None
    if min(shape, default=1) < 0 or abs(end - begin - held) >= 1:
        raise InputError(Fault(f"tensor {name[:80]!r} is {kind} of {shape} and takes {end - begin} bytes", str(path)))
    return Tensor(name, shape, kind, held)


def is_plain(weights: Weights) -> bool:
    """Whether every element of a parameter is one, none packed with others."""
    return all(tensor.kind in PLAIN for tensor in weights.tensors if tensor.counts)


def is_narrow(weights: Weights) -> bool:
    """Whether some weights have fewer than 16 bits, so that they are served as they are stored."""
    return any(TYPE_BITS[tensor.kind] < 16 or tensor.kind in ("I32", "U32") for tensor in weights.tensors
               if tensor.group != "rest")  # fmt: skip
