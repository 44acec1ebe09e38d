"""Time of matrix products by shape: large square ones near the peak, skinny ones far from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import soft_maximum

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

    launch + soft_maximum(2 (k + ramp_k) (m n + tail) / rate, traffic / bandwidth)

    m, n, k: rows, columns, inner length [1].
    rate: FLOP/s that a large product reaches, not the datasheet's [FLOP/s].
    ramp_k: inner length lost in filling and draining a tile's pipeline [1].
    tail: output elements idle in the last wave of tiles, on average [1]: share of a wave x
        compute units x tile area. It makes a product smaller than the chip cost nearly a full wave.
    traffic: bytes read and written [bytes]; bandwidth: what streaming kernels reach [bytes/s].
    launch: fixed time of a kernel [s].
    Returns seconds [s], of the arguments' broadcast shape.

    Ignored: the saw-tooth of whole waves (its mean is in `tail`: single shapes are up to 15 % off),
    cache misses of very large operands, throttling by power.

    Five numbers fitted on 1,400 to 1,500 shapes each, m from 1 to 16,384, are within 5-8 % in the
    median on A100, H100, H200 and B200 (measured kernels: aiconfigurator, vLLM 0.14 collection).
    A 4096-cube on a device that reaches 800 TFLOP/s, with 100 MB of traffic at 3 TB/s:

    >>> t = matmul_seconds(4096.0, 4096.0, 4096.0, rate=8e14, ramp_k=100.0, tail=3e5,
    ...                    traffic=1e8, bandwidth=3e12, launch=3e-6)
    >>> round(float(t) * 1e6, 1)
    182.2
    """
    compute = 2.0 * (k + ramp_k) * (m * n + tail) / rate
    return launch + soft_maximum(compute, traffic / bandwidth)


def grouped_matmul_seconds(
    rows: Num, groups: Num, n: Num, k: Num, *, pad: Num, rate: Num, ramp_k: Num, tail: Num, traffic: Num,
    bandwidth: Num, launch: Num,
) -> Num:  # fmt: skip
    """Time of one grouped product: `rows` rows spread over `groups` matrices of (k, n) [s].

    As `matmul_seconds` with m = rows + groups x pad: every group's last tile of rows is part empty.

    rows: rows of all groups together [1]; groups: matrices (local experts) [1].
    pad: rows lost to tiling in each group on average, half a tile's height [1].
    The rest as in `matmul_seconds`; traffic counts the weights of every group that has rows.
    Ignored: uneven routing (the busiest group decides where groups sit on different devices).

    One group without padding is a plain product:

    >>> curve = dict(rate=8e14, ramp_k=0.0, tail=0.0, traffic=0.0, bandwidth=1e12, launch=0.0)
    >>> grouped = grouped_matmul_seconds(512.0, 1.0, 4096.0, 4096.0, pad=0.0, **curve)
    >>> grouped == matmul_seconds(512.0, 4096.0, 4096.0, **curve)
    True
    """
    return matmul_seconds(
        rows + groups * pad,
        n,
        k,
        rate=rate,
        ramp_k=ramp_k,
        tail=tail,
        traffic=traffic,
        bandwidth=bandwidth,
        launch=launch,
    )


def matmul_traffic(m: Num, n: Num, k: Num, input_bytes: Num, output_bytes: Num, weight_sets: Num = 1.0) -> Num:
    """Bytes of a product that reads each operand once and writes its result once [bytes].

    input_bytes (m k + weight_sets k n) + output_bytes m n, element sizes in bytes [bytes].
    Right while a wave's operands stay in the cache; a square product of 16k re-reads some.
    m, n, k, weight_sets [1]; input_bytes, output_bytes: of one element [bytes].

    >>> matmul_traffic(2.0, 3.0, 4.0, 2.0, 2.0)
    52.0
    """
    return input_bytes * (m * k + weight_sets * k * n) + output_bytes * m * n
