"""Loads a model by its catalogue id, or from a file or folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from llmplan.catalog.found import CONFIG, GGUF, REPOSITORY, SUFFIXES, Found
from llmplan.errors import Fault, InputError
from llmplan.files import read_documents, read_text, unreadable
from llmplan.model.model import Model
from llmplan.model.spec import ModelSpec, model_spec
from llmplan.records import replace

if TYPE_CHECKING:
    from llmplan.catalog.catalog import Catalog


def load_model(text: str, catalog: Catalog | None = None) -> Model:
    """A model by catalogue id or alias, by an id of the Hub, by the path of a config.json or its folder, or of a file.

    InputError with every fault where there is none.
    """
    return find_model(text, catalog).model


def find_model(text: str, catalog: Catalog | None = None, *, download: bool = False) -> Found:
    """The model that a text names, with notes on how it was found.

    A path that exists and has a separator or a suffix (.json, .yaml, .yml) is taken as it is; then come the catalogue,
    the Hub's cache, a file or folder of that name, and, where `download` allows it, the Hub.
    """
    path_like = _is_path(text)
    if path_like and (_exists(text) or not REPOSITORY.match(text) or text.lower().endswith(SUFFIXES)):
        return _from_path(Path(text))
    opened = catalog_or_default(catalog)
    if opened.plain("models", text) is not None:
        return _from_entry(text, opened)
    if _exists(text):
        return _from_path(Path(text))
    return _by_name(text, opened, download=download)


def _by_name(text: str, catalog: Catalog, *, download: bool) -> Found:
    """A model by the name that the Hub or a person gives it."""
    from llmplan.catalog import hub

    named = hub.named_model(text, catalog)
    if named is None and download:
        named = hub.Named(hub.download(text), note=f"model {text}: its config, fetched from the Hub")
    if named is None:
        raise _unknown(text, catalog)
    if isinstance(named.entry, Path):
        return replace(_from_path(named.entry), note=named.note)
    found = _from_entry(named.entry, catalog)
    return replace(found, note=named.note, precision=named.precision, open_word=named.open_word)


def _unknown(text: str, catalog: Catalog) -> InputError:
    """The error for an unknown name, with advice."""
    from llmplan.catalog.entries import SHOWN, printable

    hint = catalog.near("models", text.rpartition("/")[2])
    if not REPOSITORY.match(text):
        try:
            catalog.find("models", text)
        except InputError as error:
            return error
    return InputError(
        f'unknown model "{printable(text[:SHOWN])}"{hint} (no file, no shape of the catalogue, not in the cache of the '
        "Hub; --download fetches its config)"
    )


def _exists(text: str) -> bool:
    try:
        return os.path.exists(text)
    except ValueError:  # a NUL
        return False


def _is_path(text: str) -> bool:
    separators = {os.sep, os.altsep, "/"} - {None}
    return any(mark in text for mark in separators if mark) or text.lower().endswith(SUFFIXES)


def _from_path(path: Path) -> Found:
    if "\0" in str(path):
        raise InputError("a path cannot hold a NUL character")
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # what reads it says so
    except OSError as error:  # a name that is too long, a folder that is closed
        raise unreadable(error, path) from None
    if os.path.isdir(path) or path.suffix.lower() == GGUF:
        return _from_weights(path)
    if path.suffix.lower() == ".json":
        spec, warnings = _from_json(path)
        return Found(spec, path, warnings)
    return Found(_from_yaml(path), path)


def _from_weights(path: Path) -> Found:
    """A GGUF file, or a folder: its config, held against the weights beside it where there are some."""
    files = sorted(path.glob(f"*{GGUF}")) if path.is_dir() else [path]
    has_config = (path / CONFIG).is_file()
    if path.is_dir() and not has_config and not files:
        raise InputError(Fault(f"no {CONFIG} in this folder", str(path)))
    if has_config and not any(path.glob("*.safetensors")):
        spec, warnings = _from_json(path)
        return Found(spec, path / CONFIG, warnings)
    from llmplan.catalog.load_weights import beside, from_gguf, unknown_family

    if not has_config:
        if len(files) > 1 and "-00001-of-" not in files[0].name:
            raise InputError(Fault(f"holds {len(files)} {GGUF} files: name one", str(path)))
        return from_gguf(files[0])
    try:
        spec, warnings = _from_json(path)
    except InputError:
        by_weights = unknown_family(path)
        if by_weights is None:
            raise
        return by_weights
    return beside(Found(spec, path / CONFIG, warnings), path)


def _from_json(path: Path) -> tuple[ModelSpec, tuple[str, ...]]:
    """A Hugging Face config, or a model file that happens to be written as JSON."""
    from llmplan.model.huggingface import read_config
    from llmplan.model.huggingface_config import parse_config

    if path.is_file():
        document = parse_config(read_text(path), str(path))
        if "hidden" in document.data and "layers" in document.data:
            return _named(model_spec(document), path.stem), ()
    return read_config(path)


def _from_yaml(path: Path) -> ModelSpec:
    documents = read_documents(path)
    if len(documents) != 1:
        raise InputError(Fault("holds more than one model" if documents else "is empty", str(path)))
    return _named(model_spec(documents[0]), path.stem)


def _named(spec: ModelSpec, name: str) -> ModelSpec:
    return spec if spec.name else replace(spec, name=name)


def catalog_or_default(catalog: Catalog | None) -> Catalog:
    """The catalogue, or that of this process."""
    from llmplan.catalog.catalog import open_catalog

    return catalog if catalog is not None else open_catalog()


def _from_entry(name: str, catalog: Catalog) -> Found:
    path = catalog.find("models", name)
    return catalog.once(("found", path), lambda: Found(entry_spec(name, catalog), path))


def entry_spec(name: str, catalog: Catalog) -> ModelSpec:
    """The entry of a model as it is written, with its id."""
    document = catalog.entry_document("models", name)
    spec = model_spec(document)
    return _named(replace(spec, id=Path(document.file).stem), Path(document.file).stem)
