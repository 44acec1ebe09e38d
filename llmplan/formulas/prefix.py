"""Prompts of which the first part is cached already: what is left to compute, and what a conversation brings again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import maximum

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def computed_tokens(prompt: Num, hit: Num) -> Num:
    """Tokens of a prompt that are computed [1]: prompt (1 - hit), and at least the last one, which writes the answer.

    prompt: tokens [1]; hit: share of them whose keys and values are cached [1]. Ignored: hits end at whole blocks.

    >>> computed_tokens(6000.0, 0.75), computed_tokens(100.0, 1.0)
    (1500.0, 1.0)
    """
    return maximum(prompt * (1.0 - hit), 1.0)


def as_if_read_whole(computed: Num, prefix: Num) -> Num:
    """Length of a sequence whose tokens are compared with as many others as those that follow a prefix [1].

    A token that follows p cached ones, in the middle of n, sees p + n / 2; one of a sequence of 2 p + n sees half of
    it. computed: n; prefix: p [tokens]. Ignored: a window that the prefix fills is seen whole, here nearly.

    >>> as_if_read_whole(1000.0, 3000.0) / 2.0
    3500.0
    """
    return computed + 2.0 * prefix


def conversation_hit(prompt: Num, answer: Num, turns: Num) -> Num:
    """Share of prompts that earlier turns of a conversation have left in the cache [1].

    The k-th prompt of n is the k-1 messages and answers before it, and a message: on average
    prompt = message + (n - 1) / 2 (message + answer), of which all but the message hits. Negative or 1 and more where
    the answers alone are longer than such prompts. prompt, answer: mean tokens [1]; turns: n [1].

    Three turns of messages of 100 tokens and answers of 200 have prompts of 100, 400 and 700:

    >>> conversation_hit(400.0, 200.0, 3.0)
    0.75
    """
    before = (turns - 1.0) / 2.0
    message = (prompt - before * answer) / (1.0 + before)
    return 1.0 - message / prompt
