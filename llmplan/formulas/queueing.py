"""Requests in flight, waiting, utilisation, replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import ceil, maximum, minimum

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def utilisation(rate: Num, capacity: Num) -> Num:
    """Share of the capacity that arrivals take [1]: rate / capacity; at 1 and above the queue grows without end.

    rate, capacity: arrivals, and the most that is served [1/s].

    >>> utilisation(3.0, 4.0)
    0.75
    """
    return rate / capacity


def single_server_wait(rate: Num, service: Num) -> Num:
    """Mean wait for one server with a fixed service time [s]: rho service / (2 (1 - rho)), rho = rate x service.

    Pollaczek 1930, Khinchine 1932 (M/D/1): prefills of others, one after another. Beyond rho = 0.98 the
    formula is cut there: the load is then all but unstable and the figure has no meaning of its own.
    rate: arrivals [1/s]; service: time of one [s].

    >>> single_server_wait(5.0, 0.1)
    0.05
    """
    rho = minimum(rate * service, 0.98)
    return rho * service / (2.0 * (1.0 - rho))


def many_server_wait(seconds: Num, servers: Num, load: Num) -> Num:
    """Mean wait for one of many places [s]: seconds u^(sqrt(2 (c + 1)) - 1) / (c (1 - u)) (Sakasegawa 1977, M/M/c).

    seconds: that a place is held [s]; servers: c, places [1]; load: u, share of them in use [1], cut at 0.9:
    beyond it the wait depends on a few percent of capacity, which no prediction has, so it is a least wait.
    Nothing at all until nearly every place is taken when there are hundreds.

    >>> round(many_server_wait(10.0, 1.0, 0.5), 3)
    10.0
    >>> many_server_wait(10.0, 256.0, 0.5) < 1e-6
    True
    """
    u = minimum(load, 0.9)
    return seconds * u ** ((2.0 * (servers + 1.0)) ** 0.5 - 1.0) / (servers * (1.0 - u))


def percentile_95(mean_wait: Num) -> Num:
    """95th percentile of a wait with an exponential tail [s]: ln 20 x mean.

    mean_wait [s].

    >>> round(percentile_95(1.0), 3)
    2.996
    """
    ln_20 = 2.995732273553991
    return ln_20 * mean_wait


def replicas(rate: Num, capacity: Num) -> Num:
    """Copies of a deployment that together serve the rate, each at most at its capacity [1].

    ceil(rate / capacity), at least one; rate, capacity: requests a second [1/s].

    >>> replicas(10.0, 3.0)
    4.0
    """
    return maximum(1.0, ceil(rate / capacity))
