"""Loads models from weight files: GGUF, or safetensors beside a config."""

from __future__ import annotations

import re
from pathlib import Path

from llmplan.catalog.found import CONFIG, Found
from llmplan.files import read_text
from llmplan.model.gguf import config_of, read_gguf
from llmplan.model.huggingface import spec_of_config
from llmplan.model.huggingface_config import Config, parse_config
from llmplan.model.huggingface_families import known
from llmplan.model.safetensors import is_narrow, is_plain, read_safetensors
from llmplan.model.unknown_weights import spec_by_weights
from llmplan.model.weights import check_parameters, without_extras
from llmplan.records import replace

_PART = re.compile(r"-\d{5}-of-\d{5}$")  # of a file that is split


def from_gguf(path: Path) -> Found:
    """A GGUF file: shapes from its metadata, held against its tensors, whose bytes are exact."""
    metadata, weights, warnings = read_gguf(path)
    name = _PART.sub("", path.stem)
    config = config_of(metadata, weights)
    if "model_type" in config.data:
        spec, more = spec_of_config(config, None, name)
    else:
        family = str(metadata.get("general.architecture"))[:60]
        spec, more = spec_by_weights(config.data, weights, name, family)
    found = Found(spec, path, (*warnings, *more), f"weights {weights.label}: what {path.name} holds", weights=weights)
    if not spec.approximate:
        check_parameters(found.model, weights, "its metadata")
    return found


def unknown_family(folder: Path) -> Found | None:
    """A folder whose config is of a family that nobody described, by its weights; None where that cannot be."""
    config = Config.of(parse_config(read_text(folder / CONFIG), str(folder / CONFIG)), None)
    weights, _ = read_safetensors(folder)
    if known(config.model_type) is not None or weights is None or not is_plain(weights):
        return None
    spec, warnings = spec_by_weights(config.data, weights, folder.absolute().name, config.model_type[:60])
    return Found(spec, folder / CONFIG, warnings)


def beside(found: Found, folder: Path) -> Found:
    """A config held against the headers of the weights beside it; quantized ones bring their exact bytes."""
    weights, warnings = read_safetensors(folder)
    found = replace(found, warnings=(*found.warnings, *warnings))
    if weights is None:
        return found
    model = found.model
    if is_plain(weights) and not model.approximate:
        check_parameters(model, without_extras(weights, model), CONFIG)
    if not is_narrow(weights):
        return found
    return replace(found, weights=weights, note=f"weights {weights.label}: what {folder} holds")
