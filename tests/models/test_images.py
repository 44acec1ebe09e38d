"""Tokens of images, by the rules of the families, against those of the families' own preprocessing.

`image_tokens.csv`: what the functions of transformers 5.24.0 (image_processing_*.py, processing_*.py of each family)
return for an image, with the limits of the released preprocessor_config.json; taken on 2026-11-27.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from llmplan.catalog.load_model import load_model
from llmplan.errors import InputError
from llmplan.model.huggingface import spec_of_config
from llmplan.model.huggingface_config import parse_config
from llmplan.model.images import cut_image
from llmplan.model.lowering import lower
from llmplan.model.spec import ModelSpec
from llmplan.model.vision_spec import Rule, VisionSpec

HERE = Path(__file__).parent
with (HERE / "image_tokens.csv").open(encoding="utf-8", newline="") as file:
    ROWS = [(row["family"], int(row["height"]), int(row["width"]), int(row["tokens"])) for row in csv.DictReader(file)]
TYPES = {
    entry["config"]["model_type"]: entry["config"]
    for entry in map(json.loads, (HERE / "model_types.jsonl").read_text(encoding="utf-8").splitlines())
    if isinstance(entry["config"].get("vision_config"), dict) and not entry["name"].startswith("causal")
}
CLIP = {"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14, "hidden_size": 1024,
        "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}  # fmt: skip
PIXTRAL = {"model_type": "pixtral", "image_size": 1024, "patch_size": 16, "hidden_size": 1024, "head_dim": 64,
           "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}  # fmt: skip
LLAMA = {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
         "intermediate_size": 11008, "vocab_size": 32064, "num_key_value_heads": 32}  # fmt: skip


def released(family: str) -> dict[str, Any]:
    """A config of the family with the tower of its released models where the default class has another."""
    if family in ("llava+pixtral", "llava_next"):
        tower = PIXTRAL if "pixtral" in family else CLIP
        return {"model_type": family.partition("+")[0], "text_config": LLAMA, "vision_config": tower}
    if family == "gemma4":
        path = HERE / "hf_configs" / "google--gemma-4-26B-A4B_config.json"
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return data
    config = json.loads(json.dumps(TYPES[family]))
    sides = {
        "idefics3": (364, 14),
        "mllama": (560, 14),
        "smolvlm": (512, 16),
        "llama4": (336, 14),
        "mistral3": (1540, 14),
    }
    if family in sides:
        config["vision_config"] |= dict(zip(("image_size", "patch_size"), sides[family], strict=True))
    if family == "smolvlm":
        config["scale_factor"] = 4
    return dict(config)


def read(config: dict[str, Any]) -> ModelSpec:
    return spec_of_config(parse_config(json.dumps(config, indent=1), "config.json"))[0]


@pytest.fixture(scope="module")
def rules() -> dict[str, VisionSpec]:
    found = {}
    for family in {row[0] for row in ROWS}:
        vision = read(released(family)).vision
        assert vision is not None, family
        found[family] = vision
    return found


@pytest.mark.parametrize(("family", "height", "width", "tokens"), ROWS)
def test_tokens_are_those_of_the_familys_preprocessing(
    family: str, height: int, width: int, tokens: int, rules: dict[str, VisionSpec]
) -> None:
    assert cut_image(rules[family], height, width).tokens == tokens


def test_every_rule_is_held_by_a_family(rules: dict[str, VisionSpec]) -> None:
    held = {vision.rule for vision in rules.values()} | {"whole"}
    assert held == set(get_args(Rule))


@pytest.mark.parametrize(
    ("model", "tokens", "patches"),
    [
        ("gemma-3-27b", 256, 64 * 64),  # 896 / 14 = 64; pooled to 256 (arXiv 2503.19786, 2.1)
        ("llama-4-scout", 17 * 144 + 16 + 3, 17 * 577),  # 4 x 4 tiles of 336 and the whole, 24 x 24 / 4 each
        ("qwen3.5-27b", 32 * 32, 64 * 64),
        ("gemma-4-26b-a4b", 16 * 16, 48 * 48),
    ],
)
def test_models_of_the_catalogue_cut_an_image_of_1024_pixels(model: str, tokens: int, patches: int) -> None:
    vision = load_model(model).vision
    assert vision is not None
    cut = cut_image(vision.rule, 1024, 1024)
    assert (cut.tokens, cut.patches) == (tokens, patches)


@pytest.mark.parametrize("family", sorted(TYPES))
def test_layers_of_an_encoder_are_most_of_its_parameters_and_never_more(family: str) -> None:
    try:
        spec = read(TYPES[family])
    except InputError:
        return
    model = lower(spec)
    if model.vision is None:
        return
    held = sum(layer.count * layer.parameters for layer in model.vision.layers)
    assert 0.7 * model.tower_parameters < held <= model.tower_parameters
    assert held + model.vision.projector.parameters <= 1.005 * model.tower_parameters


def test_a_class_of_text_alone_has_no_encoder() -> None:
    assert read(TYPES["qwen3_vl"] | {"architectures": ["Qwen3VLForCausalLM"]}).vision is None


def test_a_rule_needs_its_numbers() -> None:
    with pytest.raises(ValueError, match="rule native needs min_pixels, max_pixels"):
        VisionSpec(rule="native", layers=1, hidden=64, heads=4, ffn_hidden=256, patch=14)


def test_kimi_k25_is_read_in_the_words_of_its_release() -> None:
    """A text part that names a class of its own, and an encoder whose keys begin with vt_."""
    text = json.loads((HERE / "hf_configs" / "moonshotai--Kimi-K2-Instruct_config.json").read_text(encoding="utf-8"))
    tower = {"vt_num_hidden_layers": 27, "vt_num_attention_heads": 16, "vt_hidden_size": 1152,
             "vt_intermediate_size": 4304, "patch_size": 14, "init_pos_emb_height": 64, "init_pos_emb_width": 64,
             "merge_kernel_size": [2, 2], "mm_hidden_size": 1152, "text_hidden_size": 7168}  # fmt: skip
    spec = read({
        "model_type": "kimi_k25", "architectures": ["KimiK25ForConditionalGeneration"], "text_config": text,
        "vision_config": tower,
    })  # fmt: skip
    assert text["architectures"] == ["DeepseekV3ForCausalLM"]
    assert spec.vision is not None
    assert (spec.vision.layers, spec.vision.hidden, spec.vision.heads) == (27, 1152, 16)
    assert cut_image(spec.vision, 1024, 1024).tokens == 37 * 37
    assert 0.4e9 < spec.tower_parameters < 0.5e9


@pytest.mark.parametrize(
    ("height", "width", "tiles"),  # those of transformers 5.24.0, get_optimal_tiled_canvas
    [(1024, 1024, 4), (720, 1280, 4), (1080, 1920, 4), (200, 300, 1), (3000, 1000, 3), (37, 911, 2), (448, 448, 1)],
)
def test_cross_attention_sees_the_tiles_of_llama_3_2_vision(height: int, width: int, tiles: int) -> None:
    """A tile of 560 has 40 x 40 patches and a class token; the encoder always works on four."""
    vision = read(released("mllama")).vision
    assert vision is not None
    cut = cut_image(vision, height, width)
    assert (cut.tokens, cut.seen, cut.patches, cut.sequences) == (1, 1601 * tiles, 1601 * 4, 1)


def test_an_encoder_may_leave_out_what_its_class_says() -> None:
    """Qwen3-VL's configs differ in what they leave out: three layers of deepstack, 2304 positions."""
    config = json.loads(json.dumps(TYPES["qwen3_vl_moe"]))
    whole = read(config).tower_parameters
    for key in ("num_position_embeddings", "deepstack_visual_indexes", "model_type"):
        config["vision_config"].pop(key)
    assert read(config).tower_parameters == whole > 0
