"""Writes headers of GGUF and safetensors files: what tests read; the data are a hole."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from llmplan.model.gguf import types

Rows = Iterable[tuple[str, tuple[int, ...], str]]
"""Tensors: name, shape with the slowest dimension first, type."""


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(data: Any) -> bytes:
    if isinstance(data, str):
        return struct.pack("<I", 8) + text(data)
    if isinstance(data, list):
        if data and isinstance(data[0], str):
            return struct.pack("<IIQ", 9, 8, len(data)) + b"".join(text(one) for one in data)
        return struct.pack("<IIQ", 9, 4, len(data)) + b"".join(struct.pack("<I", one) for one in data)
    return struct.pack("<If", 6, data) if isinstance(data, float) else struct.pack("<II", 4, data)


def gguf(path: Path, metadata: Mapping[str, Any], rows: Rows, *, data: bool = True, version: int = 3) -> float:
    """Writes a file; the bytes of its tensors."""
    numbers = {entry["name"]: (number, entry) for number, entry in types().items()}
    rows = list(rows)
    head = b"GGUF" + struct.pack("<IQQ", version, len(rows), len(metadata))
    head += b"".join(text(key) + value(one) for key, one in metadata.items())
    total = 0.0
    for name, shape, kind in rows:
        number, entry = numbers[kind]
        head += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape[::-1])
        head += struct.pack("<IQ", number, int(total))
        elements = 1
        for size in shape:
            elements *= size
        total += elements / entry["block"] * entry["bytes"]
    with path.open("wb") as file:
        file.write(head)
        if data:
            file.truncate(len(head) + int(total) + 64)
    return total


def llama_metadata(layers: int, hidden: int, ffn: int, heads: int, kv_heads: int, **more: Any) -> dict[str, Any]:
    name = str(more.pop("architecture", "llama"))
    return {
        "general.architecture": name, "general.name": "a model", f"{name}.block_count": layers,
        f"{name}.embedding_length": hidden, f"{name}.feed_forward_length": ffn, f"{name}.attention.head_count": heads,
        f"{name}.attention.head_count_kv": kv_heads, f"{name}.context_length": 131072,
        f"{name}.attention.layer_norm_rms_epsilon": 1e-5, "tokenizer.ggml.tokens": ["a"] * 5000,
        **{f"{name}.{key}": one for key, one in more.items()},
    }  # fmt: skip


def llama_rows(layers: int, hidden: int, ffn: int, kv: int, vocab: int, kind: Any) -> Rows:
    """Tensors of a Llama; kind: the type of a matrix by its short name and layer."""
    yield "rope_freqs.weight", (64,), "F32"
    yield "token_embd.weight", (vocab, hidden), kind("token_embd", 0)
    for layer in range(layers):
        for name, shape in (
            ("attn_q", (hidden, hidden)), ("attn_k", (kv, hidden)), ("attn_v", (kv, hidden)),
            ("attn_output", (hidden, hidden)), ("ffn_gate", (ffn, hidden)), ("ffn_up", (ffn, hidden)),
            ("ffn_down", (hidden, ffn)),
        ):  # fmt: skip
            yield f"blk.{layer}.{name}.weight", shape, kind(name, layer)
        yield f"blk.{layer}.attn_norm.weight", (hidden,), "F32"
        yield f"blk.{layer}.ffn_norm.weight", (hidden,), "F32"
    yield "output_norm.weight", (hidden,), "F32"
    yield "output.weight", (vocab, hidden), kind("output", 0)


def q4_k_m(layers: int) -> Any:
    """Types that llama.cpp gives a model of that quantization: every third value and down matrix, and those of the
    first and last eighth, has six bits."""

    def kind(name: str, layer: int) -> str:
        more = layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
        return "Q6_K" if name == "output" or (name in ("attn_v", "ffn_down") and more) else "Q4_K"

    return kind


def safetensors(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]], *, data: bool = True) -> int:
    """Writes a file of tensors (name -> type, shape); the bytes of them."""
    sizes = {"F32": 4, "BF16": 2, "F16": 2, "I32": 4, "F8_E4M3": 1, "U8": 1}
    at, head = 0, {}
    for name, (kind, shape) in tensors.items():
        size = sizes[kind]
        for length in shape:
            size *= length
        head[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    raw = json.dumps(head).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        if data:
            file.truncate(8 + len(raw) + at)
    return at
