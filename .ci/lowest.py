"""Prints pip constraints that pin every direct dependency to the lower bound that pyproject.toml declares."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"].values()
bounds = {}
for requirement in [*project["dependencies"], *(each for extra in extras for each in extra)]:
    match re.fullmatch(r"([\w.-]+)>=([\w.]+)", requirement):
        case None:  # no bound (stubs), or this project itself
            continue
        case found:
            name, version = found.groups()
            if bounds.setdefault(name, version) != version:
                raise SystemExit(f"pyproject.toml: {name} has two lower bounds, {bounds[name]} and {version}")
print("\n".join(f"{name}=={version}" for name, version in bounds.items()))
