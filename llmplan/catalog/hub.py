"""Resolves names of the Hugging Face Hub: to a shape of the catalogue, a config in the local cache, or a download.

`meta-llama/Llama-3.1-8B-Instruct` has the shape of `llama-3.1-8b`; `...-FP8` or `...-AWQ` has it too, with weights of
another precision, which the answer says. The network is asked only where a download is wished for.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from llmplan.catalog.found import CONFIG, REPOSITORY
from llmplan.catalog.names import Quantized, spelled_alike, words_of
from llmplan.errors import InputError
from llmplan.records import dataclass

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Named:
    """What a name means.

    entry: an id of the catalogue, or the folder of a config; precision: of the weights, where the name says it;
    open_word: a word that names a quantization and leaves the precision open; note: a sentence about it.
    """

    entry: str | Path
    precision: str | None = None
    open_word: str | None = None
    note: str = ""


def named_model(name: str, catalog: Catalog) -> Named | None:
    """The catalogue's shape, else the config in the Hub's cache, else the shape under another precision."""
    base = name.rpartition("/")[2]
    known = catalog.entries("models")
    rules = catalog.name_rules("models")
    if (entry := spelled_alike(base, known, rules)) is not None:
        return Named(entry, note=_note(name, entry))
    if (cached := cached_folder(name)) is not None:
        return Named(cached, note=f"model {name}: its config in the cache of the Hub")
    words, precision, open_word = _without_precision(base, rules.quantized)
    entry = spelled_alike(" ".join(words), known, rules) if words else None
    if entry is None or (precision is None and open_word is None):
        return None
    weights = f", weights {precision} as the name says" if precision else ""
    return Named(entry, precision, open_word, _note(name, entry) + weights)


def _note(name: str, entry: str) -> str:
    return f"model {name}: the shape of {entry} in the catalogue"


def _without_precision(name: str, quantized: Quantized) -> tuple[list[str], str | None, str | None]:
    """The words of a name but those of its quantization; the precision, or the word that leaves it open."""
    bits: list[str] = []
    tools: list[str] = []
    asks: list[str] = []
    rest: list[str] = []
    for word in words_of(name):
        if word in quantized.ask:
            asks.append(word)
        elif word in quantized.bits:
            bits.append(quantized.bits[word])
        elif word in quantized.tools:
            tools.append(quantized.tools[word])
        elif word not in quantized.beside:
            rest.append(word)
    found = set(bits or tools)
    if asks or len(found) > 1:
        return rest, None, asks[0] if asks else " and ".join(sorted(found))
    return rest, found.pop() if found else None, None


def cached_folder(name: str) -> Path | None:
    """The folder of the newest snapshot of a Hub id in the local cache that has a config; None where there is none."""
    if not REPOSITORY.match(name):
        return None
    wanted = f"models--{name.replace('/', '--')}".lower()
    try:
        found = [path for path in _cache().iterdir() if path.name.lower() == wanted]
    except OSError:
        return None
    snapshots = [folder for path in found for folder in _snapshots(path) if (folder / CONFIG).is_file()]
    return snapshots[0] if snapshots else None


def _snapshots(repository: Path) -> Iterator[Path]:
    """Snapshots of a repository in the cache: the one that `main` points to, then the others, newest first."""
    folder = repository / "snapshots"
    try:
        main = (repository / "refs" / "main").read_text(encoding="utf-8").strip()
        if re.fullmatch(r"[0-9a-f]{6,64}", main):
            yield folder / main
    except (OSError, ValueError):
        pass
    try:
        yield from sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return


def _cache() -> Path:
    """The Hub's cache, as its own library finds it."""
    if own := os.environ.get("HF_HUB_CACHE"):
        return Path(own)
    home = os.environ.get("HF_HOME") or os.path.join(os.path.expanduser("~"), ".cache", "huggingface")
    return Path(home) / "hub"


def download(name: str) -> Path:
    """Fetches the config of a Hub id into the cache; an InputError where that cannot be."""
    if not REPOSITORY.match(name):
        raise InputError(f"--download: {name[:80]!r} is no id of the Hub, owner/name")
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError:
        raise InputError("--download needs huggingface_hub: pip install 'llmplan[hub]'") from None
    try:
        return Path(hub.hf_hub_download(name, CONFIG)).parent
    except Exception as error:  # its errors are many, and all mean that there is no config
        reason = str(error).strip().partition("\n")[0][:200]
        raise InputError(f"--download: {name}: {reason or type(error).__name__}") from None
