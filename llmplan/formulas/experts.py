"""Mixtures of experts: which experts have tokens, how unevenly, and what grouping rows by expert costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import everywhere, is_zero, log2, minimum, power, sqrt, where

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

_LN_2 = 0.6931471805599453
_LEAST_VARIANCE = 1e-6  # below it the gamma mixture is the Poisson limit to six digits


def touched_experts(experts: Num, active: Num, tokens: Num, spread: Num = 0.0) -> Num:
    """Experts that at least one of the tokens is sent to, on average [1].

    Even routing (spread 0): E (1 - (1 - k / E)^B). Uneven: E (1 - (1 + s^2 r)^(-1 / s^2)), r = B k / E rows an expert:
    rows are Poisson around a mean that differs between experts by the coefficient of variation s (a gamma mixture,
    so negative binomial).
    experts: E of a layer [1]; active: k of them, for each token [1]; tokens: B of all sequences in the step [1];
    spread: s [1]; 0.8 and 1.1 come nearest the power laws 1.01 and 1.2 of aiconfigurator's measured layers.

    >>> touched_experts(8.0, 2.0, 1.0)
    2.0
    >>> round(float(touched_experts(256.0, 8.0, 64.0)), 1), round(float(touched_experts(256.0, 8.0, 64.0, 0.8)), 1)
    (222.4, 185.4)
    """
    if is_zero(spread):
        return experts * (1.0 - power(1.0 - active / experts, tokens))
    variance = spread * spread + _LEAST_VARIANCE
    uneven = power(1.0 + variance * tokens * active / experts, -1.0 / variance)
    if everywhere(spread > 0):
        return experts * (1.0 - uneven)
    return experts * (1.0 - where(spread > 0, uneven, power(1.0 - active / experts, tokens)))


def busiest_rank(ranks: Num, experts: Num, active: Num, tokens: Num, spread: Num) -> Num:
    """Rows of the busiest of the ranks that share the experts, over the mean [1].

    min(1 + sqrt((s^2 + 1 / r) / L x 2 ln R), R min(1, L / k)), r = B k / E rows an expert, L = E / R experts a rank:
    rows vary by s between experts and by 1 / sqrt(r) by chance; of R sums over L experts the largest lies sqrt(2 ln R)
    deviations up (extreme values of normal sums), and a rank has at most every token on each of its experts.
    ranks: R [1]; the rest as in `touched_experts`. All ranks wait for the busiest. A copy of an expert is one more.
    Ignored: that the busiest are copied, and experts that are placed by their load.

    >>> round(busiest_rank(8.0, 256.0, 8.0, 16384.0, 0.8), 2), busiest_rank(1.0, 256.0, 8.0, 64.0, 0.8)
    (1.29, 1.0)
    >>> busiest_rank(8.0, 8.0, 2.0, 16384.0, 2.0)
    4.0
    """
    local, rows = experts / ranks, tokens * active / experts
    deviation = sqrt((spread * spread + 1.0 / rows) / local * 2.0 * _LN_2 * log2(ranks))
    return minimum(1.0 + deviation, ranks * minimum(1.0, local / active))


def padded_rows(rows: Num, groups: Num, ratio: Num, half_tile: Num) -> Num:
    """Rows that a grouped product works through: every group's last tile of rows is part empty [1].

    rows + min(ratio rows, half_tile groups)
    rows: of all groups together [1]; groups: that have any [1]; half_tile: half of the tile that many rows a group
    take [1]; ratio: padding of few rows, which take smaller tiles (3; 15 where weights are unpacked on the way, whose
    smallest tile has 64 rows) [1]. Ignored: uneven groups, which pad a little more.

    >>> padded_rows(1024.0, 8.0, 3.0, 64.0), padded_rows(8.0, 8.0, 3.0, 64.0)
    (1536.0, 32.0)
    """
    return rows + minimum(ratio * rows, half_tile * groups)


def routed_bytes(rows: Num, tokens: Num, hidden: Num, inner: Num) -> Num:
    """Bytes of a layer of experts beside its products: non-linearity and weighted sum, in 16 bits [bytes].

    2 (rows (3 inner + hidden) + tokens hidden): two halves read and one written a row, the rows read and one sum a
    token written. rows: that the rank holds [1]; tokens [1]; hidden: width of a token [1]; inner: width of an expert on
    this device [1].

    >>> routed_bytes(2.0, 1.0, 8.0, 4.0)
    96.0
    """
    halves_and_product = 3.0
    return 2.0 * (rows * (halves_and_product * inner + hidden) + tokens * hidden)
