"""Carbon: of the electricity, by the grid that it comes from; and of making the machines, apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def operational_carbon(joules: Num, intensity: Num) -> Num:
    """Emissions of the electricity, location based [kg CO2e]: joules x intensity.

    joules: that the building takes [J]; intensity: of the grid where it stands, a yearly mean [kg/J].
    Market-based accounts (certificates) say another number for the same run: Llama 3.1's card gives 8,930 t by
    location and 0 t by market.

    BLOOM (Luccioni et al. 2022, arXiv 2211.02001): 433 MWh at 57 g a kWh, in tonnes (published: 25):

    >>> round(operational_carbon(433 * 3.6e9, 0.057 / 3.6e6) / 1e3, 1)
    24.7
    """
    return joules * intensity


def embodied_carbon(node_kilograms: Num, nodes: Num, seconds: Num, lifetime: Num) -> Num:
    """Share of making the machines that a run takes up [kg CO2e]: node_kilograms x nodes x seconds / lifetime.

    node_kilograms: emitted in making one node with its devices [kg]; nodes: in use [1]; seconds: wall time [s];
    lifetime: over which they are written off, used or not [s] (Gupta et al. 2022, ACT, equation 1).
    Ignored: idle time of the machines between runs, network, storage, building.

    >>> round(embodied_carbon(7884.0, 48.0, 118 * 86400.0, 3 * 365.25 * 86400.0) / 1e3, 1)
    40.8
    """
    return node_kilograms * nodes * seconds / lifetime
