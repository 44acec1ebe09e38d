"""Interruptions: how often, how often to save against them, and what is left of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmplan.formulas.numeric import maximum, minimum, power, sqrt

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num

_E = 2.718281828459045
_MOST_EXPONENT = 700.0  # e^709 is the largest double


def device_interval(observed_devices: Num, seconds: Num, interruptions: Num) -> Num:
    """Mean time between interruptions that one device causes [s]: observed_devices x seconds / interruptions.

    observed_devices: watched [1]; seconds: how long [s]; interruptions: of the job in that time [1].

    Llama 3 (2024, arXiv 2407.21783, section 3.3.4): 419 unexpected ones in 54 days on 16,384 H100, in hours:

    >>> round(device_interval(16_384.0, 54 * 86400.0, 419.0) / 3600)
    50677
    """
    return observed_devices * seconds / interruptions


def job_interval(device_seconds: Num, devices: Num) -> Num:
    """Mean time between interruptions of a job that any of its devices stops [s]: device_seconds / devices.

    device_seconds: mean time between interruptions of one device [s]; devices [1].
    Ignored: causes that do not grow with the number of devices, early failures, devices that fail again and again.

    >>> round(job_interval(50_677 * 3600.0, 16_384.0) / 3600, 1)
    3.1
    """
    return device_seconds / devices


def checkpoint_interval(write_seconds: Num, interval: Num) -> Num:
    """Best time of work between two checkpoints [s]: sqrt(2 C M) - C, at least C; C = write_seconds, M = interval.

    write_seconds: that work stands still while a checkpoint is written [s]; interval: mean time between
    interruptions of the job [s] (Young 1974; Daly 2006, equation 3, first order).

    >>> round(checkpoint_interval(40.0, 86400.0))
    2589
    """
    return maximum(sqrt(2.0 * write_seconds * interval) - write_seconds, write_seconds)


def goodput(work: Num, write_seconds: Num, restart_seconds: Num, interval: Num) -> Num:
    """Share of the wall time that becomes progress [1]: (work / M) e^(-R / M) / (e^((work + C) / M) - 1).

    work: between checkpoints [s]; write_seconds: C, of one checkpoint [s]; restart_seconds: R, from an interruption
    until work goes on where the checkpoint stands [s]; interval: M, mean time between interruptions of the job [s].
    Interruptions come evenly at random, also during writing and restarting (Daly 2006, equation 13). Lost are
    checkpoints, work since the last one, and restarts. Ignored: planned stops.

    >>> round(goodput(2589.0, 40.0, 600.0, 86400.0), 3)
    0.963
    """
    exponent = minimum((work + write_seconds) / interval, _MOST_EXPONENT)
    restart = minimum(restart_seconds / interval, _MOST_EXPONENT)
    return work / interval * power(_E, -restart) / (power(_E, exponent) - 1.0)
