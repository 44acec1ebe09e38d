"""Writes coefficients, bands and their sources into a stack's YAML file, whose other lines stay as they are."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

MADE = ("versions", "fitted", "bands", "widening", "unstated", "measured", "fitted_on")
"""Keys that are written; they stand last in a file."""


def rewrite(path: Path, made: Mapping[str, Any]) -> None:
    """Replaces the keys of `MADE` that stand in `made`, in one step; comments inside them are lost."""
    text = path.read_text(encoding="utf-8")
    old = yaml.safe_load(text)
    values = {name: made.get(name, old.get(name)) for name in MADE}
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        if line and not line.startswith((" ", "#", "-")):
            inside = line.partition(":")[0] in MADE
        if not inside:
            kept.append(line)
    replace_text(path, "\n".join(kept).rstrip() + "\n" + render(values))


def replace_text(path: Path, text: str) -> None:
    """Writes a file in one step: whoever reads it sees the old or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)


def render(values: Mapping[str, Any]) -> str:
    """The written keys as YAML; those without a value are left out.

    >>> print(render({"fitted": {"step_seconds": 0.0123456}, "measured": {"devices": ["a100", "h100"]}}), end="")
    fitted:
      step_seconds: 0.01235
    measured:
      devices: [a100, h100]
    """
    lines: list[str] = []
    for name in MADE:
        value = values.get(name)
        if not value:
            continue
        if name == "versions":
            lines += ["versions:", *(line for one in value for line in _version(one))]
        elif name == "fitted_on":
            lines += ["fitted_on:", *(f"  - {json.dumps(line, ensure_ascii=False)}" for line in value)]
        else:
            lines += [f"{name}:", *(f"  {key}: {_flow(part)}" for key, part in value.items())]
    return "\n".join(lines) + "\n"


def _version(one: Mapping[str, Any]) -> list[str]:
    """One version as lines."""
    lines = []
    for name, value in one.items():
        if not value:
            continue
        if name == "fitted":
            lines += ["fitted:", *(f"  {key}: {_flow(number)}" for key, number in value.items())]
        else:
            lines.append(f"{name}: {_flow(value, quoted=name == 'version')}")
    return [f"  {'- ' if index == 0 else '  '}{line}" for index, line in enumerate(lines)]


def _flow(value: Any, *, quoted: bool = False) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(part) for part in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return rounded(value)
    if isinstance(value, str) and (quoted or not _is_plain(value)):
        return json.dumps(value, ensure_ascii=not value.isprintable())
    return str(value)


def _is_plain(text: str) -> bool:
    """Whether YAML reads a text back as it is, without quotes."""
    if not text.isprintable() or any(sign in text for sign in ",[]{}:#\"'"):
        return False
    try:
        return bool(yaml.safe_load(text) == text)
    except yaml.YAMLError:
        return False


def rounded(value: float) -> str:
    """A number with three digits, as a float that YAML reads back."""
    text = f"{value:.4g}"
    return text if "." in text else text.replace("e", ".0e")  # YAML takes 1e-05 for text
