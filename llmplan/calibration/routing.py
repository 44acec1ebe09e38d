"""How aiconfigurator's collector sent tokens to experts when it measured layers of experts.

It deals tokens out evenly (`balanced`), or draws the loads of experts from a power law, rounds them to whole tokens and
measures the busiest rank. One draw lies behind each measurement and is not kept: what stands here is its mean.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

DRAWS = 64
_SEED = 7
_POWER = "power_law_"
_LEAST, _MOST_SHARE = 1.0, 0.8  # of the load of an expert, in tokens; of all tokens
_FEW_LEAST, _FEW_MOST = 0.01, 2.0  # of the load where not every expert has a token


@cache
def busiest(
    tokens: int, experts: int, active: int, ranks: int, routing: str, *, by_id: bool = False
) -> tuple[float, float]:
    """Rows of the busiest rank, and its experts that have any [1].

    tokens: of all ranks together [1]; active: experts a token [1]; ranks: over which experts are divided [1];
    routing: `balanced` or `power_law_A`; by_id: what rounding leaves goes to experts in the order of their numbers
    where loads are equal, as older versions of the collector dealt it out, else at random.
    """
    if routing == "balanced":
        return _dealt(tokens, experts, active, ranks)
    loads = _drawn(tokens, experts, active, float(routing.removeprefix(_POWER)), by_id=by_id)
    by_rank = loads.reshape(DRAWS, ranks, -1)
    which = np.argmax(by_rank.sum(2), axis=1)
    first = by_rank[np.arange(DRAWS), which]
    return float(first.sum(1).mean()), float((first > 0).sum(1).mean())


def _dealt(tokens: int, experts: int, active: int, ranks: int) -> tuple[float, float]:
    """Every token's experts stand a stride apart, the next token's are the next ones; of the first rank."""
    stride = math.ceil(experts / active)
    token, choice = np.arange(tokens)[:, None], np.arange(active)[None, :]
    start = token if tokens >= stride else token * stride / tokens
    chosen = ((start + choice * stride) % experts).astype(int)
    loads = np.bincount(chosen.ravel(), minlength=experts)[: experts // ranks]
    return float(loads.sum()), float((loads > 0).sum())


def _drawn(tokens: int, experts: int, active: int, exponent: float, *, by_id: bool) -> Any:
    """Whole loads of all experts by a truncated power law, one draw a row [1]."""
    rows, power = tokens * active, 1.0 - exponent
    low, high = (_LEAST, _MOST_SHARE * tokens) if rows > experts else (_FEW_LEAST, _FEW_MOST)
    uniform = np.random.default_rng(_SEED).random((DRAWS, experts))
    share = (low**power + (high**power - low**power) * uniform) ** (1.0 / power)
    loads = np.round(share / share.sum(1, keepdims=True) * rows)
    rank = loads if by_id else loads + share / share.max(1, keepdims=True) * 1e-6
    orders = np.argsort(-rank, axis=1, kind="stable")
    return np.array([_whole(load, order, tokens, rows) for load, order in zip(loads, orders, strict=True)])


def _whole(load: Any, order: Any, tokens: int, rows: int) -> Any:
    """Loads that add up to all rows, none above the tokens, for an expert takes a token once."""
    left = int(rows - load.sum())
    if left > 0:
        load = load + np.bincount(order[np.arange(left) % len(load)], minlength=len(load))
    elif left < 0:  # taken from the least that have any
        having = order[load[order] > 0][::-1]
        load = load - np.bincount(having[np.arange(-left) % len(having)], minlength=len(load))
    over = np.maximum(load - tokens, 0.0).sum()
    load = np.minimum(load, tokens)
    return load + np.diff(np.minimum(np.cumsum(tokens - load), over), prepend=0.0)
