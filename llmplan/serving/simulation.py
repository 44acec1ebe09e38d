"""How long requests take one by one: an event simulation of the engine's iterations, for percentiles.

Requests of the mean lengths arrive at random and are served first come, first served. Every row of the arrays is one
replica with arrivals of its own; rows of one deployment are samples of it, and many deployments go together. The draws
are seeded and the same for all, so that answers repeat to the last digit and deployments meet the same arrivals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llmplan.formulas.numeric import real
from llmplan.records import dataclass
from llmplan.serving.iteration import iteration
from llmplan.serving.loads import BUSIEST, decoding_steps, outside_seconds, prefill_tokens
from llmplan.serving.targets import FIGURES, SHARES

if TYPE_CHECKING:
    from llmplan.serving.iteration import Replica
    from llmplan.serving.plan import ServingWorkload
    from llmplan.software.engine import ServingPolicy

LANES = 16
"""Samples of each deployment: replicas with arrivals of their own [1]."""
MEASURED = 256
"""Requests of each that are measured, after those that fill it [1]."""
FILLING = 4.0
"""Requests before those that are measured, over the requests in flight [1]."""
HUNDRED = 100.0
_SEED = 20_250_601
_FEWEST_FILLING = 32.0
_GRID = 2.0  # points of the table of step times for each doubling of what is in flight
_PROMPTS = 9  # points for the tokens of prompts in a step
_ROUNDING = 1e-6  # tokens


@dataclass(frozen=True, slots=True)
class Arriving:
    """What comes to deployments and how they take it, arrays (deployment,) each.

    rate: requests that one replica gets [1/s]; places: of one [1]; here: sequences in flight in
    one, by formula: how many requests it takes to fill it [1].
    """

    rate: Any
    places: Any
    here: Any

    @staticmethod
    def at(rate: Any, most: Any, places: Any, here: Any) -> Arriving:
        """No more than `BUSIEST` of what a replica can, which is where formulas stop too; most: that it can [1/s]."""
        limited = np.minimum(rate, BUSIEST * most) * 1.0
        return Arriving(limited, places + 0.0 * limited, here + 0.0 * limited)


@dataclass(frozen=True, slots=True)
class Sample:
    """Times of requests one by one, an array (deployment, request) each [s]; tpot: over the whole answer."""

    ttft: Any
    tpot: Any
    request: Any

    def percentiles(self) -> dict[str, Any]:
        """What so many of 100 requests stay within, as `ttft_p95`, an array by deployment each [s]."""
        shares = [share / HUNDRED for share in SHARES]
        return {
            f"{figure}_p{share}": values
            for figure in FIGURES
            for share, values in zip(SHARES, np.quantile(getattr(self, figure), shares, axis=1), strict=True)
        }

    def means(self) -> dict[str, Any]:
        """Means over requests, an array by deployment each [s]."""
        return {figure: getattr(self, figure).mean(axis=1) for figure in FIGURES}


def simulate(at: Replica, work: ServingWorkload, policy: ServingPolicy, arriving: Arriving, column: Replica) -> Sample:
    """Requests at replicas, with degrees that are numbers or arrays (deployment,).

    column: the same replicas, with degrees of the shape (deployment, 1, 1).
    """
    rate, places, here = arriving.rate, arriving.places, arriving.here
    filling = int(np.ceil(FILLING * here.max() + _FEWEST_FILLING))
    times = _Times.of(column, work, policy, len(rate), int(min(places.max(), 2 * filling + MEASURED)))
    gaps = _gaps(work.arrival_cv or 1.0, filling + MEASURED)
    arrivals = (np.cumsum(gaps, axis=1)[None] / rate[:, None, None]).reshape(-1, gaps.shape[1])
    first, last = _run(times, arrivals, np.repeat(np.floor(places), LANES), np.ceil(decoding_steps(at, work)), policy)
    shape = (len(rate), -1)
    outside = np.asarray(outside_seconds(at, work, policy)) + 0.0 * rate
    ttft, whole = ((end - arrivals)[:, filling:].reshape(shape) + outside[:, None] for end in (first, last))
    return Sample(ttft, (whole - ttft) / max(work.output_tokens - 1.0, 1.0), whole)


def _gaps(variation: float, count: int) -> Any:
    """Times between arrivals over their mean, gamma distributed, (sample, request) [1]; variation: of them [1]."""
    shape = 1.0 / variation**2
    return np.random.default_rng(_SEED).standard_gamma(shape, (LANES, count)) / shape


@dataclass(frozen=True, slots=True)
class _Times:
    """Times of iterations, by deployment and sequences in flight [s].

    decode: (deployment, sequences); mixed: (deployment, tokens of prompts, sequences), for `prompts` tokens; computed:
    of one prompt [tokens]; most: that one step reads [tokens].
    """

    decode: Any
    mixed: Any
    prompts: Any
    computed: float
    most: float

    @staticmethod
    def of(at: Replica, work: ServingWorkload, policy: ServingPolicy, count: int, most: int) -> _Times:
        """Times with up to `most` sequences, worked out on a grid."""
        context, computed = work.input_tokens + work.output_tokens / 2.0, work.computed_tokens
        cap = real(prefill_tokens(work, policy, real(most + 1)))
        ends = np.unique(np.minimum(np.ceil(2.0 ** (np.arange(_GRID * np.log2(most) + 2) / _GRID)), most))
        grid = np.concatenate([[0.0], ends])
        prompts = np.geomspace(1.0, cap, _PROMPTS) if cap > 1.0 else np.ones(1)
        decode = np.asarray(iteration(at, grid, context, 0.0, computed).total)
        sequences = grid if policy.mixed_steps else 0.0 * grid
        mixed = np.asarray(iteration(at, sequences, context, prompts[:, None], computed).total)
        every = np.arange(most + 1.0)

        def filled(table: Any, *shape: int) -> Any:
            wide = np.broadcast_to(table, (count, *shape, len(grid))).reshape(-1, len(grid))
            return np.array([np.interp(every, grid, row) for row in wide]).reshape(count, *shape, -1)

        one = decode.reshape(-1, len(grid)) if decode.ndim > 1 else decode
        return _Times(filled(one), filled(mixed, len(prompts)), prompts, computed, cap)

    def step(self, row: Any, sequences: Any, tokens: Any) -> Any:
        """An iteration with prompts; row: of the deployment; tokens: more than 0."""
        upper = np.clip(np.searchsorted(self.prompts, tokens), 1, max(len(self.prompts) - 1, 1))
        if len(self.prompts) == 1:
            return self.mixed[row, 0, sequences]
        low, high = self.prompts[upper - 1], self.prompts[upper]
        share = np.clip((tokens - low) / (high - low), 0.0, 1.0)
        return (1.0 - share) * self.mixed[row, upper - 1, sequences] + share * self.mixed[row, upper, sequences]


def _run(times: _Times, arrivals: Any, places: Any, steps: Any, policy: ServingPolicy) -> tuple[Any, Any]:
    """When each request has its first and its last token [s]; steps: that write an answer after its first token [1].

    Requests of one length are read and end in the order in which they come. While no prompt waits, steps are passed
    together up to the next arrival or the next end.
    """
    rows, count = arrivals.shape
    row, deployment = np.arange(rows), np.repeat(np.arange(len(times.decode)), LANES)
    most = times.decode.shape[-1] - 1
    now, tokens = np.zeros(rows), np.zeros(rows)
    passed, arrived, read, done = (np.zeros(rows, dtype=int) for _ in range(4))
    first, last = np.zeros((rows, count)), np.zeros((rows, count))
    arrivals = np.hstack([arrivals, np.full((rows, 1), np.inf)])
    entered = np.full((rows, count + 1), np.inf)  # steps that had passed when each began to write
    beside = 1 if policy.mixed_steps else 0
    while (live := done < count).any():
        while (new := (coming := arrivals[row, arrived]) <= now).any():
            arrived = arrived + new
        sequences = np.minimum(read - done, most)
        waiting = np.minimum(np.minimum(arrived, done + places) * times.computed - tokens, times.most)
        reads, writes = live & (waiting > _ROUNDING), sequences > 0
        once = times.decode[deployment, sequences]
        ends = entered[row, done] + steps - passed
        jump = np.where(writes, np.minimum(ends, np.maximum(np.ceil((coming - now) / once), 1.0)), 0.0)
        idle = np.where(writes, jump * once, np.where(live, coming, now) - now)
        taken = np.where(reads, times.step(deployment, sequences, np.maximum(waiting, 1.0)), idle)
        now = np.where(live, now + taken, now)
        passed = passed + np.where(live, np.where(reads, beside * writes, jump), 0.0).astype(int)
        tokens = tokens + np.where(reads, waiting, 0.0)
        whole = np.floor(tokens / times.computed + _ROUNDING)
        while (new := read < whole).any():
            place = row[new], read[new]
            first[place], entered[place] = now[new], passed[new]
            read = read + new
        while (new := passed >= entered[row, done] + steps).any():
            last[row[new], done[new]] = now[new]
            done = done + new
    return first, last
