"""Rules for a value that is read from a file, as annotations: `Annotated[int, Within(ge=1)]`.

pydantic understands them as it does its own, and is not imported for them: that takes a third of a cold start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


class Within:
    """Bounds of a number, or of the length of a text or a list."""

    __is_annotated_types_grouped_metadata__ = True
    """So that pydantic takes what it yields."""

    def __init__(
        self, *, ge: float | None = None, gt: float | None = None, le: float | None = None, lt: float | None = None,
        min_length: int | None = None, max_length: int | None = None,
    ) -> None:  # fmt: skip
        self.ge, self.gt, self.le, self.lt = ge, gt, le, lt
        self.min_length, self.max_length = min_length, max_length

    def __iter__(self) -> Iterator[Any]:
        import annotated_types as types

        rules: dict[Any, Any] = {
            types.Gt: self.gt, types.Ge: self.ge, types.Lt: self.lt, types.Le: self.le,
            types.MinLen: self.min_length, types.MaxLen: self.max_length,
        }  # fmt: skip
        return (rule(bound) for rule, bound in rules.items() if bound is not None)

    def holds(self, value: Any) -> bool:
        """Whether a value is within them."""
        if self.min_length is not None or self.max_length is not None:
            size = len(value)
            return (self.min_length or 0) <= size and (self.max_length is None or size <= self.max_length)
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )


class ReadBy:
    """What reads a value as people write it, before it is checked; a ValueError says what is wrong with it.

    written: the type of what may be written, for the JSON Schema; None: that of the value.
    """

    def __init__(self, read: Callable[[Any], Any], written: Any = None) -> None:
        self.read, self.written = read, written

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """What pydantic asks for."""
        from pydantic import BeforeValidator

        more = {} if self.written is None else {"json_schema_input_type": self.written}
        return BeforeValidator(self.read, **more).__get_pydantic_core_schema__(source, handler)
