"""The encoder of images of a Hugging Face config: its shape and its family's rule, by the tables in `families/`.

None where a family's rule is not known: its images cannot be planned, which is said when somebody asks for them.
"""

from __future__ import annotations

from typing import Any

from llmplan.model.huggingface_config import Config
from llmplan.model.huggingface_families import value_of
from llmplan.model.huggingface_towers import is_text_alone, table_of, tower_names
from llmplan.model.vision_spec import VisionSpec
from llmplan.records import defaults

VISION = "vision_config"
_HEADINGS = ("like", "default", "source")


def vision_of(config: Config, text_hidden: int | None) -> dict[str, Any] | None:
    """Fields of a `VisionSpec`; None without an encoder, for a class of text alone, or where the rule is not known."""
    found = next((level for level in config.levels if isinstance(level.get(VISION), dict)), None)
    if found is None or text_hidden is None or is_text_alone(config):
        return None
    table = table_of("images.yaml")
    kind, names = tower_names(found, found[VISION], text_hidden)
    outer = str(found.get("model_type"))
    family = next((name for name in (f"{outer}+{kind}", outer) if name in table["families"]), None)
    if family is None or kind is None:
        return None
    entry = _entry(table["families"], family)
    names = entry.get("default", {}) | names | _sides(found[VISION], names)
    if "grids" in entry:
        names |= _pinpoints(found, names)
    shape = table["encoders"]["default"] | table["encoders"].get(kind, {})
    written = {"patch": "patch_side"} | shape | {key: text for key, text in entry.items() if key not in _HEADINGS}
    fields = {key: text if key == "rule" else value_of(text, names) for key, text in written.items() if key != "grids"}
    if "grids" in written:
        fields["grids"] = names[written["grids"]]
    optional = defaults(VisionSpec)
    if any(value is None and key not in optional for key, value in fields.items()):
        return None
    return {key: value for key, value in fields.items() if value is not None}


def _entry(families: dict[str, Any], name: str) -> dict[str, Any]:
    entry = dict(families[name])
    parent = entry.pop("like", None)
    return entry if parent is None else _entry(families, parent) | entry


def _sides(tower: dict[str, Any], names: dict[str, Any]) -> dict[str, int]:
    """Pixels of an image's and a patch's side, and patches of a window that is given in pixels."""
    found = {}
    for key, word in (("image_size", "image_side"), ("patch_size", "patch_side")):
        value = tower.get(key, names.get(key))
        value = value[0] if isinstance(value, list) and value else value
        if type(value) is int and value > 0:
            found[word] = value
    if "window_size" in names and found.get("patch_side"):
        found["window_patches"] = (names["window_size"] // found["patch_side"]) ** 2
    return found


def _pinpoints(outer: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    """Grids of tiles that `image_grid_pinpoints` lists in pixels."""
    listed, side = outer.get("image_grid_pinpoints"), names.get("image_side")
    if not isinstance(listed, list) or not side:
        return {}
    pairs = [pair for pair in listed if isinstance(pair, list) and len(pair) == 2]
    grids = [[pixels // side for pixels in pair if type(pixels) is int] for pair in pairs]
    return {"pinpoints": [grid for grid in grids if len(grid) == 2 and min(grid) > 0]}
