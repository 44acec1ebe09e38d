"""Requests in flight, waiting, utilisation, replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import ceil, maximum, minimum, sqrt

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


def gathered(arrivals: Num) -> Num:
    """Requests that are read in one step, of the steps that read any [1]: a / 2 + sqrt(1 + (a / 2)^2).

    Close to a / (1 - exp(-a)), the mean of Poisson's law where it is not 0 (within 5 %).
    arrivals: a, requests that come in the time of a step [1].

    >>> gathered(0.0), round(gathered(1.0), 2), round(gathered(10.0), 1)  # by the law 1, 1.58 and 10.0
    (1.0, 1.62, 10.1)
    """
    half = arrivals / 2.0
    return half + sqrt(1.0 + half * half)


def step_found(rate: Num, decode: Num, fixed: Num, each: Num, together: Num, *, mixed: bool) -> Num:
    """Mean length of the step that a new request finds running [s].

    mixed: (d (1 - b) + r (a (a + 2 d) / k + 2 p (a + d) + p^2)) / (1 - (r p)^2), where b = r (a / k + p)
    apart: (d (1 - b) + r (a^2 / k + 2 p a + p^2)) / (1 - (r p)^2)

    A step reads all prompts that came during the step before it: S' = d + a [n > 0] + p n with n of Poisson's law and
    mean r S; a step is found in proportion to its length, E[S^2] / E[S]. Where steps that read do not write (mixed:
    false), they follow each other until none waits: S' = a + p n, else d.
    rate: r, of requests [1/s]; decode: d, what a step takes without prompts [s]; fixed: a, what prompts add to it
    however many they are, as the reading of weights [s]; each: p, what every one of them adds [s]; together: k, prompts
    of the steps that read any [1]; b, the share of the time that prompts take, is below 1.
    Ignored: a limit on the tokens of a step.

    >>> ways = ((10.0, 0.04, 0.0, 0.05, 1.5), True), ((10.0, 0.06, 0.0, 0.05, 1.5), False)
    >>> [round(step_found(*given, mixed=mixed), 6) for given, mixed in ways]
    [0.113333, 0.073333]
    >>> round(step_found(10.0, 0.04, 0.05, 0.0, 1.5, mixed=True), 6)  # what prompts add however many they are
    0.07
    """
    busy = rate * (fixed / together + each)
    beside = decode if mixed else 0.0 * decode
    read = fixed * (fixed + 2.0 * beside) / together + each * (2.0 * (fixed + beside) + each)
    return (decode * (1.0 - busy) + rate * read) / (1.0 - rate * each * rate * each)


def shared_step_wait(found: Num, busy: Num) -> Num:
    """Mean wait of a request for prompts that are read in the steps up to its first token, its own aside [s].

    found (1/2 + busy): what is left of the step that it finds, and in the next one the prompts that came during the
    same step as it did. found: mean length of that step (`step_found`) [s]; busy: share of the time that prompts take
    beside what they cost together: rate x each [1].

    >>> shared_step_wait(0.1, 0.0), shared_step_wait(0.1, 0.5)
    (0.05, 0.1)
    """
    return found * (1.0 / 2.0 + busy)


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
