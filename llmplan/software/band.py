"""The error band of a stack for one quantity."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from llmplan.schema import Spec


class Band(Spec):
    """80 % of unseen runs lie within `low` .. `high` times the prediction."""

    low: Annotated[float, Field(gt=0, le=1)]
    high: Annotated[float, Field(ge=1)]
    rows: int = 0
    """Left-out rows it was drawn from; 0 = borrowed."""
    note: str = ""
