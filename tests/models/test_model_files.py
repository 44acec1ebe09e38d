"""Model files of the user and rows of measurements."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmplan.catalog.load_model import load_model
from llmplan.catalog.model_columns import model_from_columns
from llmplan.documents import parse_yaml
from llmplan.errors import InputError
from llmplan.model.spec import model_spec

MINIMAL = """\
layers: 4
hidden: 64
heads: 8
kv_heads: 2
head_dim: 8
ffn_hidden: 256
gated_mlp: true
vocab: 1000
"""


def faults(text: str) -> str:
    with pytest.raises(InputError) as caught:
        model_spec(parse_yaml(text, "model.yaml")[0])
    return str(caught.value)


def test_model_file_is_named_after_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(MINIMAL)
    assert load_model(str(path)).name == "mine"


def test_unknown_and_bad_keys_are_named_with_their_lines() -> None:
    text = faults(MINIMAL.replace("heads: 8\n", "heads: many\n", 1) + "hiden: 3\n")
    assert "model.yaml:3: heads:" in text
    assert "model.yaml:9: unknown key 'hiden'; did you mean hidden" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("kv_heads: 3", "must be a multiple of kv_heads"),
        ("hidden: 100000000000", "less than or equal"),
        ("layers: 0", "greater than or equal"),
        ("experts: 4\nexperts_per_token: 8\nexpert_ffn_hidden: 4", "more than experts"),
        ("experts: 4\nexperts_per_token: 2", "expert_ffn_hidden is missing"),
        ("mixers: 3 x sliding, full", "sliding_window is missing"),
        ("mixers: magic", "magic is no kind of layer"),
        ("mixers: 9 x full", "more than 4 layers"),
        ("architecture: encoder-decoder", "encoder_layers"),
        ("kv_lora_rank: 8", "qk_nope_head_dim is missing"),
        ("hidden: 9999999\nffn_hidden: 9999999\nlayers: 9999", "no model has more than"),
    ],
)
def test_contradictions_are_refused(change: str, said: str) -> None:
    keys = {line.partition(":")[0] for line in change.splitlines()}
    kept = "".join(line for line in MINIMAL.splitlines(keepends=True) if line.partition(":")[0] not in keys)
    assert said in faults(kept + change + "\n")


def test_row_of_a_known_model_takes_the_rest_from_its_entry() -> None:
    known = load_model("gpt3-175b")
    row = model_from_columns({"model": "gpt3-175b", "vocab": "51200", "layers": "96", "head_dim": ""})
    assert row.parameters - known.parameters == (51200 - 50257) * 12288
    assert row.warnings == ()


def test_row_with_fewer_layers_of_a_patterned_model() -> None:
    row = model_from_columns({"model": "deepseek-v3", "layers": "5"})
    assert [(layer.kind, layer.count) for layer in row.layers] == [("attention+mlp", 3), ("attention+moe", 2)]
    assert model_from_columns({"model": "nemotron-h-56b", "layers": "118"}).layer_count == 118


def test_row_of_an_unknown_model_says_what_was_assumed() -> None:
    shape = {"model": "nobody", "layers": "2", "hidden": "64", "heads": "4", "vocab": "100"}
    plain = model_from_columns(shape | {"gated_mlp": "false"})
    gated = model_from_columns(shape | {"gated_mlp": "true", "ffn_hidden": "128"})
    assert "not in the catalogue" in plain.warnings[0]
    assert plain.tied_embeddings
    assert not gated.tied_embeddings
    # LayerNorm and biases: q, kv, out, up, down biases, and two norms of two vectors
    biases = 64 + 128 + 64 + 256 + 64
    assert plain.layers[0].parameters == 4 * 64 * 64 + 2 * 64 * 256 + biases + 4 * 64
    assert gated.layers[0].parameters == 4 * 64 * 64 + 3 * 64 * 128 + 2 * 64


def test_bad_cells_are_named_all_at_once() -> None:
    with pytest.raises(InputError) as caught:
        model_from_columns({"model": "nobody", "layers": "many", "hidden": "1e400", "gated_mlp": "perhaps"})
    assert [fault.message.partition(":")[0] for fault in caught.value.faults] == ["layers", "hidden", "gated_mlp"]


def test_row_without_a_shape_names_what_is_missing() -> None:
    with pytest.raises(InputError, match="key 'layers' is missing"):
        model_from_columns({"model": "nobody"})
