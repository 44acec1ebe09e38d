"""A model as the columns of a measured run state it: shapes, or an entry with other shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from llmplan.catalog.load_model import catalog_or_default, entry_spec
from llmplan.documents import Document
from llmplan.errors import Fault, InputError
from llmplan.model.lowering import lower
from llmplan.model.model import Model
from llmplan.model.spec import model_spec

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog

INTEGERS = (
    "layers", "hidden", "heads", "kv_heads", "head_dim", "ffn_hidden", "vocab", "experts", "experts_per_token",
    "expert_ffn_hidden", "shared_experts", "dense_layers", "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim",
    "qk_rope_head_dim", "v_head_dim",
)  # fmt: skip
FLAGS = ("gated_mlp", "tied_embeddings")
COLUMNS = ("model", "architecture", *INTEGERS, *FLAGS)
"""Columns of a measurement row that describe the model."""
# What a row that names no catalogued model leaves unstated: the usual companions of its MLP.
GATED_LIKE = {"norm": "rmsnorm"}
PLAIN_LIKE = {"norm": "layernorm", "qkv_bias": True, "attention_out_bias": True, "mlp_bias": True}
ENCODER_LIKE = PLAIN_LIKE | {"final_norm": False, "embedding_norm": True, "head": False}


def model_from_columns(row: Mapping[str, str], catalog: Catalog | None = None) -> Model:
    """The model of one CSV row: shape columns win over the catalogue entry of `model`; empty cells come from it.

    Where the model is not in the catalogue: empty kv_heads = heads, head_dim = hidden / heads, ffn_hidden = 4 x hidden
    without a gate; an MLP with a gate has RMSNorm, no biases and untied tables, one without has LayerNorm, biases and
    tied tables.
    """
    opened, found = catalog_or_default(catalog), tuple(map(row.get, COLUMNS))
    return opened.once(("columns", found), lambda: _of_cells(found, opened))


def _of_cells(found: Iterable[str | None], catalog: Catalog) -> Model:
    cells = {name: str(cell or "").strip() for name, cell in zip(COLUMNS, found, strict=True)}
    given, name = _parsed(cells), cells["model"]
    warnings: tuple[str, ...] = ()
    if name and catalog.named("models", name) is not None:
        spec = entry_spec(name, catalog)
        fields = {**catalog.entry_document("models", name).data, "id": spec.id, "name": spec.name} | given
        if given.get("dense_layers") or {"layers", "experts"} & given.keys():
            fields = _without_stale_patterns(fields, given)
    else:
        fields = _assumed(given) | {"name": name}
        warnings = (f"model {name or '(unnamed)'!r} is not in the catalogue: norms and biases follow from gated_mlp",)
    return lower(model_spec(Document(fields, name or "model columns")), warnings)


def _parsed(cells: Mapping[str, str]) -> dict[str, Any]:
    """The cells that are filled, as numbers and truth values; an InputError names every bad one."""
    faults: list[Fault] = []
    given: dict[str, Any] = {}
    for name in INTEGERS:
        text = cells[name]
        if text:
            try:
                given[name] = int(float(text)) if float(text).is_integer() else int(text)
            except (ValueError, OverflowError):
                faults.append(Fault(f"{name}: {text[:40]!r} is not a whole number"))
    for name in FLAGS:
        text = cells[name].lower()
        if text in ("true", "false"):
            given[name] = text == "true"
        elif text:
            faults.append(Fault(f"{name}: {text[:40]!r} is neither true nor false"))
    if cells["architecture"]:
        given["architecture"] = cells["architecture"]
    if faults:
        raise InputError(faults)
    return given


MOST_LAYERS = 10_000
"""More are refused when the model is checked."""


def _without_stale_patterns(fields: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """A row of fewer layers or other experts drops an entry's pattern that no longer fits."""
    from llmplan.model.patterns import expand

    for key in ("mixers", "mlps", "blocks"):
        try:
            expand(fields.get(key) or "full", min(int(fields["layers"]), MOST_LAYERS))
        except ValueError:
            fields.pop(key, None)
    if given.get("dense_layers"):
        fields.pop("mlps", None)
    return fields


def _assumed(given: dict[str, Any]) -> dict[str, Any]:
    """Defaults for what a row of an unknown model leaves out."""
    gated = given.get("gated_mlp")
    encoder = given.get("architecture") == "encoder"
    like = ENCODER_LIKE if encoder else GATED_LIKE if gated else PLAIN_LIKE
    fields: dict[str, Any] = {**like, "tied_embeddings": not gated, **given}
    if fields.get("heads"):
        fields.setdefault("kv_heads", fields["heads"])
        if fields.get("hidden") and fields["hidden"] % fields["heads"] == 0:
            fields.setdefault("head_dim", fields["hidden"] // fields["heads"])
    if fields.get("hidden") and not gated and not fields.get("experts"):
        fields.setdefault("ffn_hidden", 4 * fields["hidden"])
    return fields
