"""What is gathered while a request becomes a plan: faults, all of them, and assumptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, TypeVar

from llmplan.errors import Fault, InputError
from llmplan.records import dataclass
from llmplan.setup.options import PlanOptions
from llmplan.setup.request import Request

T = TypeVar("T")


@dataclass(slots=True)
class Draft:
    """A request on its way; the one mutable thing in this package."""

    request: Request
    faults: list[Fault] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)

    @property
    def options(self) -> PlanOptions:
        """What was asked."""
        return self.request.options

    def fault(self, message: str, *names: str) -> None:
        """Something is wrong with the options `names`."""
        self.faults.append(self.request.fault(message, *names))

    def assume(self, name: str, value: Any, why: str) -> None:
        """`name` was not given: it is `value`, and why."""
        shown = str(value).lower() if isinstance(value, bool) else value
        self.assumptions.append(f"{name} {shown}: {why}")

    def read(self, name: str, load: Callable[[], T]) -> T | None:
        """What `load` gives, or None with its faults noted at the option `name`."""
        try:
            return load()
        except InputError as error:
            self.faults += self.request.blame(error, name)
            return None

    def check(self) -> None:
        """Raises every fault so far."""
        if self.faults:
            raise InputError(self.faults)
