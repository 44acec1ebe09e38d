"""Power: the clock that a chip keeps in continuous work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import minimum, power

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

IDLE_SHARE = 0.15
"""Share of its power limit that a chip draws whatever its clock: memory, links, leakage [1]."""
CLOCK_POWER = 3.0
"""Power of the clock by which the rest grows: the clock itself, and twice the voltage, which goes with it [1]."""

HALF_ENERGY = 1.5 / 4.6
"""Energy of a multiplication and an addition over that of those in twice the bits: 1.1 + 0.4 pJ in 16 bits, 3.7 + 0.9
in 32 (Horowitz 2014, "Computing's energy problem", ISSCC, figure 1.1.9) [1]."""


def sustained_clock(limit: Num, drawn: Num) -> Num:
    """Share of its full clock that a chip keeps where its power is limited [1].

    min(1, ((1 - IDLE_SHARE) limit / drawn)^(1 / CLOCK_POWER))
    limit: what the chip may draw (TDP) [W]; drawn: what the work would draw at full clock, beside what is drawn
    whatever the clock: energy of a FLOP x FLOP/s [W].
    Ignored: chips of one kind differ by some per cent; phases of a step that draw less lend nothing to the others,
    which measured runs do not show (docs/matmul.md).

    An H100 takes about 1.04 pJ for a FLOP in 16 bits and reaches 812 TFLOP/s alone; at 700, 500 and 400 W:

    >>> [round(sustained_clock(limit, 1.04e-12 * 812e12), 3) for limit in (700.0, 500.0, 400.0)]
    [0.89, 0.795, 0.738]
    """
    return minimum(1.0, power((1.0 - IDLE_SHARE) * limit / drawn, 1.0 / CLOCK_POWER))
