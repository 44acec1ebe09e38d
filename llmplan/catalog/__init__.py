"""Finds, reads and checks the entries of the hardware catalogue; `open_catalog` is the way in."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """What `llmplan.catalog.catalog` has, which is loaded when it is asked for."""
    return getattr(importlib.import_module("llmplan.catalog.catalog"), name)
