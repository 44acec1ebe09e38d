"""A model as it was found: its spec, its file, and what its name implies."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from llmplan.model.lowering import lower
from llmplan.model.model import Model
from llmplan.model.spec import ModelSpec
from llmplan.records import dataclass, replace

if TYPE_CHECKING:
    from llmplan.model.weights import Weights

CONFIG = "config.json"
GGUF = ".gguf"
SUFFIXES = (".json", ".yaml", ".yml", GGUF)
"""Of names that are files."""
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+\Z", re.ASCII)
"""An id of the Hub: owner and name."""


@dataclass(frozen=True)
class Found:
    """A model as it is written, and how it was found.

    file: where it is written; warnings: of its reading; note: a sentence where its name was not that of an entry;
    precision: of the weights, where the name says it; open_word: a word of the name that says that its weights are
    quantized, and not how; weights: the tensors that stand beside it, where they were read.
    """

    spec: ModelSpec
    file: Path
    warnings: tuple[str, ...] = ()
    note: str = ""
    precision: str | None = None
    open_word: str | None = None
    weights: Weights | None = None

    @cached_property
    def model(self) -> Model:
        """The model itself."""
        return self.lowered(self.spec)

    def lowered(self, spec: ModelSpec) -> Model:
        """The model of a spec found in this way."""
        model = lower(spec, self.warnings)
        if self.precision is not None and self.precision != model.weight_precision:
            return replace(model, weight_precision=self.precision, expert_precision=None, released=())
        if self.weights is None:
            return model
        from llmplan.model.weights import with_bytes

        return with_bytes(model, self.weights)
