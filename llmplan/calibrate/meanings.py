"""What the fitted numbers mean: where fits start, and what they keep to."""

from __future__ import annotations

from typing import Literal

from llmplan.catalog import catalog
from llmplan.software.stack import Number


def meanings(section: Literal["training", "serving"]) -> dict[str, Number]:
    """The numbers of a section of `numbers.yaml`, by name."""
    return {name: Number.model_validate(item) for name, item in catalog.numbers(section).items()}
