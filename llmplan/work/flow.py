"""What passes the layers of one device together: tokens of prompts or of a micro-batch, and decoding sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.model.layer import Linear
from llmplan.records import dataclass

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


@dataclass(frozen=True, slots=True)
class Flow:
    """Tokens of one pass on one device, before sequence parallelism.

    tokens: of prompts, or of a training micro-batch [1]; length: of the sequence that each of them stands in [1];
    decoding: sequences that get a token more [1]; each: tokens of one of them that pass together, drafts too [1];
    context: tokens that each of those has in the cache [1];
    source: length of the encoder's sequence, which cross-attention sees [1]; source_tokens: of the encoder, of which
    keys and values of cross-attention are made in this pass [1]; spread: devices of tp over which the cache of one
    sequence is spread, each with the queries of all of them [1].
    """

    tokens: Num
    length: Num
    decoding: Num = 0.0
    context: Num = 0.0
    each: Num = 1.0
    source: Num = 0.0
    source_tokens: Num = 0.0
    spread: Num = 1.0

    @property
    def rows(self) -> Num:
        """Tokens that pass the matrices [1]."""
        return self.tokens + self.decoding * self.each

    def rows_of(self, linear: Linear) -> Num:
        """Tokens that pass one matrix [1]: keys of cross-attention are made of the encoder's."""
        return self.source_tokens if linear.role == "cross_kv" else self.rows
