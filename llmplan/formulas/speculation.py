"""Speculative decoding: tokens that are drafted, checked together, and kept up to the first wrong one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import power

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def accepted_tokens(drafted: Num, acceptance: Num) -> Num:
    """Tokens that one step adds to a sequence on average [1]: (1 - a^(k+1)) / (1 - a).

    k drafted tokens, each right with probability a where those before it were; the check itself writes one more, so
    that 0 drafted are 1 (Leviathan et al. 2023, arXiv 2211.17192, equation 1). drafted, acceptance < 1 [1].
    Ignored: that later drafts of one module are worse than the first.

    >>> accepted_tokens(0.0, 0.8), round(accepted_tokens(1.0, 0.85), 2), round(accepted_tokens(3.0, 0.8), 3)
    (1.0, 1.85, 2.952)
    """
    return (1.0 - power(acceptance, drafted + 1.0)) / (1.0 - acceptance)
