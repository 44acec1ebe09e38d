"""Real config.json files: each reads to the size in its own name, or to the size that is published for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llmplan.catalog.load_model import load_model
from llmplan.model.model import Model

FOLDER = Path(__file__).parent / "hf_configs"
CONFIGS = sorted(path for path in FOLDER.glob("*_config.json") if not path.name.endswith("_hf_quant_config.json"))

# Names that round more than 2 % away from a count known otherwise [billions]: keras-hub 0.32.0 prints
# 32762123264 and 8190735360 for Qwen3; a VL name counts the image encoder (0.4 B) too, as does Gemma 4's
# (0.55 B); MiMo's card and Nemotron 3 Nano's give 7 B and 31.6 B.
EXACT = {
    "Qwen3-32B": 32.762,
    "Qwen3-8B": 8.1907,
    "Qwen3-VL-32B": 32.762,
    "Qwen3-VL-8B": 8.1907,
    "Qwen3-VL-2B": 1.7206,
    "gemma-4-26B": 25.2,
    "Gemma-4-26B": 25.2,
    "MiMo-7B": 7.62,
    "Nemotron-3-Nano-30B": 31.6,
}
# Names without a size: what model card or paper says [billions], all and active.
CARDS = {
    "DeepSeek-R1": (671, 37),
    "DeepSeek-V3": (671, 37),
    "DeepSeek-V4-Flash": (284, 13),
    "GLM-5": (744, 40),
    "Kimi-K2": (1040, 32),
    "MiniMax-M2.5": (230, 10),
    "Step-3.7-Flash": (196, 11),
    "Llama-4-Scout": (107.8, 17),
    "Mixtral-8x7B": (46.7, 12.9),
    "gpt-oss-120b": (116.8, 5.1),
    "gpt-oss-20b": (20.9, 3.6),
}


def expected(name: str) -> tuple[float, float | None]:
    """All and active parameters that a name stands for [billions]."""
    for start, (total, active) in CARDS.items():
        if start in name:
            return total, active
    size = re.search(r"-(\d+(?:\.\d+)?)B(?=[-_.]|$)", name)
    active_size = re.search(r"-A(\d+(?:\.\d+)?)B", name)
    assert size, name
    known = next((billions for start, billions in EXACT.items() if start in name), float(size[1]))
    return known, float(active_size[1]) if active_size else None


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {path.name: load_model(str(path)) for path in CONFIGS}


def test_all_configs_are_there() -> None:
    assert len(CONFIGS) == 55


@pytest.mark.parametrize("name", [path.name for path in CONFIGS])
def test_size_is_that_of_the_name(models: dict[str, Model], name: str) -> None:
    model = models[name]
    total, active = expected(name)
    assert model.parameters / 1e9 == pytest.approx(total, rel=0.02)
    if active is not None:
        # names count what is multiplied: a token table is only looked up, unless it is the head too
        looked_up = 0 if model.tied_embeddings else model.embedding_parameters
        multiplied = model.active_parameters - looked_up
        assert multiplied / 1e9 == pytest.approx(active, rel=0.1)


@pytest.mark.parametrize("name", [path.name for path in CONFIGS])
def test_layers_add_up(models: dict[str, Model], name: str) -> None:
    text = (FOLDER / name).read_text()
    layers = re.search(r'"num_hidden_layers": (\d+)', text)
    assert layers
    assert models[name].layer_count == int(layers[1])


@pytest.mark.parametrize(
    ("start", "precisions"),
    [
        ("Qwen--Qwen3-32B_", (None, None, None)),
        ("Qwen--Qwen3-32B-FP8_", ("fp8", None, None)),
        ("Qwen--Qwen3-32B-FP8-Static", ("fp8", None, "fp8")),
        ("Qwen--Qwen3-235B-A22B-FP8", ("fp8", None, None)),  # excludes only norms and routers
        ("deepseek-ai--DeepSeek-V3_", ("fp8", None, None)),
        ("deepseek-ai--DeepSeek-V4-Flash_", ("fp8", "mxfp4", None)),
        ("nvidia--DeepSeek-V4-Flash-NVFP4", ("fp8", "nvfp4", None)),
        ("nvidia--DeepSeek-V3.1-NVFP4", (None, "nvfp4", "fp8")),  # attention is excluded
        ("nvidia--Qwen3-235B-A22B-NVFP4", ("nvfp4", None, "fp8")),
        ("nvidia--Qwen3.6-35B-A3B-NVFP4", ("fp8", "nvfp4", "fp8")),
        ("nvidia--Llama-3.1-70B-Instruct-FP8", ("fp8", None, "fp8")),
        ("openai--gpt-oss-20b", (None, "mxfp4", None)),
        ("zai-org--GLM-5-FP8", ("fp8", None, None)),
    ],
)
def test_precision_of_the_release(models: dict[str, Model], start: str, precisions: tuple[str | None, ...]) -> None:
    model = next(model for name, model in models.items() if name.startswith(start))
    assert (model.weight_precision, model.expert_precision, model.kv_precision) == precisions


def test_multimodal_models_say_what_of_their_encoders_is_planned(models: dict[str, Model]) -> None:
    told = {name for name, model in models.items() if any("multimodal" in warning for warning in model.warnings)}
    pictured = {name for name, model in models.items() if model.vision is not None}
    assert pictured == {name for name in told if any("where images are given" in w for w in models[name].warnings)}
    counted = {name for name, model in models.items() if model.tower_parameters}
    assert {name for name in models if "VL-" in name or "Qwen3.5" in name or "emma-4" in name} <= counted <= told
    assert {name for name in models if "VL-" in name or "Qwen3.5" in name or "emma-4" in name} <= told
    assert not any("Llama-3.1" in name for name in told)


def test_a_folder_is_read_by_its_config_and_quantization(tmp_path: Path) -> None:
    folder = tmp_path / "Qwen3-32B-Static"
    folder.mkdir()
    for path in FOLDER.glob("Qwen--Qwen3-32B-FP8-Static-PerTensor_*.json"):
        (folder / path.name.partition("PerTensor_")[2]).write_text(path.read_text())
    model = load_model(str(folder))
    assert (model.name, model.weight_precision, model.kv_precision) == ("Qwen3-32B-Static", "fp8", "fp8")
    assert load_model(str(folder / "config.json")) == model
