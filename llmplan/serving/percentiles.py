"""Percentiles of a deployment's requests, simulated one by one; means too where no formula holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from llmplan.records import mapped, replace
from llmplan.serving.simulation import Arriving, Sample, simulate
from llmplan.serving.targets import FIGURES, TARGETS, targets

if TYPE_CHECKING:
    from llmplan.serving.iteration import Replica
    from llmplan.serving.loads import Response
    from llmplan.serving.plan import ServingWorkload
    from llmplan.serving.pools import Pools
    from llmplan.software.engine import ServingPolicy

AT_ONCE = 12
"""Numbers of copies that are simulated together."""
IDLE = 1e9
"""Times the copies of which each is idle [1]."""
LEAST_SHARE = 0.85
"""Of the mean by formula without waiting for room, that 95 of 100 requests are taken to need at least: where that
misses a limit, nothing is simulated [1]. The least of 900 simulated deployments was 0.93, of answers of six tokens,
which are whole steps there; of 344 under bursts, of times to first token, 1.1."""


def one_by_one(
    at: Replica | Pools, work: ServingWorkload, policy: ServingPolicy, answer: Response, rate: float, most: float,
    places: float,
) -> Sample:  # fmt: skip
    """Requests of one deployment; rate: at one replica [1/s]; most: that it can [1/s]; places: of one [1]."""
    arriving = Arriving.at(np.array([rate]), most, places, np.array([answer.sequences]))
    return simulate(at, work, policy, arriving, column=at)


def as_sampled(answer: Response, sample: Sample, work: ServingWorkload) -> tuple[Response, dict[str, float]]:
    """The answer of one deployment with its percentiles; where requests do not come as Poisson's, with its means."""
    shares = {name: value[0].item() for name, value in sample.percentiles().items()}
    if by_formula(work):
        return answer, shares
    means = {name: value[0].item() for name, value in sample.means().items()}
    return replace(answer, burst_ttft=means["ttft"], **means), shares


def by_formula(work: ServingWorkload) -> bool:
    """Whether the formulas' means hold: those of Poisson's arrivals."""
    return work.arrival_cv is None or work.arrival_cv == 1.0


def judged(sample: Sample, answer: Response, work: ServingWorkload) -> dict[str, Any]:
    """What the given targets are about, by deployment [s]."""
    means = {name: getattr(answer, name) for name in FIGURES} if by_formula(work) else sample.means()
    found = {**means, **sample.percentiles()}
    return {name: found[name.removeprefix("max_")] for name in targets(work)}


def least_figures(answer: Response, work: ServingWorkload) -> dict[str, Any]:
    """What the targets on shares of requests are about, no less than which they are taken to be by formula [s].

    What waits for room is left out: near the capacity it is a few requests that wait for long. Bursts leave the first
    token no sooner than Poisson's arrivals do; of even arrivals little waits.
    """
    room, bursts = {"ttft": answer.for_room, "request": answer.for_room}, (work.arrival_cv or 1.0) > 1.0
    limited = {name: TARGETS[name] for name in targets(work)}
    return {
        name: LEAST_SHARE * (getattr(answer, figure) - room.get(figure, 0.0))
        for name, (figure, share) in limited.items()
        if share and (by_formula(work) or (bursts and figure == "ttft"))
    }


def alone_figures(idle: Response, work: ServingWorkload) -> dict[str, Any]:
    """What targets are about that formulas do not judge, no less than which they are however requests come [s]; idle:
    what a request takes that is alone."""
    return {} if by_formula(work) else {name: LEAST_SHARE * getattr(idle, TARGETS[name][0]) for name in targets(work)}


def keep_targets(
    at: Replica | Pools, work: ServingWorkload, policy: ServingPolicy, places: float, most: float, numbers: Any,
    respond: Callable[[Any], Response],
) -> Any:  # fmt: skip
    """Which of several numbers of copies keep all targets; numbers: of replicas, an array [1]."""
    answer, wanted = respond(numbers), targets(work)
    least = [*least_figures(answer, work).items()]
    if not by_formula(work):
        least += alone_figures(respond(numbers * IDLE), work).items()
    may: Any = np.all([value <= wanted[name] for name, value in least], axis=0) & np.ones(len(numbers), dtype=bool)
    if may.any():
        numbers, answer = numbers[may], mapped(answer, lambda value: (value + 0.0 * may)[may])
        arriving = Arriving.at((work.request_rate or 0.0) / numbers, most, places, answer.sequences)
        sample = simulate(at, work, policy, arriving, column=at)
        kept: Any = [value <= wanted[name] for name, value in judged(sample, answer, work).items()]
        may[may] = np.all(kept, axis=0)
    return may
