"""Weights, gradients and optimizer states of a device: how many parameters it holds, in how many bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import maximum, minimum, where

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def split_parts(tp: Num, limit: Num) -> Num:
    """Parts that tensor parallelism cuts a matrix into: tp, or the limit where there are fewer heads [1].

    tp [1]; limit: most parts, 0 = no limit [1]. Beyond the limit parts are copied (kv heads under GQA).

    >>> split_parts(8.0, 4.0), split_parts(8.0, 0.0)
    (4.0, 8.0)
    """
    return where(limit == 0, tp, minimum(tp, maximum(limit, 1.0)))


def expert_parts(tp: Num, ep: Num) -> Num:
    """Devices over which one layer's experts are spread, whole or cut: max(ep, tp) [1].

    ep devices hold whole experts; where tp > ep, each expert is cut into tp / ep parts besides.
    tp, ep [1].

    >>> expert_parts(8.0, 1.0), expert_parts(2.0, 64.0), expert_parts(8.0, 8.0)
    (8.0, 64.0, 8.0)
    """
    return maximum(ep, tp)


def sharded_bytes(parameters: Num, bytes_per_parameter: Num, shards: Num) -> Num:
    """A state of the parameters divided over `shards` devices [bytes].

    parameters: on this device before sharding [1]; bytes_per_parameter [bytes]; shards [1].
    ZeRO (Rajbhandari et al. 2020, arXiv 1910.02054, figure 1), 7.5B parameters on 64 devices with
    2 + 2 + 12 bytes: 120 GB, 31.4 (stage 1), 16.6 (stage 2), 1.9 (stage 3):

    >>> psi = 7.5e9
    >>> [round((sharded_bytes(psi, 2, w) + sharded_bytes(psi, 2, g) + sharded_bytes(psi, 12, o)) / 1e9, 1)
    ...  for w, g, o in [(1, 1, 1), (1, 1, 64), (1, 64, 64), (64, 64, 64)]]
    [120.0, 31.4, 16.6, 1.9]
    """
    return parameters * bytes_per_parameter / shards


def lora_parameters(inputs: Num, outputs: Num, rank: Num) -> Num:
    """Parameters of one adapter, A (inputs x rank) and B (rank x outputs): rank (inputs + outputs) [1].

    Hu et al. 2021, arXiv 2106.09685, section 4.1. inputs, outputs, rank [1].

    >>> lora_parameters(4096.0, 4096.0, 8.0)
    65536.0
    """
    return rank * (inputs + outputs)
