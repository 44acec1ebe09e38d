"""What `fit` is asked: a request, what it leaves to choose from, and wishes beside the plan's own options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from llmplan.records import dataclass, replace
from llmplan.search.choices import DIMENSIONS, SERVING_DIMENSIONS, SUBJECTS
from llmplan.setup.limits import Limits
from llmplan.setup.options import VOCABULARY
from llmplan.setup.request import Request

SEARCHED = {*DIMENSIONS, *SERVING_DIMENSIONS}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What `fit` is asked beside the plan's own options.

    objective: None = devices where max_devices is given, else throughput; limits: win over those of the plan;
    surely: the whole memory band must fit; try_offload: with and without optimizer states in host memory;
    try_split: of a served model, also with prompts read on devices of their own.
    """

    objective: str | None = None
    limits: Limits = field(default_factory=Limits)
    surely: bool = False
    max_devices: int | None = None
    top: int = 5
    pareto: tuple[str, str] | None = None
    try_offload: bool = False
    try_split: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, the dimensions that it leaves to choose from (as text or values), and wishes.

    Several devices or stacks stand among what is chosen from; one of them is the request's.
    """

    wanted: Request
    given: Mapping[str, Any] = field(default_factory=dict)
    wishes: Wishes = field(default_factory=Wishes)

    def as_options(self) -> dict[str, Any]:
        """What was asked, as it was given, in the order of the vocabulary."""
        given = {**self.wanted.options.stated(), **self.given}
        plain = {name: value.stated() if name == "limits" else value for name, value in given.items()}
        return {name: plain[name] for name in VOCABULARY if name in plain}

    def changed(self, options: Mapping[str, Any], **wishes: Any) -> Ask:
        """The same with other options; None opens a dimension."""
        inside = {name: value for name, value in options.items() if name not in SEARCHED or value is None}
        searched = SEARCHED.union(option for option in SUBJECTS if option in self.given)
        given = {
            name: value for name, value in {**self.given, **options}.items() if name in searched and value is not None
        }
        return Ask(self.wanted.changed(**inside), given, replace(self.wishes, **wishes))
