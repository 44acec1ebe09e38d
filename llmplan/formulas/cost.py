"""Money: instances by the hour, and what a token comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import ceil

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

_HOUR = 3600.0  # seconds
_MILLION = 1e6


def instances(devices: Num, devices_per_instance: Num) -> Num:
    """Whole instances that hold the devices [1]: ceil(devices / devices_per_instance).

    devices: of the run [1]; devices_per_instance [1].

    >>> instances(12.0, 8.0)
    2.0
    """
    return ceil(devices / devices_per_instance)


def run_cost(seconds: Num, count: Num, usd_per_hour: Num) -> Num:
    """Price of holding instances for a time [USD]: seconds / 3600 x count x usd_per_hour.

    seconds: wall time, interruptions included [s]; count: instances [1]; usd_per_hour: of one instance [USD/h].
    Ignored: storage, traffic, support, discounts, and the runs before the one that worked.

    >>> run_cost(7200.0, 2.0, 50.0)
    200.0
    """
    return seconds / _HOUR * count * usd_per_hour


def cost_per_million(usd_per_hour: Num, tokens_per_second: Num) -> Num:
    """Price of a million tokens [USD]: 10^6 x usd_per_hour / (3600 x tokens_per_second).

    usd_per_hour: of all devices together [USD/h]; tokens_per_second: that they deliver at the load [1/s].

    >>> round(cost_per_million(32.0, 10_000.0), 3)
    0.889
    """
    return _MILLION * usd_per_hour / (_HOUR * tokens_per_second)


def break_even_rate(usd_per_hour: Num, usd_per_million: Num) -> Num:
    """Tokens a second at which one's own devices cost as much as an interface paid by the token [1/s].

    10^6 x usd_per_hour / (3600 x usd_per_million). usd_per_hour: of all devices together [USD/h];
    usd_per_million: asked for a million tokens [USD].

    >>> round(break_even_rate(32.0, 0.889))
    9999
    """
    return _MILLION * usd_per_hour / (_HOUR * usd_per_million)
