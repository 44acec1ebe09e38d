"""Numbers as people read them; the way back from `llmplan.units`."""

from __future__ import annotations

_DECIMAL = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_BINARY = ((2.0**40, "Ti"), (2.0**30, "Gi"), (2.0**20, "Mi"), (2.0**10, "Ki"), (1.0, ""))
EXACT = 12  # digits of what is counted, or means of it
_TIME = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def decimal(value: float, unit: str, digits: int = 4) -> str:
    """A value with a decimal prefix.

    >>> decimal(3.35e12, "B/s")
    '3.35 TB/s'
    """
    return _scaled(value, unit, _DECIMAL, digits)


def binary(value: float, digits: int = 4) -> str:
    """Bytes with a binary prefix.

    >>> binary(80 * 2**30)
    '80 GiB'
    """
    return _scaled(value, "B", _BINARY, digits)


def duration(value: float) -> str:
    """Seconds in the unit that people would take.

    >>> duration(10e-6)
    '10 us'
    """
    return _scaled(value, "", _TIME, 3)


def _scaled(value: float, unit: str, prefixes: tuple[tuple[float, str], ...], digits: int) -> str:
    size = abs(value)
    factor, prefix = next((pair for pair in prefixes if size >= pair[0] * (1 - 1e-9)), prefixes[-1])
    if value == 0:
        factor, prefix = next(pair for pair in prefixes if pair[0] == 1.0)
    return f"{plain(value / factor, digits)} {prefix}{unit}".rstrip()


def plain(value: float, digits: int = 3) -> str:
    """A number with so many significant digits and no exponent.

    >>> plain(134503.9), plain(0.012345)
    ('135000', '0.0123')
    """
    return f"{float(f'{value:.{digits}g}'):.15g}"


def count(value: float) -> str:
    """How many, with the letters that people use for parameters and tokens.

    >>> count(8030261248), count(15e12), count(950)
    ('8.03B', '15T', '950')
    """
    for factor, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return plain(value / factor) + letter
    return plain(value)


CENTS = 100.0
"""Amounts below this are written to the cent."""
_DAY = 24.0  # hours


def money(value: float) -> str:
    """An amount of money without its unit: to the cent where it is small, with a letter where it is large.

    >>> money(13.456), money(0.0123), money(148.2), money(1.68e6)
    ('13.46', '0.0123', '148', '1.68M')
    """
    return f"{value:.2f}" if 1 <= value < CENTS and not value.is_integer() else count(value)


def days(value: float) -> str:
    """A number of days, in hours where there are few.

    >>> days(35.24), days(0.0816)
    ('35.2', '1.96 h')
    """
    return plain(value) if value >= 1 else f"{plain(value * _DAY)} h"


def step_time(value: float, low: float | None = None, high: float | None = None) -> str:
    """Seconds, or milliseconds below one, with the band behind them.

    >>> step_time(21.31, 19.82, 23.13), step_time(0.0144)
    ('21.3 s, 19.8-23.1', '14.4 ms')
    """
    factor, unit = (1.0, "s") if value >= 1 else (1e-3, "ms")
    text = f"{plain(value / factor)} {unit}"
    return text if low is None or high is None else f"{text}, {plain(low / factor)}-{plain(high / factor)}"


def percent(share: float) -> str:
    """A share of a whole.

    >>> percent(0.123), percent(0.001)
    ('12%', '<1%')
    """
    return f"{share:.0%}" if share >= 0.005 else "<1%"  # noqa: PLR2004  (what rounds to nothing)
