"""How long requests take one by one: an event simulation of the engine's iterations, for percentiles.

Requests of the mean lengths arrive at random and are served first come, first served. Every row of the arrays is one
replica with arrivals of its own; rows of one deployment are samples of it, and many deployments go together. The draws
are seeded and the same for all, so that answers repeat to the last digit and deployments meet the same arrivals.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from llmplan.formulas.numeric import power, real
from llmplan.records import dataclass, fields_of, mapped, replace
from llmplan.serving.flight import kinds
from llmplan.serving.iteration import Replica, iteration
from llmplan.serving.loads import BUSIEST, decoding_steps, outside_seconds, prefill_tokens
from llmplan.serving.pools import Pools, read_alone, read_wait, transfer_seconds
from llmplan.serving.targets import FIGURES, SHARES

if TYPE_CHECKING:
    from llmplan.serving.plan import ServingWorkload
    from llmplan.software.engine import ServingPolicy

LANES = 32
"""Samples of each deployment: replicas with arrivals of their own [1]."""
MEASURED = 128
"""Requests of each that are measured, after those that fill it and before as many that follow them [1]."""
FILLING = 4.0
"""Requests before those that are measured, over the requests in flight [1]."""
HUNDRED = 100.0
_SEED = 20_250_601
_FEWEST_FILLING = 32.0
_GRID = 2.0  # points of the table of step times for each doubling of what is in flight
_PROMPTS = 13  # points for the tokens of prompts in a step
_ROUNDING = 1e-6  # tokens
_CROWD = 0.75  # share of the rows that still run below which the others are left out
_ONE_BY_ONE = 6  # of what happens to a row in one step that is counted so


@dataclass(frozen=True, slots=True)
class Arriving:
    """What comes to deployments and how they take it, arrays (deployment,) each.

    rate: requests that one replica gets [1/s]; places: of one [1]; here: sequences in flight in one, by formula: how
    many requests it takes to fill it [1].
    """

    rate: Any
    places: Any
    here: Any

    @staticmethod
    def at(rate: Any, most: Any, places: Any, here: Any) -> Arriving:
        """No more than `BUSIEST` of what a replica can, which is where formulas stop too; most: that it can [1/s]."""
        limited = np.minimum(rate, BUSIEST * most) * 1.0
        return Arriving(limited, places + 0.0 * limited, here + 0.0 * limited)

    @property
    def filling(self) -> Any:
        """Requests that come before those that are measured [1]."""
        return np.ceil(FILLING * self.here + _FEWEST_FILLING).astype(int)

    @property
    def count(self) -> Any:
        """Requests that come: those that fill it, those that are measured, and as many behind them [1]."""
        return 2 * self.filling + MEASURED

    @property
    def most(self) -> int:
        """Sequences in flight at most, of all deployments [1]."""
        return int(np.minimum(self.places, self.count).max())


@dataclass(frozen=True, slots=True)
class Sample:
    """Times of requests one by one, an array (deployment, request) each [s]; tpot: over the whole answer."""

    ttft: Any
    tpot: Any
    request: Any

    @staticmethod
    def of(ttft: Any, request: Any, work: ServingWorkload) -> Sample:
        """From times to the first and to the last token [s]."""
        return Sample(ttft, (request - ttft) / max(work.output_tokens - 1.0, 1.0), request)

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


def simulate(
    at: Replica | Pools, work: ServingWorkload, policy: ServingPolicy, arriving: Arriving, column: Replica | Pools
) -> Sample:
    """Requests at replicas, or at two pools, with degrees that are numbers or arrays (deployment,).

    arriving: at one replica, of the pool that writes where there are two; column: the same replicas or pools, with
    degrees of the shape (deployment, 1, 1).
    """
    zero = 0.0 * arriving.rate
    if isinstance(at, Pools):
        assert isinstance(column, Pools)
        return _two_pools(at, work, policy, arriving, column)
    assert isinstance(column, Replica)
    times = _Times.of(column, work, policy, len(zero), arriving.most)
    first, last = _spent(times, arriving, work, np.ceil(decoding_steps(at, work)), mixed=policy.mixed_steps)
    outside = (np.asarray(outside_seconds(at, work, policy)) + zero)[:, None]
    return Sample.of(first + outside, last + outside, work)


def _two_pools(pools: Pools, work: ServingWorkload, policy: ServingPolicy, writing: Arriving, column: Pools) -> Sample:
    """Requests that are read in one pool and written in another, and come to both by the same law.

    Ignored: that the first pool evens out how they come to the second.
    """
    rate = writing.rate * pools.copies / pools.prefill_copies
    reads_in = read_alone(pools, work, policy) + read_wait(pools, work, policy, rate)
    reading = Arriving(rate, np.inf + 0.0 * rate, rate * reads_in)
    reads = _Times.of(column.prefill, work, policy, len(rate), 1)
    _, read = _spent(reads, reading, work, 0.0, mixed=False)
    writes = _Times.of(column.decode, work, policy, len(rate), writing.most).without_prompts()
    _, written = _spent(writes, writing, work, np.ceil(decoding_steps(pools.decode, work)), mixed=False)
    before = outside_seconds(pools.prefill, work, policy) + transfer_seconds(pools, work, policy)
    ttft = read + np.asarray(before + 0.0 * rate)[:, None]
    return Sample.of(ttft, ttft + written, work)


def _spent(times: _Times, arriving: Arriving, work: ServingWorkload, steps: Any, *, mixed: bool) -> tuple[Any, Any]:
    """Times of the measured requests from their arrival to the first and to the last token, (deployment, request) [s].

    What a deployment's requests take does not hang on those that are simulated beside it: of those that are alike, as
    one pool of many pairs is, one is simulated.
    """
    steps = np.broadcast_to(steps, len(arriving.rate))
    columns = times.decode, times.mixed, *fields_of(arriving).values(), steps
    first, alike = kinds(np.column_stack([one.reshape(len(one), -1) for one in columns]))
    times = replace(times, decode=times.decode[first], mixed=times.mixed[first])
    found = _simulated(times, mapped(arriving, lambda value: value[first]), work, steps[first], mixed=mixed)
    return found[0][alike], found[1][alike]


def _simulated(times: _Times, arriving: Arriving, work: ServingWorkload, steps: Any, *, mixed: bool) -> tuple[Any, Any]:
    """What `_spent` gives, of every deployment."""
    filling, count, each = arriving.filling, int(arriving.count.max()), np.arange(len(arriving.rate))
    wanted, places = filling + MEASURED, np.floor(arriving.places)
    due = np.cumsum(_gaps(work.arrival_cv or 1.0, count), axis=1)
    right = wanted / due[:, wanted - 1].mean(axis=0)  # as many in all as the rate says, not a little more or less
    arrivals = due * (right / arriving.rate)[:, None, None]
    arrivals = np.where(np.arange(count) < arriving.count[:, None, None], arrivals, np.inf)
    rows, per_row = arrivals.reshape(-1, count), (places, wanted, steps)
    ends = _run(times, rows, *(np.repeat(one, LANES) for one in per_row), mixed=mixed)
    measured = (each[:, None, None], np.arange(LANES)[:, None], filling[:, None, None] + np.arange(MEASURED))
    first, last = ((end.reshape(len(each), LANES, -1) - arrivals)[measured] for end in ends)
    return first.reshape(len(each), -1), last.reshape(len(each), -1)


def _gaps(variation: float, count: int) -> Any:
    """Times between arrivals over their mean, gamma distributed, (sample, request) [1]; variation: of them [1]."""
    shape = 1.0 / variation**2
    return np.random.default_rng(_SEED).standard_gamma(shape, (count, LANES)).T / shape


@dataclass(frozen=True, slots=True)
class _Times:
    """Times of iterations, by deployment and sequences in flight [s].

    decode: (deployment, sequences); mixed: (deployment, tokens of prompts, sequences), for `prompts` tokens; between:
    from each of those to the next [tokens]; computed: of one prompt [tokens]; most: that one step reads [tokens].
    """

    decode: Any
    mixed: Any
    prompts: Any
    between: Any
    computed: float
    most: float

    @staticmethod
    def of(at: Replica, work: ServingWorkload, policy: ServingPolicy, deployments: int, most: int) -> _Times:
        """Times of so many deployments with up to so many sequences, from a grid."""
        context, computed = work.input_tokens + work.output_tokens / 2.0, work.computed_tokens
        ends: Any = np.unique(np.ceil(power(2.0, np.arange(math.ceil(_GRID * math.log2(most)) + 1) / _GRID)))
        grid, every = np.concatenate([[0.0], ends]), np.arange(ends[-1] + 1.0)
        cap = real(prefill_tokens(work, policy, np.inf))
        prompts: Any = power(cap, np.linspace(0.0, 1.0, _PROMPTS)) if cap > 1.0 else np.ones(3)

        def filled(table: Any, *shape: int) -> Any:
            wide = np.broadcast_to(table, (deployments, *shape, len(grid))).reshape(-1, len(grid))
            return np.array([np.interp(every, grid, row) for row in wide]).reshape(deployments, *shape, -1)

        decode = np.asarray(iteration(at, grid, context, 0.0, computed).total)
        one = filled(decode.reshape(-1, len(grid)) if decode.ndim > 1 else decode)
        sequences = grid if policy.mixed_steps else 0.0 * grid
        mixed = np.asarray(iteration(at, sequences, context, prompts[:, None], computed).total)
        between = np.maximum(np.diff(prompts), _ROUNDING)
        return _Times(one, filled(mixed, len(prompts)), prompts, between, computed, cap)

    def reading(self, at: Any, sequences: Any, tokens: Any) -> Any:
        """Of steps that read so many tokens; at: where the decoding of each deployment begins, all tables flat [s]."""
        prompt, mixed, table = np.maximum(tokens, 1.0), self.mixed, self.decode.shape[-1]
        upper = self.prompts[1:-1].searchsorted(prompt)
        place = at * len(self.prompts) + upper * table + sequences
        share = (prompt - self.prompts.take(upper)) / self.between.take(upper)
        return (1.0 - share) * mixed.take(place) + share * mixed.take(place + table)

    def without_prompts(self) -> _Times:
        """The same where a prompt takes no time: it was read elsewhere."""
        return replace(self, mixed=0.0 * self.mixed, most=np.inf)


def _run(times: _Times, arrivals: Any, places: Any, wanted: Any, steps: Any, *, mixed: bool) -> tuple[Any, Any]:
    """When each request has its first and its last token [s], as far as the first `wanted` of a row are written.

    steps: that write an answer after its first token, of each row [1]. Requests of one length are read and end in the
    order in which they come. While no prompt waits, steps are passed together up to the next arrival or the next end.
    """
    count, deployments = arrivals.shape[1], np.repeat(np.arange(len(times.decode)), LANES)
    requests = _Requests.of(arrivals)
    rows = _Rows.of(requests, deployments * times.decode.shape[-1], places, wanted, steps)
    while some := np.count_nonzero(live := rows.done < rows.wanted):
        if some < _CROWD * len(live):
            rows, live = rows.some(live), live[live]
        rows.arrive(requests)
        rows.step(times, live, requests, mixed=mixed)
        rows.finish(requests)
    first, last = (one.reshape(-1, count + 1)[:, :count] for one in (requests.first, requests.last))
    return first, last


@dataclass(frozen=True, slots=True)
class _Requests:
    """Times of requests row after row, with one behind each row that never comes [s].

    due, first, last: that they come, and have their first and last token; entered: steps that had passed when each
    began to write [1].
    """

    due: Any
    first: Any
    last: Any
    entered: Any

    @staticmethod
    def of(arrivals: Any) -> _Requests:
        """That come so, (row, request) [s]."""
        due = np.hstack([arrivals, np.full((len(arrivals), 1), np.inf)]).ravel()
        return _Requests(due, np.zeros(due.shape), np.zeros(due.shape), np.full(due.shape, np.inf))


@dataclass(slots=True)
class _Rows:
    """Replicas on their way, an array of rows each. Tables are looked up by place: a step of many rows is a few dozen
    calls of numpy, which are what takes time. Of what happens to a row in a step the first few are counted one by one,
    as most are.

    own, end, at: where their requests begin and end, and where tables of their decoding do; places, wanted: of each
    row [1]; steps: of an answer [1]; now: time of each [s]; tokens: of prompts that were read, passed: steps, arrived,
    read, done: requests that came, have their first and their last token [1]; coming: when the next one comes [s];
    ends: steps until the next one is done [1].
    """

    own: Any
    end: Any
    at: Any
    places: Any
    wanted: Any
    steps: Any
    now: Any
    tokens: Any
    passed: Any
    arrived: Any
    read: Any
    done: Any
    coming: Any
    ends: Any

    @staticmethod
    def of(requests: _Requests, at: Any, places: Any, wanted: Any, steps: Any) -> _Rows:
        """Before anything came."""
        rows, own = len(at), np.arange(len(at)) * (len(requests.due) // len(at))
        now, tokens, passed = (np.zeros(rows) for _ in range(3))
        arrived, read, done = (np.zeros(rows, dtype=int) for _ in range(3))
        return _Rows(
            own, own + len(requests.due) // rows - 1, at, places, wanted, steps, now, tokens, passed, arrived, read,
            done, coming=requests.due.take(own), ends=np.full(rows, np.inf),
        )  # fmt: skip

    def some(self, index: Any) -> _Rows:
        """Those at an index."""
        return mapped(self, lambda values: values[index])  # type: ignore[no-any-return]

    def arrive(self, requests: _Requests) -> None:
        """What came by now."""
        tries = 0
        while np.count_nonzero(new := self.coming <= self.now):
            if (tries := tries + 1) > _ONE_BY_ONE:
                new = np.flatnonzero(new)
                place = (self.own + self.arrived)[new]
                self.arrived[new] += _reached(requests.due, place, self.end[new], self.now[new])
            else:
                self.arrived += new
            self.coming = requests.due.take(self.own + self.arrived)

    def step(self, times: _Times, live: Any, requests: _Requests, *, mixed: bool) -> None:
        """A step that reads, as many alike as a prompt takes that is longer than one reads, or as many that do not read
        as nothing comes between."""
        sequences = self.read - self.done
        waiting = np.minimum(self.arrived, self.done + self.places) * times.computed - self.tokens
        waiting = np.minimum(waiting, times.most)
        reads, writes = live & (waiting > _ROUNDING), sequences > 0
        once = times.decode.take(self.at + sequences)
        jump = np.minimum(self.ends, np.maximum(np.ceil((self.coming - self.now) / once), 1.0))
        jump = np.where(writes, jump, 0.0)
        taken = np.where(writes, jump * once, np.where(live, self.coming, self.now) - self.now)
        if reading := np.count_nonzero(reads):
            again = self._alike(times, waiting, writes & mixed)
            taken = np.where(reads, again * times.reading(self.at, sequences, waiting), taken)
            jump = np.where(reads, again * (writes & mixed), jump)
            self.tokens = self.tokens + np.where(reads, again * waiting, 0.0)
        self.now, self.passed = self.now + np.where(live, taken, 0.0), self.passed + jump
        if reading:
            self.begin(requests, np.floor(self.tokens / times.computed + _ROUNDING))

    def _alike(self, times: _Times, waiting: Any, ending: Any) -> Any:
        """Steps that read as much as a step can until a prompt is read, or one of the answers that they write ends
        [1]."""
        if times.most >= times.computed:
            return 1.0
        left = np.where(waiting < times.most, 0.0, (self.read + 1) * times.computed - self.tokens)
        again = np.floor(left / times.most + _ROUNDING)
        return np.maximum(np.where(ending, np.minimum(again, self.ends), again), 1.0)

    def begin(self, requests: _Requests, whole: Any) -> None:
        """Those whose prompts were read write."""
        tries = 0
        while np.count_nonzero(new := self.read < whole):
            place, each = (self.own + self.read)[new], np.flatnonzero(new)
            if (tries := tries + 1) > _ONE_BY_ONE:
                more = (whole - self.read)[new].astype(int)
                self.read[new] += more
                place, each = _following(place, more), np.repeat(each, more)
            else:
                self.read += new
            requests.first[place], requests.entered[place] = self.now[each], self.passed[each]

    def finish(self, requests: _Requests) -> None:
        """Those whose answers are written go."""
        tries, entered = 0, requests.entered
        self.ends = entered.take(self.own + self.done) + self.steps - self.passed
        while np.count_nonzero(new := self.ends <= 0.0):
            place = (self.own + self.done)[new]
            if (tries := tries + 1) > _ONE_BY_ONE:
                more = _reached(entered, place, self.end[new], (self.passed - self.steps)[new])
                self.done[new] += more
                requests.last[_following(place, more)] = np.repeat(self.now[new], more)
            else:
                self.done += new
                requests.last[place] = self.now[new]
            self.ends = entered.take(self.own + self.done) + self.steps - self.passed


def _reached(values: Any, place: Any, end: Any, limit: Any) -> Any:
    """How many of each row's growing values from a place on are at most a limit, which the first of them is [1]; those
    at `end` are infinite."""
    low, more = np.ones_like(place), np.arange(len(place))
    high = 2 * low  # of so many it is not known, or known that they are not
    while len(more):
        more = more[values.take(np.minimum(place + high - 1, end)[more]) <= limit[more]]
        low[more], high[more] = high[more], 2 * high[more]
    while len(wide := np.flatnonzero(high - low > 1)):
        middle = (low + high)[wide] // 2
        are = values.take(np.minimum(place[wide] + middle - 1, end[wide])) <= limit[wide]
        low[wide[are]], high[wide[~are]] = middle[are], middle[~are]
    return low


def _following(place: Any, count: Any) -> Any:
    """Places from each on, so many.

    >>> _following(np.array([3, 10]), np.array([2, 3])).tolist()
    [3, 4, 10, 11, 12]
    """
    ends = np.cumsum(count)
    return np.repeat(place - ends + count, count) + np.arange(ends[-1])
