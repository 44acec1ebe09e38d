"""What a run writes and reads: checkpoints and data, and whether the cluster's storage keeps up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from llmplan.formulas.checkpoint import checkpoint_bytes, data_bandwidth, storage_bandwidth, transfer_seconds
from llmplan.formulas.numeric import real
from llmplan.records import dataclass, replace
from llmplan.training.states import optimizer_bytes, state_bytes, trained_parameters
from llmplan.vocabulary import Amount

if TYPE_CHECKING:
    from llmplan.training.estimate import TrainingEstimate
    from llmplan.training.plan import TrainingPlan

_SHORT_VOCABULARY = 65_536  # entries: what two bytes can number
_MASTER = 4.0  # bytes of an fp32 weight; stacks that hold fp32 gradients beside it do not save those
_SHORT_TOKEN, _LONG_TOKEN = 2.0, 4.0  # bytes of a token on disk


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStorage:
    """What the run writes and reads; times and rates of the storage are left out where the cluster's entry has none."""

    kind: str | None = None
    checkpoint_bytes: Amount
    """Weights, master weights and optimizer states."""
    weights_bytes: Amount
    """Weights alone."""
    write_seconds: Amount | None = None
    """Of a checkpoint."""
    read_seconds: Amount | None = None
    dataset_bytes: Amount
    """Tokens as numbers, not text."""
    needed_bytes_per_second: Amount
    """To read data as fast as tokens are used."""
    read_bytes_per_second: Amount | None = None
    write_bytes_per_second: Amount | None = None
    load: Amount | None = None
    """What reading data takes of the storage; above 1 the devices wait for it."""
    holds_back: bool
    """Whether data are read slower than they are used."""


def storage_of(found: TrainingEstimate, tokens: float) -> RunStorage:
    """Storage of a run of so many tokens."""
    plan, storage = found.plan, found.plan.cluster.storage
    weight, _, master = state_bytes(plan)
    trained = trained_parameters(plan)
    size = real(checkpoint_bytes(trained, weight, min(master, _MASTER), optimizer_bytes(plan)))
    each = _SHORT_TOKEN if plan.model.vocab <= _SHORT_VOCABULARY else _LONG_TOKEN
    data = real(plan.options.dataset_tokens or tokens) * each
    needed = real(data_bandwidth(found.tokens_per_second.value, each))
    known = RunStorage(
        checkpoint_bytes=size, weights_bytes=trained * weight, dataset_bytes=data, needed_bytes_per_second=needed,
        holds_back=False,
    )  # fmt: skip
    if storage is None:
        return known
    nodes = node_count(plan)
    read = real(storage_bandwidth(nodes, storage.read, storage.shared_read or math.inf))
    write = real(storage_bandwidth(nodes, storage.write, storage.shared_write or math.inf))
    return replace(
        known, kind=storage.kind, write_seconds=real(transfer_seconds(size, write)),
        read_seconds=real(transfer_seconds(size, read)), read_bytes_per_second=read, write_bytes_per_second=write,
        load=needed / read, holds_back=needed > read,
    )  # fmt: skip


def node_count(plan: TrainingPlan) -> float:
    """Nodes that the run takes, the last perhaps in part [1]."""
    return real(math.ceil(plan.devices / plan.cluster.devices_per_node))
