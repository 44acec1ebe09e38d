"""Requests in flight, waiting, utilisation, replicas."""

from __future__ import annotations

from math import e, pi
from typing import TYPE_CHECKING

from llmplan.formulas.numeric import ceil, log2, maximum, minimum, power, sqrt

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

_NORMAL_PEAK = 1.0 / sqrt(2.0 * pi)  # of the normal distribution's density
_LOGISTIC = 1.702  # at which the logistic distribution is within 0.01 of the normal one (Johnson and Kotz 1970)
_LEAST_FREE = 1e-6  # share of the places at which nearly all are taken


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


def between_reads(arrivals: Num) -> Num:
    """Requests that come in the time of one step where steps that read do not write [1]: x of x e^x = arrivals.

    Between two steps that write so many are read, in steps of k = x / (1 - e^-x) (`gathered`): x = arrivals / (1 +
    arrivals / k). Close to the solution within 2 %: x = L (1 - ln(1 + L) / (2 + L)), L = ln(1 + arrivals) (Iacono and
    Boyd 2017, their first approximation of Lambert's W).
    arrivals: requests for each step that writes [1]. Ignored: that steps are not of one length.

    >>> round(between_reads(1.0), 2), round(between_reads(8.0), 2)  # 0.57 and 1.61 to the last digit
    (0.56, 1.59)
    """
    ln_2 = 0.6931471805599453
    log = log2(1.0 + arrivals) * ln_2
    return log * (1.0 - log2(1.0 + log) * ln_2 / (2.0 + log))


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


def decaying(excess: Num, again: Num, steps: Num) -> Num:
    """Time by which so many steps are longer than usual after one that was [s]: excess b (1 - b^steps) / (1 - b).

    excess: of the step before them [s]; again: b, time of prompts that comes during a second [1], cut at 0.98; steps
    [1].

    >>> round(decaying(0.1, 0.5, 2.0), 6), round(decaying(0.1, 0.5, 100.0), 6)
    (0.075, 0.1)
    """
    b = minimum(again, 0.98)
    return excess * b * (1.0 - power(b, steps)) / (1.0 - b)


def place_wait(rate: Num, most: Num, flight: Num, places: Num) -> Num:
    """Mean wait for one of many places [s]: P / (2 (most - rate)), 1 / P = 1 + x Phi(x) / phi(x), x = (1 - u) sqrt(c').

    P is how often all of c places are taken (Halfin and Whitt 1981, equation 2.3, M/M/c; Phi, phi: the normal
    distribution and its density), and for answers of one length the wait is then half of 1 / (most - rate). Steps get
    longer with the requests in them, so that the number of these varies more than Poisson's law has it, by 1 / (1 - A),
    A = rate dT / dn for their time T(n): a negative binomial where T is a line (Cohen 1979), as if fewer and larger
    requests came, c' = c (1 - A) of them. By the rates at c, c' = c (1 - rate / most) / (1 - u).
    rate, most: arrivals, and the capacity, of which they are cut at 0.98 [1/s]; flight: u c, requests in flight [1];
    places: c [1]. Phi is taken as 1 / (1 + exp(-1.702 x)), within 0.01. P is at most u, which it is of one place.

    >>> round(place_wait(0.5, 1.0, 0.5, 1.0), 2)  # one place: M/D/1 has 0.5
    0.5
    >>> round(place_wait(0.01, 1.0, 0.01, 1.0), 4)  # M/D/1: 0.0051
    0.0051
    >>> place_wait(5.0, 10.0, 128.0, 256.0) < 1e-6
    True
    >>> round(place_wait(8.0, 10.0, 24.0, 30.0), 4)  # x = 1.095: P = 0.188 with Phi = 0.863 of the table
    0.0469
    """
    free = maximum(1.0 - flight / places, _LEAST_FREE)
    spare = 1.0 - minimum(rate / most, 0.98)
    off = sqrt(places * spare * free)  # (1 - u) sqrt(c')
    density = _NORMAL_PEAK * power(e, -off * off / 2.0)
    taken = minimum(density / (density + off / (1.0 + power(e, -_LOGISTIC * off))), 1.0 - free)
    return taken / (2.0 * most * spare)


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
