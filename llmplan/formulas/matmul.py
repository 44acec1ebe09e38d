"""Time of matrix products by shape: large square ones near the peak, skinny ones far from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import soft_maximum, sqrt

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def matmul_flops(m: Num, n: Num, k: Num) -> Num:
    """FLOPs of an (m, k) x (k, n) product: 2 m n k [FLOP].

    m, n: rows and columns of the result [1]; k: inner length [1].

    >>> matmul_flops(2.0, 3.0, 4.0)
    48.0
    """
    return 2.0 * m * n * k


def matmul_seconds(
    m: Num, n: Num, k: Num, *, rate: Num, ramp_k: Num, tail: Num, traffic: Num, bandwidth: Num, launch: Num
) -> Num:
    """Time of an (m, k) x (k, n) product [s].

    launch + soft_maximum(2 (k + ramp_k) sqrt((m n)^2 + tail^2) / rate, traffic / bandwidth)

    m, n, k: rows, columns, inner length [1].
    rate: FLOP/s that a large product reaches, not the datasheet's [FLOP/s].
    ramp_k: inner length lost in filling and draining a tile's pipeline [1].
    tail: output elements below which a product gets no cheaper, for units stay idle [1]: share of a wave x
        compute units x tile area. A product of many waves loses little.
    traffic: bytes read and written [bytes]; bandwidth: what streaming kernels reach [bytes/s].
    launch: fixed time of a kernel, with that of the cast of its input where it has one [s].
    Returns seconds [s], of the arguments' broadcast shape.

    Ignored: the saw-tooth of whole waves (single shapes are up to 15 % off), operands that are both larger than the
    chip's cache (B200 in 8 bits beyond 16k x 16k x 6k: up to twice the time), throttling by power.

    Five numbers fitted on 1,300 to 1,500 products each are within 3 to 8 % in the median for m <= 256 and 4 to 9 %
    for m >= 1024 on A100, H100, H200 and B200 in bf16, fp8, block fp8 and nvfp4 (aiconfigurator, vLLM's kernels).
    A 4096-cube on a device that reaches 800 TFLOP/s, with 100 MB of traffic at 3 TB/s:

    >>> t = matmul_seconds(4096.0, 4096.0, 4096.0, rate=8e14, ramp_k=100.0, tail=3e5,
    ...                    traffic=1e8, bandwidth=3e12, launch=3e-6)
    >>> round(float(t) * 1e6, 1)
    179.1
    """
    area = m * n
    compute = 2.0 * (k + ramp_k) * sqrt(area * area + tail * tail) / rate
    return launch + soft_maximum(compute, traffic / bandwidth)


def product_traffic(m: Num, n: Num, k: Num, weight_bytes: Num, input_bytes: Num, sets: Num = 1.0) -> Num:
    """Bytes of a product that reads weights and inputs once and writes its result in 16 bits once [bytes].

    weight_bytes sets k n + input_bytes m k + 2 m n. Right while a wave's operands stay in the cache; a square
    product of 16k reads some again.
    m, n, k [1]; weight_bytes, input_bytes: of one element with its share of scales [bytes]; sets: matrices read [1].

    >>> product_traffic(1.0, 4.0, 2.0, 0.5, 2.0)
    16.0
    """
    return weight_bytes * sets * k * n + input_bytes * m * k + 2.0 * m * n


def gradient_traffic(rows: Num, n: Num, k: Num, input_bytes: Num, sets: Num = 1.0) -> Num:
    """Bytes of the gradient of a (k, n) weight: both operands read, an fp32 accumulator read and written [bytes].

    input_bytes rows (k + n) + 8 sets k n; rows: tokens that the gradient sums over [1]; n, k [1];
    input_bytes: of one operand's element [bytes]; sets: matrices [1].

    >>> gradient_traffic(2.0, 3.0, 4.0, 2.0)
    124.0
    """
    accumulator = 8.0
    return input_bytes * rows * (k + n) + accumulator * sets * k * n


def cast_bytes(elements: Num, narrow_bytes: Num, copies: Num = 1.0) -> Num:
    """Bytes of casting 16-bit values for a product in 8 bits or fewer: elements (2 + copies narrow_bytes) [bytes].

    elements [1]; narrow_bytes: with its share of scales [bytes]; copies: 2 where the transpose is needed too, for the
    gradient of the weight [1]. Ignored: casts fused into the operation before.

    >>> cast_bytes(10.0, 1.0), cast_bytes(10.0, 1.0, 2.0)
    (30.0, 40.0)
    """
    return elements * (2.0 + copies * narrow_bytes)
