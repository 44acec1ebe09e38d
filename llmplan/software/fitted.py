"""What a stack's fitted numbers become in a formula's hands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self


@dataclass(frozen=True, slots=True)
class Fitted:
    """Numbers of a catalogue entry by name; those that it does not have keep their neutral default."""

    @classmethod
    def of(cls, fitted: Mapping[str, float]) -> Self:
        """From the values of a catalogue entry; names of other numbers are left alone."""
        return cls(**{field.name: fitted[field.name] for field in fields(cls) if field.name in fitted})
