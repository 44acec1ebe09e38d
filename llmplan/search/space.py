"""The space of layouts of one plan: which values are tried, which combinations are legal, handed out in chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import field
from functools import reduce
from math import gcd
from typing import Any, TypeVar

import numpy as np

from llmplan.errors import Fault, InputError
from llmplan.records import dataclass
from llmplan.search.choices import OPEN, Choice, Choices
from llmplan.search.layouts import ROWS, Layouts, open_layouts
from llmplan.setup.checks import (
    batch_problems,
    ends_in_whole_rounds,
    expert_problems,
    stage_problems,
    tensor_problems,
)
from llmplan.setup.layout import RECOMPUTE, SHARD_ALL, Layout
from llmplan.training.plan import TrainingPlan

MOST_MICRO_BATCH = 512
"""Largest micro-batch that is tried where none is given [1]."""
LEAST_PIECE = 512
"""Fewest tokens that context parallelism leaves a device where cp is not given [1]: below, its ring hides nothing."""
CHUNK, CHUNK_ROWS = 49_152, 8_192
"""Layouts, and rows of degrees, that are evaluated at a time: their arrays stay in a core's cache."""
REASONS = {
    "devices": "tp x pp x cp does not divide the devices",
    "sequence": "cp does not cut the sequence into equal pieces",
    "heads": "tp does not divide the attention heads or a matrix",
    "copies": "dcp does not divide the copies of a cache",
    "experts": "ep does not divide the experts, or the devices of a stage",
    "layers": "there are more stages than layers",
    "batch": "the global batch does not divide into micro-batches",
    "rounds": "interleaving (vp > 1) wants micro-batches in whole rounds of pp",
}
"""Why layouts are removed before anything is estimated."""

T = TypeVar("T")


def divisors(number: int) -> list[int]:
    """All divisors, smallest first.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    small = [n for n in range(1, int(number**0.5) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})


@dataclass(slots=True)
class Space:
    """Layouts of a plan's model and workload on so many devices; counts what it removes as it goes.

    plan: its layout is ignored, its global batch holds for every layout.
    """

    plan: TrainingPlan
    devices: int
    choices: Choices
    considered: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    _known: dict[Any, Any] = field(default_factory=dict)

    @property
    def legal(self) -> int:
        """Layouts that were handed out [1]."""
        return self.considered - sum(self.removed.values())

    def chunks(self) -> Iterator[Layouts]:
        """Every legal layout once, in chunks of about `CHUNK`."""
        waiting: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
        sizes: Counter[tuple[Any, Any]] = Counter()
        for words, rows in self._rows():
            waiting.setdefault(words, []).append(rows)
            sizes[words] += len(rows["tp"])
            if sizes[words] >= min(CHUNK_ROWS, CHUNK // self._inner(*words)):
                yield self._layouts(words, waiting.pop(words))
                del sizes[words]
        for words, rest in waiting.items():
            yield self._layouts(words, rest)

    def _layouts(self, words: tuple[Any, Any], parts: list[dict[str, Any]]) -> Layouts:
        rows = {name: np.concatenate([part[name] for part in parts]) for name in ROWS}
        return open_layouts(rows, *words, self._recompute(), self._offload(), self._again())

    def _rows(self) -> Iterator[tuple[tuple[Any, Any], dict[str, Any]]]:
        """Legal rows of degrees for each (tp, pp, cp), with the sharding and sequence parallelism open to them."""
        model, batch = self.plan.model, self.plan.workload.global_batch
        heads = max((core.heads for layer in model.layers for core in layer.cores), default=1)
        sizes = divisors(self.devices)
        tps = self._of("tp").among(n for n in sizes if n <= heads)
        pps = self._of("pp").among(n for n in sizes if n <= model.layer_count)
        pieces = max(1, self.plan.workload.seq_len // LEAST_PIECE)
        cps = self._of("cp").among(n for n in sizes if n <= pieces)
        micro = self._of("micro_batch").among(n for n in divisors(batch) if n <= MOST_MICRO_BATCH)
        experts = self._experts()
        for cp in cps:
            for pp in pps:
                virtual = self._virtual(pp)
                for tp in tps:
                    yield from self._of_degrees(tp, pp, cp, virtual, experts, micro)

    def _of_degrees(
        self, tp: int, pp: int, cp: int, virtual: tuple[int, ...], experts: tuple[int, ...], micro: tuple[int, ...]
    ) -> Iterator[tuple[tuple[Any, Any], dict[str, Any]]]:
        dp, left_over = divmod(self.devices, tp * pp * cp)
        words = self._zero(dp * cp, pp), self._divided(tp)
        whole = len(virtual) * len(experts) * len(micro) * self._inner(*words)
        replicas = self.plan.workload.dp_replicate
        if left_over == 0 and (dp not in self._of("dp").among((dp,)) or dp % replicas):
            return  # outside of what was asked
        self.considered += whole
        if left_over:
            self.removed["devices"] += whole
            return
        if not self._fine(("cp", cp), self._cp_fits, cp):
            self.removed["sequence"] += whole
            return
        cut, banks = self._once(("banks", tp, dp * cp), lambda: self._banks(tp, dp * cp * tp, experts))
        stages, even, table = self._once(("schedule", pp, dp), lambda: self._schedule(pp, dp, virtual, micro))
        self._count(whole, [
            ("heads", len(experts), cut), ("experts", cut, len(banks)), ("layers", len(virtual), stages),
            ("batch", len(micro), even), ("rounds", stages * even, len(table)),
        ])  # fmt: skip
        if len(banks) and len(table):
            count, times = len(table) * len(banks), len(banks)
            fixed = {name: np.full(count, float(n)) for name, n in (("tp", tp), ("pp", pp), ("cp", cp), ("dp", dp))}
            yield words, {
                **fixed, "vp": np.tile(table[:, 0], times), "micro_batch": np.tile(table[:, 1], times),
                "ep": np.repeat(banks, len(table)),
            }  # fmt: skip

    def _banks(self, tp: int, group: int, experts: tuple[int, ...]) -> tuple[int, Any]:
        """How many ep go with tp, and those of them that go with the devices of a stage."""
        cut = [ep for ep in experts if self._fine(("tp", tp, ep), self._tp_fits, tp, ep)]
        banks = [ep for ep in cut if self._fine(("ep", ep, group), self._ep_fits, ep, group)]
        return len(cut), np.array(banks, dtype=float)

    def _schedule(self, pp: int, dp: int, virtual: tuple[int, ...], micro: tuple[int, ...]) -> tuple[int, int, Any]:
        """How many vp and how many micro-batches are legal, and the pairs (vp, micro-batch) that go together."""
        stages = [vp for vp in virtual if self._fine(("vp", pp, vp), self._stages_fit, pp, vp)]
        even = [mb for mb in micro if self._fine(("mb", dp, mb), self._batch_fits, dp, mb)]
        batch = self.plan.workload.global_batch
        pairs = [(vp, mb) for vp in stages for mb in even if ends_in_whole_rounds(batch // (dp * mb), pp, vp)]
        return len(stages), len(even), np.array(pairs, dtype=float).reshape(-1, 2)

    def _count(self, left: int, steps: list[tuple[str, int, int]]) -> None:
        """Books what each rule leaves of `left` layouts, one rule after another; they cut independent axes."""
        for reason, before, after in steps:
            if before == 0:
                return
            kept = left * after // before
            self.removed[reason] += left - kept
            left = kept

    def _of(self, name: str) -> Choice:
        """What was asked, else 1 where the stack knows no more."""
        return self.choices.get(name) or (Choice((1,)) if name in self.plan.stack.layouts.one else OPEN)

    def _recompute(self) -> tuple[str, ...]:
        """Where flash attention keeps no scores and the stack means nothing else by it, selective is none."""
        recipe, known = self.plan.recipe, self.plan.stack.layouts.recompute or RECOMPUTE
        if "recompute_layers" in self.choices:
            return (RECOMPUTE[-1],)
        same = self.plan.workload.flash_attention and not recipe.selective_share
        return self._of("recompute").values or tuple(word for word in known if not (same and word == "selective"))

    def _again(self) -> tuple[float, ...]:
        """Layers that `full` computes again; all where nothing is asked (the search then finds the fewest)."""
        asked = self.choices.get("recompute_layers")
        return (np.inf,) if asked is None else asked.among(range(1, self.plan.model.layer_count + 1))

    def _offload(self) -> tuple[bool, ...]:
        return self._of("offload_optimizer").values or (False,)

    def _zero(self, shards: int, pp: int) -> tuple[int, ...]:
        """Sharding over one device is none at all; parameters in host memory are sharded ones."""
        if self.plan.workload.offload_parameters:
            return (SHARD_ALL,)
        layouts = self.plan.stack.layouts
        piped = layouts.zero_with_pipeline if pp > 1 else None
        tried = self._of("zero").values or ((piped or layouts.zero or (0, 1, 2, 3)) if shards > 1 else (0,))
        if self.plan.workload.dp_replicate == 1 or shards <= 1:
            return tried
        if not (sharded := tuple(zero for zero in tried if zero)):
            raise InputError(Fault("--dp-replicate is about shards: --zero 1, 2 or 3"))
        return sharded

    def _divided(self, tp: int) -> tuple[bool, ...]:
        known = self.plan.stack.layouts.sequence_parallel or (False, True)
        return self._of("sequence_parallel").values or (known if tp > 1 else (False,))

    def _inner(self, zero: tuple[int, ...], divided: tuple[bool, ...]) -> int:
        return len(zero) * len(divided) * len(self._recompute()) * len(self._offload()) * len(self._again())

    def _virtual(self, pp: int) -> tuple[int, ...]:
        layers = -(-self.plan.model.layer_count // pp)
        return self._of("vp").among(divisors(layers) if pp > 1 else (1,))

    def _experts(self) -> tuple[int, ...]:
        banks = {x.experts for layer in self.plan.model.layers for x in layer.linears if x.routed}
        return self._of("ep").among(divisors(reduce(gcd, banks)) if banks else (1,))

    def _once(self, key: Any, make: Callable[[], T]) -> T:
        """What `make` gives, made once for a key."""
        if key not in self._known:
            self._known[key] = make()
        found: T = self._known[key]
        return found

    def _fine(self, key: Any, rule: Callable[..., bool], *values: int) -> bool:
        """What a rule says, asked once for the same values."""
        return self._once(key, lambda: rule(*values))

    def _tp_fits(self, tp: int, ep: int) -> bool:
        return not any(tensor_problems(self.plan.model, tp, ep))

    def _ep_fits(self, ep: int, group: int) -> bool:
        return not any(expert_problems(self.plan.model, Layout(ep=ep, dp=group)))

    def _stages_fit(self, pp: int, vp: int) -> bool:
        return not any(stage_problems(self.plan.model, Layout(pp=pp, vp=vp)))

    def _batch_fits(self, dp: int, micro_batch: int) -> bool:
        work = self.plan.workload
        if work.optimizer_in_backward and work.global_batch != dp * micro_batch:
            return False  # no gradients are kept to add up
        return not any(batch_problems(Layout(dp=dp, micro_batch=micro_batch), *self._batch()))

    def _batch(self) -> tuple[int, int]:
        return self.plan.workload.global_batch, self.plan.workload.seq_len

    def _cp_fits(self, cp: int) -> bool:
        problems = batch_problems(Layout(cp=cp), *self._batch())
        return not any("cp" in names for _, names in problems)
