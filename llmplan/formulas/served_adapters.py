"""Low-rank adapters of many customers on one served model: what they hold, and which of them a step reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import power

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def adapter_parameters(inputs: Num, outputs: Num, rank: Num) -> Num:
    """Of one matrix's adapter [1]: A (inputs x rank) and B (rank x outputs) (Hu et al. 2021, arXiv 2106.09685, 4.1).

    inputs, outputs: of the matrix on one device [1]; rank [1].

    >>> adapter_parameters(4096.0, 4096.0, 16.0)
    131072.0
    """
    return rank * (inputs + outputs)


def adapters_in_use(adapters: Num, sequences: Num) -> Num:
    """Different adapters that the sequences of a step ask for, on average [1]: N (1 - (1 - 1/N)^n).

    adapters: N, asked for alike [1]; sequences: n in the step [1]. Ignored: some are asked for more than others, which
    makes fewer different ones.

    >>> adapters_in_use(1.0, 8.0), round(adapters_in_use(16.0, 8.0), 2)
    (1.0, 6.45)
    """
    return adapters * (1.0 - power(1.0 - 1.0 / adapters, sequences))
