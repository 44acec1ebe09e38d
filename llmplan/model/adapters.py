"""LoRA adapters of a layer: which matrices a target means in a family's own names, and which of them are one.

Names are those of `families/modules.yaml`; our own short words (`q`, `kv`, `gate`, `shared_up`, ...) and the groups
`attention`, `mlp`, `all-linear` and `default` mean the same in every family.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from llmplan.documents import parse_yaml
from llmplan.files import read_text
from llmplan.model.huggingface_families import FOLDER, parent
from llmplan.model.layer import Layer, Linear, Role
from llmplan.model.model import Model
from llmplan.records import dataclass

MEGATRON = "megatron"
ALL_LINEAR, DEFAULT = "all-linear", "default"
GROUPS: dict[str, tuple[Role, ...]] = {
    "attention": ("attention_in", "attention_out", "cross_kv"),
    "mlp": ("mlp_in", "mlp_out", "shared_in", "shared_out", "expert_in", "expert_out"),
}
"""Words for all adapters of that kind."""
_HALVES = {"kv": ("k", "v"), "cross_kv": ("cross_k", "cross_v")}


@dataclass(frozen=True, slots=True)
class Piece:
    """A matrix, or the part of it that an adapter writes: `outputs` of its columns [1]."""

    name: str
    linear: Linear
    outputs: int


@dataclass(frozen=True, slots=True)
class Adapter:
    """One low-rank pair: A (inputs x rank) reads the input, B (rank x outputs) adds to the outputs of its pieces.

    name: of the family's module, or our own word; pieces: matrices of ours that are one matrix there;
    times: of the rank that was asked for [1].
    """

    name: str
    pieces: tuple[Piece, ...]
    times: int = 1

    @property
    def linear(self) -> Linear:
        """The matrix whose input it reads."""
        return self.pieces[0].linear

    @property
    def outputs(self) -> int:
        """Columns that it adds to [1]."""
        return sum(piece.outputs for piece in self.pieces)


def adapters_of(model: Model, layer: Layer, targets: tuple[str, ...]) -> tuple[Adapter, ...]:
    """Adapters that a layer has under these targets, each once."""
    return _adapters_of(model.family, layer, targets)


def target_names(model: Model) -> list[str]:
    """Every name that a target may have in this model, the family's own first."""
    own = [name for layer in model.layers for piece in _pieces(layer) for name in _words_of(piece)]
    modules = [name.rpartition(".")[2] for layer in model.layers for name, _ in _modules(model.family, layer)]
    return list(dict.fromkeys([*modules, ALL_LINEAR, DEFAULT, *GROUPS, *own]))


def has_target(model: Model, target: str) -> bool:
    """Whether some layer has an adapter for it."""
    return any(adapters_of(model, layer, (target,)) for layer in model.layers)


@lru_cache(maxsize=1024)
def _adapters_of(family: str, layer: Layer, targets: tuple[str, ...]) -> tuple[Adapter, ...]:
    found: dict[tuple[Piece, ...], Adapter] = {}
    named = [adapter for _, adapter in _modules(family, layer)]
    for target in targets:
        for adapter in _meant(family, layer, named, target):
            found.setdefault(adapter.pieces, adapter)
    return tuple(found.values())


def _meant(family: str, layer: Layer, named: list[Adapter], target: str) -> Iterator[Adapter]:
    """Adapters of a layer that one target means."""
    if target == ALL_LINEAR:
        yield from named
    elif target == DEFAULT:
        for name in _default(family):
            yield from _meant(family, layer, named, name)
    elif target in GROUPS:
        yield from (one for one in named if one.linear.role in GROUPS[target])
    elif by_name := [one for one in (*named, *_of_megatron(layer)) if f".{one.name}".endswith(f".{target}")]:
        yield from by_name
    else:
        for piece in _pieces(layer):
            if target in _words_of(piece):
                holders = [one for one in named if piece.name in [part.name for part in one.pieces]]
                yield from holders or [Adapter(piece.name, (piece,))]


def _words_of(piece: Piece) -> tuple[str, ...]:
    """Our own words for a piece: its name, and that of its matrix."""
    return (piece.name, piece.linear.name) if piece.name != piece.linear.name else (piece.name,)


def _pieces(layer: Layer) -> Iterator[Piece]:
    """The matrices of a layer, keys and values apart."""
    for linear in layer.linears:
        if linear.name in _HALVES:
            keys = _key_columns(layer, linear)
            for name, outputs in zip(_HALVES[linear.name], (keys, linear.outputs - keys), strict=True):
                if outputs:
                    yield Piece(name, linear, outputs)
        else:
            yield Piece("recurrent_out" if linear.role == "recurrent_out" else linear.name, linear, linear.outputs)


def _key_columns(layer: Layer, linear: Linear) -> int:
    """Columns of a matrix of keys and values that make keys [1]: half of them where no core tells the widths."""
    crosses = linear.name == "cross_kv"
    cores = [core for core in layer.cores if core.kind == "softmax" and core.cross == crosses]
    return min(linear.outputs, cores[0].kv_heads * cores[0].qk_dim) if cores else linear.outputs // 2


def _modules(family: str, layer: Layer) -> Iterator[tuple[str, Adapter]]:
    """The family's modules that a layer has; of an unknown family its matrices, without routers and experts."""
    pieces = {piece.name: piece for piece in _pieces(layer)}
    table = _block(family).get("modules")
    if table is None:
        for name, piece in pieces.items():
            if not piece.linear.wide and not piece.linear.routed:
                yield name, Adapter(name, (piece,))
        return
    for name, written in table.items():
        adapter = _read(name, written, pieces)
        if adapter is not None:
            yield name, adapter


def _of_megatron(layer: Layer) -> Iterator[Adapter]:
    """The same by the names of Megatron-LM, which holds every family in its own modules."""
    pieces = {piece.name: piece for piece in _pieces(layer)}
    found = (_read(name, written, pieces) for name, written in _block(MEGATRON)["modules"].items())
    return (adapter for adapter in found if adapter is not None)


def _read(name: str, written: str, pieces: Mapping[str, Piece]) -> Adapter | None:
    """What a table writes, such as `q + k + v`, `linear_decay/2` or `2 * expert_gate + expert_up`."""
    times, star, sum_ = written.partition(" * ")
    found = []
    for term in (sum_ if star else written).split(" + "):
        part, _, parts = term.partition("/")
        piece = pieces.get(part)
        if piece is not None:
            found.append(Piece(name, piece.linear, piece.outputs // int(parts)) if parts else piece)
    return Adapter(name, tuple(found), int(times) if star else 1) if found else None


def _default(family: str) -> tuple[str, ...]:
    """What PEFT takes where no targets are named."""
    return tuple(_block(family).get("default", ("q", "v")))


@lru_cache(maxsize=1)
def _blocks() -> dict[str, dict[str, Any]]:
    data = parse_yaml(read_text(FOLDER / "modules.yaml"), "modules.yaml")[0].data
    for block in data.values():
        if like := block.get("like"):
            block["modules"] = data[like]["modules"] | block["modules"]
    return {family: block for block in data.values() for family in block["families"]}


@lru_cache(maxsize=256)
def _block(family: str) -> dict[str, Any]:
    """The block of a family, or of the nearest that it is like; empty where none is known."""
    name: str | None = family.removesuffix("_text")
    while name is not None and name not in _blocks():
        name = parent(name)
    return _blocks()[name] if name is not None else {}
