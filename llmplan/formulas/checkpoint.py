"""Storage of a run: the size of a checkpoint, how long it takes, and the rate at which data are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import minimum

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def checkpoint_bytes(parameters: Num, weight: Num, master: Num, optimizer: Num) -> Num:
    """Size of a checkpoint that training can go on from [bytes]: parameters x (weight + master + optimizer).

    parameters: trained [1]; weight: of a parameter as held [bytes]; master: of its fp32 copy, 0 = none [bytes];
    optimizer: of its optimizer states [bytes]. Gradients are not saved; state of the data loader is ignored.

    BLOOM, 176.2 B parameters with Adam in bf16: 2 + 4 + 8 bytes, in TiB (published: 2.3 TB):

    >>> round(checkpoint_bytes(176.247e9, 2.0, 4.0, 8.0) / 2**40, 2)
    2.24
    """
    return parameters * (weight + master + optimizer)


def storage_bandwidth(nodes: Num, per_node: Num, shared: Num) -> Num:
    """Rate at which nodes reach storage together [bytes/s]: min(nodes x per_node, shared).

    nodes [1]; per_node: that one node reaches [bytes/s]; shared: most that the file system gives [bytes/s].

    >>> storage_bandwidth(48.0, 1.2e9, 57.5e9) / 1e9
    57.5
    """
    return minimum(nodes * per_node, shared)


def transfer_seconds(size: Num, bandwidth: Num) -> Num:
    """Time to write or read a file set [s]: size / bandwidth.

    size [bytes]; bandwidth: `storage_bandwidth` [bytes/s]. Ignored: opening files, metadata, other jobs.

    BLOOM's 2.3 TB at 57.5 GB/s (github.com/stas00/ml-engineering, storage/README.md):

    >>> round(transfer_seconds(2.3e12, 57.5e9))
    40
    """
    return size / bandwidth


def data_bandwidth(tokens_per_second: Num, bytes_per_token: Num) -> Num:
    """Rate at which training reads its data [bytes/s]: tokens_per_second x bytes_per_token.

    tokens_per_second: of all devices [1/s]; bytes_per_token: as stored, 2 where the vocabulary has no more than
    65,536 entries, else 4 [bytes].

    >>> data_bandwidth(1e6, 4.0)
    4000000.0
    """
    return tokens_per_second * bytes_per_token
