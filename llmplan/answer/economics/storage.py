"""What a run writes and reads: checkpoints and data, and whether the cluster's storage keeps up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmplan.formulas.checkpoint import checkpoint_bytes, data_bandwidth, storage_bandwidth, transfer_seconds
from llmplan.formulas.numeric import real
from llmplan.training.states import adapters, optimizer_bytes, state_bytes

if TYPE_CHECKING:
    from llmplan.training.estimate import TrainingEstimate
    from llmplan.training.plan import TrainingPlan

_SHORT_VOCABULARY = 65_536  # entries: what two bytes can number
_MASTER = 4.0  # bytes of an fp32 weight; stacks that hold fp32 gradients beside it do not save those
_SHORT_TOKEN, _LONG_TOKEN = 2.0, 4.0  # bytes of a token on disk


@dataclass(frozen=True, slots=True)
class Storage:
    """Storage of a run; None where the cluster's entry has no storage.

    checkpoint_bytes: weights, master weights and optimizer states [bytes]; weights_bytes: weights alone [bytes];
    write_seconds, read_seconds: of a checkpoint [s]; dataset_bytes: tokens as numbers, not text [bytes];
    data_bandwidth: that the step rate needs [bytes/s]; read_bandwidth, write_bandwidth: that there is [bytes/s].
    """

    kind: str | None
    checkpoint_bytes: float
    weights_bytes: float
    write_seconds: float | None
    read_seconds: float | None
    dataset_bytes: float
    data_bandwidth: float
    read_bandwidth: float | None
    write_bandwidth: float | None

    @property
    def load(self) -> float | None:
        """What reading data takes of the storage [1]; above 1 the devices wait for it. None where it is not known."""
        return None if self.read_bandwidth is None else self.data_bandwidth / self.read_bandwidth

    @property
    def holds_back(self) -> bool:
        """Whether data are read slower than they are used."""
        return self.load is not None and self.load > 1.0


def storage_of(answer: TrainingEstimate, tokens: float) -> Storage:
    """Storage of a run of so many tokens."""
    plan, storage = answer.plan, answer.plan.cluster.storage
    weight, _, master = state_bytes(plan)
    trained = trained_parameters(plan)
    size = real(checkpoint_bytes(trained, weight, min(master, _MASTER), optimizer_bytes(plan)))
    each = _SHORT_TOKEN if plan.model.vocab <= _SHORT_VOCABULARY else _LONG_TOKEN
    data = real(plan.options.dataset_tokens or tokens) * each
    read = write = None
    if storage is not None:
        nodes = node_count(plan)
        read = real(storage_bandwidth(nodes, storage.read, storage.shared_read or math.inf))
        write = real(storage_bandwidth(nodes, storage.write, storage.shared_write or math.inf))
    return Storage(
        kind=storage.kind if storage else None,
        checkpoint_bytes=size,
        weights_bytes=trained * weight,
        write_seconds=None if write is None else real(transfer_seconds(size, write)),
        read_seconds=None if read is None else real(transfer_seconds(size, read)),
        dataset_bytes=data,
        data_bandwidth=real(data_bandwidth(answer.tokens_per_second.value, each)),
        read_bandwidth=read,
        write_bandwidth=write,
    )


def trained_parameters(plan: TrainingPlan) -> float:
    """Parameters that a checkpoint of this training holds [1]: all, or those of the adapters."""
    if plan.workload.workload != "lora":
        return real(plan.model.parameters)
    return sum(adapters(plan, layer) * layer.count for layer in plan.model.layers)


def node_count(plan: TrainingPlan) -> float:
    """Nodes that the run takes, the last perhaps in part [1]."""
    return real(math.ceil(plan.devices / plan.cluster.devices_per_node))
