"""Pieces of a training step: traffic of elementwise work, host time, overlap, optimizer, utilisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import beyond, log2, minimum, soft_maximum

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def elementwise_bytes(tokens: Num, elements: Num, passes: Num, element: Num = 2.0) -> Num:
    """Traffic of norms, residuals, activations, dropout, rotations [bytes]: tokens x elements x passes x element.

    elements: of a token, all such operations of a layer together [1]; passes: reads and writes of each [1].
    tokens [1]; element: of one number [bytes].

    >>> elementwise_bytes(10.0, 4.0, 3.0)
    240.0
    """
    return tokens * elements * passes * element


def host_bound_seconds(device_seconds: Num, host_seconds: Num) -> Num:
    """Time of work that the host must launch: about the longer of the device's and the host's [s].

    soft_maximum(device, host): small layers finish before their next kernel is launched, and the two queue
    behind each other where they are alike. Ignored: a host that runs ahead over layers of unlike size.
    device_seconds, host_seconds: of the same layer [s].

    >>> round(host_bound_seconds(0.004, 0.001), 6), round(host_bound_seconds(0.0005, 0.001), 6)
    (0.004004, 0.001015)
    """
    return soft_maximum(device_seconds, host_seconds)


def exposed_seconds(communication: Num, cover: Num, never_hidden: Num) -> Num:
    """The part of communication that lengthens the step, when it runs beside computation [s].

    f c + max(0, (1 - f) c - cover)
    communication: c, its time alone [s]; cover: computation that runs at the same time [s];
    never_hidden: f, the share that always costs time: first and last pieces, and the computing units and
    memory bandwidth that communication takes from computation [1].

    >>> exposed_seconds(1.0, 10.0, 0.2), exposed_seconds(1.0, 0.5, 0.2)
    (0.2, 0.5)
    """
    return never_hidden * communication + beyond((1.0 - never_hidden) * communication, cover)


def exposed_beside_pieces(communication: Num, products: Num, pieces: Num, reached: float) -> Num:
    """The part of communication that lengthens the step, where products are cut into pieces that it runs between [s].

    c - reached (n - 1) / n min(c, products)
    The first piece is sent, or the last one computed, beside nothing. communication: c, its time alone [s]; products:
    those beside which it runs [s]; pieces: n, of each product [1]; reached: share of what could be hidden that is [1].
    Ignored: pieces of a product take longer than it, where they leave units of the device idle.

    Four pieces hide three quarters at best, and no more than three quarters of the products' time:

    >>> exposed_beside_pieces(1.0, 10.0, 4.0, 1.0), exposed_beside_pieces(1.0, 0.4, 4.0, 1.0)
    (0.25, 0.7)
    """
    return communication - reached * (1.0 - 1.0 / pieces) * minimum(communication, products)


def optimizer_seconds(parameters: Num, bytes_per_parameter: Num, bandwidth: Num) -> Num:
    """Time of the optimizer step: a pass over gradients, master weights and states [s].

    parameters x bytes_per_parameter / bandwidth; parameters: updated on this device [1];
    bytes_per_parameter: read and written (Adam in mixed precision: 4 + 2 x 12 + 2 = 30) [bytes].
    bandwidth: at which they stream [bytes/s].

    >>> round(optimizer_seconds(1e9, 30.0, 1.5e12), 3)
    0.02
    """
    return parameters * bytes_per_parameter / bandwidth


def straggler_factor(nodes: Num, loss_per_doubling: Num) -> Num:
    """Factor on the step for the slowest of many nodes: 1 + loss x log2(nodes) [1].

    The expected maximum of n like variables grows as the logarithm of n. nodes [1];
    loss_per_doubling: fraction [1].

    >>> straggler_factor(1.0, 0.01), straggler_factor(1024.0, 0.01)
    (1.0, 1.1)
    """
    return 1.0 + loss_per_doubling * log2(nodes)


def model_flops_utilization(model_flops: Num, seconds: Num, devices: Num, peak: Num) -> Num:
    """MFU: FLOPs that the model needs in a step over what the devices could do in that time [1].

    model_flops: 3 x forward (one forward, two backward), no recomputation [FLOP] (Chowdhery et al. 2022,
    arXiv 2204.02311, appendix B); seconds: step [s]; devices [1]; peak: dense datasheet FLOP/s of the
    precision of the matrix products [FLOP/s]. With recomputed FLOPs added it is HFU.

    >>> model_flops_utilization(4e15, 10.0, 8.0, 1e14)
    0.5
    """
    return model_flops / seconds / (devices * peak)
