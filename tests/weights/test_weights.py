"""Weights as files hold them: headers of GGUF and safetensors, exact bytes, and what is broken or hostile."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from llmplan.answer.resolve import plan_from
from llmplan.catalog.load_model import find_model, load_model
from llmplan.errors import InputError
from llmplan.model.gguf import read_gguf, read_header, types
from llmplan.serving.estimate import estimate_serving
from llmplan.serving.memory import serving_memory
from llmplan.serving.remarks import plan_remarks
from tests.weights.files import gguf, llama_metadata, llama_rows, q4_k_m, safetensors

LLAMA_8B = (32, 4096, 14336)
SMALL = {"architecture": "llama", "vocab_size": 512}


def llama_8b(folder: Path, kind: Any) -> tuple[Path, float]:
    path = folder / "model.gguf"
    rows = llama_rows(*LLAMA_8B, 1024, 128256, kind)
    return path, gguf(path, llama_metadata(*LLAMA_8B, 32, 8), rows, data=False)


def serving(path: Path, **words: Any) -> Any:
    return plan_from({"model": str(path), "hardware": "rtx-4090", "workload": "serve", "stack": "llama.cpp", **words})


def test_files_that_hold_nothing(tmp_path: Path) -> None:
    config = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1,
              "intermediate_size": 64, "vocab_size": 64}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    endless = b'{"a": {"dtype": "F32", "shape": [1e400], "data_offsets": [0, 4]}}'
    for head, said in ((b"{}", "holds no parameters"), (endless, "has no known type")):
        (tmp_path / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head)
        with pytest.raises(InputError, match=said):
            load_model(str(tmp_path))


def test_llama_8b_in_q4_k_m_has_the_bytes_of_the_published_file(tmp_path: Path) -> None:
    """bartowski/Meta-Llama-3.1-8B-Instruct-GGUF's file of 4 920 739 232 bytes is these and 7.8 MB of vocabulary."""
    path, total = llama_8b(tmp_path, q4_k_m(32))
    assert total == 4_912_898_304
    plan = serving(path)
    memory = serving_memory(plan, plan.engine.policy)
    assert memory.weights_bytes == pytest.approx(total, abs=1)
    assert plan.model.parameters == load_model("llama-3.1-8b").parameters
    assert plan.model.stored is not None
    assert plan.model.stored.label.startswith("Q4_K, Q6_K, 4.89 bits")
    assert any("4.89 bits" in line for line in plan.assumptions)


@pytest.mark.parametrize("kind", [entry["name"] for entry in types().values() if entry["name"][0] in "QIBFMNT"])
def test_bytes_of_every_type_are_exact(kind: str, tmp_path: Path) -> None:
    path, total = llama_8b(tmp_path, lambda *_: kind)
    plan = serving(path, hardware="h200")
    assert serving_memory(plan, plan.engine.policy).weights_bytes == pytest.approx(total, rel=1e-9)


def test_fewer_bytes_are_read_faster(tmp_path: Path) -> None:
    times = []
    for kind in ("Q8_0", "Q4_0", "IQ2_XXS"):
        path, _ = llama_8b(tmp_path, lambda *_, kind=kind: kind)
        found = estimate_serving(serving(path, batch=1, hardware="apple-m3-max"))
        assert found.tpot is not None
        times.append(found.tpot.value)
    assert times == sorted(times, reverse=True)
    assert times[0] / times[1] == pytest.approx(34 / 18, rel=0.15)


def test_experts_and_tied_embeddings(tmp_path: Path) -> None:
    layers, hidden, width, experts, vocab = 4, 512, 256, 8, 1024
    rows = [("token_embd.weight", (vocab, hidden), "Q8_0"), ("output_norm.weight", (hidden,), "F32")]
    for layer in range(layers):
        at = f"blk.{layer}"
        rows += [(f"{at}.{name}.weight", shape, "Q4_0") for name, shape in (
            ("attn_q", (hidden, hidden)), ("attn_k", (128, hidden)), ("attn_v", (128, hidden)),
            ("attn_output", (hidden, hidden)), ("ffn_gate_exps", (experts, width, hidden)),
            ("ffn_up_exps", (experts, width, hidden)), ("ffn_down_exps", (experts, hidden, width)))]  # fmt: skip
        rows += [(f"{at}.ffn_gate_inp.weight", (experts, hidden), "F32")]
        rows += [(f"{at}.{name}.weight", (hidden,), "F32") for name in ("attn_norm", "ffn_norm")]
        rows += [(f"{at}.{name}.weight", (64,), "F32") for name in ("attn_q_norm", "attn_k_norm")]
    more = {"expert_count": experts, "expert_used_count": 2, "expert_feed_forward_length": width}
    metadata = llama_metadata(
        layers, hidden, 1024, 8, 2, architecture="qwen3moe", **more, **{"attention.key_length": 64}
    )
    path = tmp_path / "moe.gguf"
    total = gguf(path, metadata, rows)
    model = load_model(str(path))
    assert model.tied_embeddings
    assert model.active_parameters < model.parameters
    plan = serving(path)
    assert serving_memory(plan, plan.engine.policy).weights_bytes == pytest.approx(total, abs=1)


def test_metadata_that_the_tensors_contradict_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.gguf"
    gguf(path, llama_metadata(4, 512, 2048, 8, 2), llama_rows(4, 512, 1024, 128, 512, lambda *_: "F16"))
    with pytest.raises(InputError, match=r"its metadata has .* parameters, the weights"):
        load_model(str(path))


def test_an_unknown_architecture_is_planned_by_its_tensors(tmp_path: Path) -> None:
    path = tmp_path / "new.gguf"
    metadata = llama_metadata(4, 512, 1024, 8, 2, architecture="nobodys")
    more = [(f"blk.{layer}.ffn_extra.weight", (512, 512), "Q4_0") for layer in range(4)]
    rows = [*llama_rows(4, 512, 1024, 128, 512, lambda *_: "Q4_0"), *more]
    total = gguf(path, metadata, rows)
    plan = serving(path)
    assert plan.model.approximate
    assert plan.model.parameters == read_gguf(path)[1].parameters
    assert serving_memory(plan, plan.engine.policy).weights_bytes == pytest.approx(total, abs=1)
    assert any(warning.code == "LP014" for warning in plan_remarks(plan))


def test_an_unknown_architecture_with_other_shapes_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "new.gguf"
    metadata = llama_metadata(4, 512, 4096, 8, 2, architecture="nobodys")
    gguf(path, metadata, llama_rows(4, 512, 1024, 128, 512, lambda *_: "F16"))
    with pytest.raises(InputError, match="'nobodys' is not known"):
        load_model(str(path))


def test_an_unknown_config_is_planned_by_its_weights(tmp_path: Path) -> None:
    at = folder(tmp_path, model=checkpoint())
    (at / "config.json").write_text(json.dumps({**CONFIG, "model_type": "nobodys", "some_new_layer_pattern": [1, 2]}))
    model = load_model(str(at))
    assert model.approximate
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps(CONFIG))
    assert model.parameters == load_model(str(tmp_path / "other")).parameters


def test_a_precision_beside_that_of_the_file_is_refused(tmp_path: Path) -> None:
    path, _ = llama_8b(tmp_path, q4_k_m(32))
    with pytest.raises(InputError, match="holds Q4_K"):
        serving(path, weight_precision="bf16")
    assert plan_from(serving(path).as_options()).as_options() == serving(path).as_options()


def test_a_file_without_its_data_is_planned_and_told(tmp_path: Path) -> None:
    path, _ = llama_8b(tmp_path, q4_k_m(32))
    assert any("ends before its tensors do" in text for text in load_model(str(path)).warnings)


def test_split_files_are_read_together(tmp_path: Path) -> None:
    rows = list(llama_rows(4, 512, 1024, 128, 512, lambda *_: "Q4_0"))
    metadata = llama_metadata(4, 512, 1024, 8, 2)
    first = tmp_path / "m-00001-of-00002.gguf"
    total = gguf(first, metadata, rows[:10])
    with pytest.raises(InputError, match=r"m-00002-of-00002\.gguf is missing"):
        load_model(str(first))
    total += gguf(tmp_path / "m-00002-of-00002.gguf", {}, rows[10:])
    assert read_gguf(first)[1].bytes == total
    assert load_model(str(tmp_path)).layer_count == 4


def test_every_cut_of_a_header_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "whole.gguf"
    gguf(path, llama_metadata(1, 64, 128, 4, 2), llama_rows(1, 64, 128, 32, 64, lambda *_: "Q4_0"), data=False)
    whole = path.read_bytes()
    broken = tmp_path / "cut.gguf"
    for length in range(0, len(whole), 37):
        broken.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut off|no GGUF file"):
            read_header(broken)


@pytest.mark.parametrize(
    "raw",
    [
        b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**62),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a" + struct.pack("<IIQ", 9, 4, 2**61),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a" + struct.pack("<IIQ", 9, 9, 2**61),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a" + struct.pack("<I", 99),
        b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", 1) + b"a" + struct.pack("<I", 2**31),
        b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", 1) + b"a" + struct.pack("<I2Q", 2, 2**62, 2**62),
        b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", 1) + b"a" + struct.pack("<I1QIQ", 1, 32, 77, 0),
        b"GGUF" + struct.pack("<IQQ", 9, 0, 0),
        b"PK\x03\x04" + bytes(64),
        b"",
    ],
)  # fmt: skip
def test_what_a_hostile_file_claims_is_not_believed(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "hostile.gguf"
    path.write_bytes(raw + bytes(24))
    with pytest.raises(InputError):
        read_header(path)


CONFIG = {
    "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 100,
    "intermediate_size": 128, "num_key_value_heads": 4, "max_position_embeddings": 512,
}  # fmt: skip


def checkpoint(kind: str = "BF16", ffn: int = 128) -> dict[str, tuple[str, tuple[int, ...]]]:
    found = {"model.embed_tokens.weight": ("BF16", (100, 64)), "lm_head.weight": ("BF16", (100, 64))}
    found["model.norm.weight"] = ("BF16", (64,))
    for layer in range(2):
        at = f"model.layers.{layer}"
        for name in ("q", "k", "v", "o"):
            found[f"{at}.self_attn.{name}_proj.weight"] = (kind, (64, 64))
        for name, shape in (("gate", (ffn, 64)), ("up", (ffn, 64)), ("down", (64, ffn))):
            found[f"{at}.mlp.{name}_proj.weight"] = (kind, shape)
            if kind == "F8_E4M3":
                found[f"{at}.mlp.{name}_proj.weight_scale_inv"] = ("F32", (1, 1))
        for name in ("input_layernorm", "post_attention_layernorm"):
            found[f"{at}.{name}.weight"] = ("BF16", (64,))
    return found


def folder(tmp_path: Path, **files: dict[str, tuple[str, tuple[int, ...]]]) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    for name, tensors in files.items():
        safetensors(tmp_path / f"{name}.safetensors", tensors)
    return tmp_path


def test_a_config_that_agrees_with_its_weights(tmp_path: Path) -> None:
    assert load_model(str(folder(tmp_path, model=checkpoint()))).stored is None


def test_a_config_that_its_weights_contradict(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json has .* parameters, the weights"):
        load_model(str(folder(tmp_path, model=checkpoint(ffn=130))))


def test_quantized_weights_bring_their_bytes(tmp_path: Path) -> None:
    at = folder(tmp_path, model=checkpoint("F8_E4M3"))
    found = find_model(str(at))
    assert found.weights is not None
    plan = serving(at, stack="vllm", hardware="h100")
    assert serving_memory(plan, plan.engine.policy).weights_bytes == pytest.approx(found.weights.bytes)
    assert plan.as_options()["weight_precision"] == "int8"


def test_a_sharded_checkpoint_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    tensors = checkpoint(ffn=130)
    names = list(tensors)
    at = folder(tmp_path, a={name: tensors[name] for name in names[:5]})
    index = {"weight_map": dict.fromkeys(names[:5], "a.safetensors") | dict.fromkeys(names[5:], "b.safetensors")}
    (at / "model.safetensors.index.json").write_text(json.dumps(index))
    assert any("1 of 2 files" in text for text in load_model(str(at)).warnings)
    safetensors(at / "b.safetensors", {name: tensors[name] for name in names[5:]})
    with pytest.raises(InputError, match="parameters, the weights"):
        load_model(str(at))


@pytest.mark.parametrize(
    "raw",
    [b"", b"1234", struct.pack("<Q", 2**60) + b"{}", struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 2) + b"{x",
     struct.pack("<Q", 12) + b'{"a": {"b":1', struct.pack("<Q", 9) + b'{"a": {}}'],
)  # fmt: skip
def test_a_broken_file_of_weights_is_one_clear_error(raw: bytes, tmp_path: Path) -> None:
    at = folder(tmp_path)
    (at / "model.safetensors").write_bytes(raw)
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_model(str(at))
