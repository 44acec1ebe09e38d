"""Writes fitted serving numbers and bands into the `serving:` section of a stack's file, which stands last."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from llmplan.calibrate.serving import Numbers, Run
from llmplan.catalog import catalog
from llmplan.software.band import Band

_NOT_MEASURED = {
    "kv_tokens": Band(low=0.88, high=1.08, note="no rows: 5 % of the device's memory more or less"),
    "serving_bytes": Band(low=0.97, high=1.06, note="no rows: workspaces and fragments"),
}


def write_serving(stack: str, runs: Sequence[Run], numbers: Mapping[str, Numbers], bands: Mapping[str, Band]) -> None:
    """Puts numbers by variant, bands, devices and sources of the runs into the stack's file.

    Everything before the section stays as it is, comments included.
    """
    path = catalog.find("stacks", stack)
    head, mark, tail = path.read_text(encoding="utf-8").partition("\nserving:\n")
    if not mark:
        raise ValueError(f"{path} has no serving section, or it does not stand last")
    section: dict[str, Any] = yaml.safe_load("serving:\n" + tail)["serving"]
    for variant in section["variants"]:
        found = numbers.get(variant["version"])
        if found is not None:
            variant["fitted"] = {name: float(f"{found[name]:.3g}") for name in variant["fitted"]}
            mine = [run for run in runs if run.variant == variant["version"] or stack == "generic"]
            variant["fitted_on"] = sources(mine)
    section["hardware"] = sorted({run.plan.device.id for run in runs})
    section["bands"] = {name: _band(band) for name, band in (dict(bands) | _NOT_MEASURED).items()}
    text = yaml.safe_dump({"serving": section}, sort_keys=False, width=120, allow_unicode=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".yaml")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{head}\n{text}")
    os.replace(name, path)


def sources(runs: Sequence[Run]) -> list[str]:
    """The publications that the rows came from, with how many rows."""
    counts = Counter(run.group.publication for run in runs)
    return [f"{source}: {rows} rows" for source, rows in sorted(counts.items())]


def _band(band: Band) -> dict[str, Any]:
    return band.model_dump(exclude_defaults=True) | {"rows": band.rows}
