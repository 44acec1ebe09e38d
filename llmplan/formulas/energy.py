"""Energy of a run: what devices and hosts draw, and what the building adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num


def it_energy(seconds: Num, devices: Num, device_watts: Num, nodes: Num = 0.0, node_watts: Num = 0.0) -> Num:
    """Energy at the plugs of the machines [J]: seconds x (devices x device_watts + nodes x node_watts).

    seconds: wall time [s]; devices, nodes: in use all that time [1]; device_watts: of one device under load [W];
    node_watts: of one node beside its devices (processors, fans, network cards) [W].
    Ignored: switches and storage outside the nodes, and that the load is not constant; a nameplate
    (TDP) in place of a measured mean is a little high for training, much too high for decoding.

    BLOOM (Luccioni et al. 2022, arXiv 2211.02001, section 4.1): 1,082,990 hours of an A100 at its 400 W, in MWh:

    >>> round(it_energy(3600.0, 1_082_990.0, 400.0) / 3.6e9)
    433
    """
    return seconds * (devices * device_watts + nodes * node_watts)


def facility_energy(it_joules: Num, pue: Num) -> Num:
    """Energy that the building takes for it [J]: it_joules x PUE.

    it_joules: at the plugs of the machines [J]; pue: power usage effectiveness, energy of the building over
    energy of its machines, a mean over the year [1].

    GPT-3 (Patterson et al. 2021, arXiv 2104.10350, table 4): 10,000 V100 for 14.8 days at 330 W measured for
    the device with its host, PUE 1.10, in MWh (published from unrounded days: 1,287):

    >>> round(facility_energy(it_energy(14.8 * 86400, 10_000.0, 330.0), 1.10) / 3.6e9)
    1289
    """
    return it_joules * pue


def energy_per_million(watts: Num, tokens_per_second: Num) -> Num:
    """Energy of a million tokens [J]: 10^6 x watts / tokens_per_second.

    watts: of all machines, the building included [W]; tokens_per_second: that they deliver at the load [1/s].

    >>> energy_per_million(10_000.0, 5_000.0) / 3.6e6
    0.5555555555555556
    """
    million = 1e6  # tokens
    return million * watts / tokens_per_second
