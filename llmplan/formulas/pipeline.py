"""Pipeline parallelism: the bubble, micro-batches in flight, layers of the fullest stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import ceil, minimum, where

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def bubble_seconds(stage_seconds: Num, pp: Num, vp: Num) -> Num:
    """Time in which a stage waits for the pipeline to fill and drain, a step [s].

    (pp - 1) / vp x stage_seconds (Narayanan et al. 2021, arXiv 2104.04473, section 2.2): the share of
    the ideal time m x stage_seconds is (pp - 1) / (vp m).
    stage_seconds: forward and backward of one micro-batch through one of the stages that it waits for, their mean
    where they are unlike [s]; pp, vp [1].

    >>> bubble_seconds(0.1, 8.0, 1.0), bubble_seconds(0.1, 8.0, 7.0)
    (0.7000000000000001, 0.1)
    """
    return (pp - 1.0) / vp * stage_seconds


def waited_share(pp: Num, vp: Num, micro_batches: Num) -> Num:
    """Share of a stage's sends that it waits for where the others run beside its next chunk of work [1].

    (vp pp - 1) / (vp m): the interleaved schedule alternates forward and backward passes, so that what one of them
    receives is on its way during the other, but for those passes that fill and drain the pipeline: (vp - 1) pp + 2 (pp
    - 1 - rank) of vp m each way, the mean over the ranks (Megatron-LM `core/pipeline_parallel/schedules.py`,
    `get_pp_rank_microbatches`). pp, vp, micro_batches: m [1].

    >>> waited_share(4.0, 5.0, 38.0), waited_share(8.0, 12.0, 4.0)
    (0.1, 1.0)
    """
    return minimum((vp * pp - 1.0) / (vp * micro_batches), 1.0)


def micro_batches_in_flight(pp: Num, vp: Num, micro_batches: Num) -> Num:
    """Micro-batches whose activations the first stage holds at its peak, in units of its layers [1].

    1F1B: min(pp, m). Interleaved: pp (1 + (pp - 1) / (pp vp)) (Korthikanti et al. 2022, arXiv 2205.05198,
    section 4.2.3), never more than m. pp, vp, micro_batches: m [1].

    >>> micro_batches_in_flight(8.0, 1.0, 64.0), micro_batches_in_flight(8.0, 1.0, 2.0)
    (8.0, 2.0)
    >>> round(micro_batches_in_flight(8.0, 3.0, 64.0), 3)
    10.333
    """
    interleaved = where(vp > 1, (pp - 1.0) / vp, 0.0)
    return minimum(pp + interleaved, micro_batches)


def stage_layers(layers: Num, pp: Num, vp: Num) -> Num:
    """Layers of the fullest stage [1]: vp x ceil(layers / (pp vp)).

    layers, pp, vp [1]. 126 layers on 16 x 8 virtual stages give 8, as if there were 128.

    >>> stage_layers(96.0, 8.0, 3.0), stage_layers(126.0, 16.0, 1.0)
    (12.0, 8.0)
    """
    return vp * ceil(layers / (pp * vp))


def end_stage_layers(layers: Num, pp: Num, vp: Num) -> Num:
    """Layers of the first and of the last stage [1]: one less where embedding and head count as a layer each.

    Pipelines are cut that way where it is what makes them even: stage_layers - 1 if pp vp divides layers + 2 and
    not layers, else stage_layers. BLOOM has 70 layers on 12 stages: 5 beside the embedding, 6 elsewhere
    (BigScience, `--pp-partition-method type:transformer|embedding`); Llama 3.1 405B has 126 on 16.
    layers, pp, vp [1].

    >>> end_stage_layers(70.0, 12.0, 1.0), end_stage_layers(96.0, 8.0, 3.0), end_stage_layers(32.0, 1.0, 1.0)
    (5.0, 12.0, 32.0)
    """
    stages = pp * vp
    uneven = ceil(layers / stages) * stages - layers
    return stage_layers(layers, pp, vp) - where(uneven == 2, 1.0, 0.0)
