"""Writes fitted numbers and bands back into the stacks' YAML files, whose other lines stay as they are."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from llmplan.calibrate.stacks import Numbers
from llmplan.software.band import Band
from llmplan.software.stack import Stack

_MADE = ("fitted:", "variants:", "bands:", "hardware:", "fitted_on:")


def render(stack: Stack, values: Numbers, bands: dict[str, Band], hardware: list[str], sources: list[str]) -> str:
    """The made part of a stack's file."""
    lines = ["fitted:", *(f"  {name}: {value:g}" for name, value in values.items() if "@" not in name)]
    if stack.variants:
        lines.append("variants:")
        for item in stack.variants:
            numbers = ", ".join(f"{name}: {values[f'{name}@{item.before}']:g}" for name in item.fitted)
            lines.append(f'  - before: "{item.before}"')
            if item.training:
                defaults = ", ".join(f"{name}: {value}" for name, value in item.training.items())
                lines.append(f"    training: {{{defaults}}}")
            if item.fitted:
                lines.append(f"    fitted: {{{numbers}}}")
    lines.append("bands:")
    for name, band in bands.items():
        note = f', note: "{band.note}"' if band.note else ""
        lines.append(f"  {name}: {{low: {band.low:g}, high: {band.high:g}, rows: {band.rows}{note}}}")
    lines.append(f"hardware: [{', '.join(hardware)}]")
    lines += ["fitted_on:", *(f'  - "{source}"' for source in sources)]
    return "\n".join(lines) + "\n"


def rewrite(path: Path, made: str) -> None:
    """Replaces the made part of the file, which stands last but for a `serving:` section, in one step."""
    kept: list[str] = []
    inside = False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith((" ", "#")):
            inside = line.startswith(_MADE)
        if not inside:
            kept.append(line)
    at = next((number for number, line in enumerate(kept) if line.startswith("serving:")), len(kept))
    text = "\n".join([*kept[:at], made.rstrip("\n"), *kept[at:]]) + "\n"
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".yaml")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)
