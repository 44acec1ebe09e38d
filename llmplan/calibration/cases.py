"""Measured kernels of one device and kind as a case: predicted by the planner, fitted, and held against it.

A case knows which numbers of the device's `efficiency` it tells, how the planner's own functions predict its rows from
them, and by which size classes its errors are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, NamedTuple

import numpy as np

from llmplan.calibration.least_squares import fit
from llmplan.machine.hardware import Device
from llmplan.records import dataclass, replace

Array = np.ndarray[Any, np.dtype[np.float64]]
UNITS = dict.fromkeys(("launch", "latency", "base", "step", "chunk", "protocol"), (1e-6, "us"))
UNITS |= {"routed_bandwidth": (1e12, "TB/s"), "unit_rate": (1e12, "TFLOP/s"), "unit_bandwidth": (1e9, "GB/s")}
"""Units in which fields with a dimension are fitted and printed."""


class Range(NamedTuple):
    """Where a fit starts, and the bounds that nature or the meaning sets; in the units of `UNITS`."""

    start: float
    low: float
    high: float


Key = tuple[str, str, str]
"""Section of the efficiency, kind, field."""


@dataclass(frozen=True)
class Case:
    """Measured rows of one device.

    what: gemm, moe, attention or collectives; name: what the rows measure; predict: the planner's seconds on a
    device [s]; classes: rows of each size class; free: numbers that are fitted; fixed: those that go with them;
    weights: of rows in the fit; dropped: what was left out and why.
    """

    what: str
    name: str
    device: Device
    seconds: Array
    predict: Callable[[Device], Array]
    classes: Mapping[str, Any]
    free: Mapping[Key, Range] = field(default_factory=dict)
    fixed: Mapping[Key, float | bool] = field(default_factory=dict)
    weights: Any = None
    dropped: tuple[str, ...] = ()

    def errors(self, device: Device | None = None) -> dict[str, Array]:
        """Predicted over measured - 1 of the rows of each class, and of all of them [1]."""
        ratio = self.predict(device or self.device) / self.seconds - 1.0
        return {name: ratio[rows] for name, rows in self.classes.items()} | {"all": ratio}

    def fitted(self, device: Device | None = None) -> dict[Key, float | bool]:
        """The numbers that a fit gives, with those that go with them, in SI units; the device's others stay."""
        scale = np.array([UNITS.get(name, (1.0, ""))[0] for _, _, name in self.free])

        def numbers(x: Any) -> dict[Key, float | bool]:
            return {**dict(zip(self.free, map(float, x * scale), strict=True)), **self.fixed}

        def predicted(x: Any) -> Array:
            return self.predict(with_numbers(device or self.device, numbers(x)))

        weights = np.ones_like(self.seconds) if self.weights is None else self.weights
        return numbers(fit(predicted, self.seconds, weights, *np.array(list(self.free.values())).T))


def alone(device: Device) -> Device:
    """The device as kernels measured alone find it, at its full clock."""
    return replace(device, efficiency=replace(device.efficiency, product_energy=None))


def with_numbers(device: Device, numbers: Mapping[Key, float | bool]) -> Device:
    """The device with other numbers in its efficiency."""
    tables: dict[str, Any] = {}
    for (section, kind, name), value in numbers.items():
        entries = tables.setdefault(section, dict(getattr(device.efficiency, section)))
        entry = entries.get(kind) or next(iter(entries.values()))  # what is not fitted stays as for another kind
        entries[kind] = replace(entry, **{name: value})
    return replace(device, efficiency=replace(device.efficiency, **tables))


def class_weights(classes: Mapping[str, Any], rows: int) -> Array:
    """Weights by which every class has as much to say, whatever its number of rows [1]."""
    weights = np.ones(rows)
    for mask in classes.values():
        if mask.any():
            weights[mask] = rows / mask.sum() / len(classes)
    return weights


def block(numbers: Mapping[Key, float | bool]) -> str:
    """Fitted numbers as they stand in a device's file, below `efficiency`."""
    entries: dict[str, dict[str, list[str]]] = {}
    for (section, kind, name), value in numbers.items():
        entries.setdefault(section, {}).setdefault(kind, []).append(f"{name}: {_number(name, value)}")
    lines = []
    for section, kinds in entries.items():
        lines += [f"  {section}:", *(f"    {kind}: {{{', '.join(values)}}}" for kind, values in kinds.items())]
    return "\n".join(lines)


def _number(name: str, value: float | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if name in UNITS:
        size, unit = UNITS[name]
        return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def table(cases: list[Case]) -> str:
    """Errors of cases with the same classes as a Markdown table: median / 90th percentile (bias), in %."""
    names = [*cases[0].classes, "all"]
    head = f"| device | {cases[0].what} | rows | {' | '.join(names)} |"
    lines = [head, "| --- | --- | --- |" + " --- |" * len(names)]
    for case in cases:
        errors = case.errors()
        cells = [described(errors[name]) for name in names]
        lines.append(f"| {case.device.id} | {case.name} | {len(case.seconds)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def described(errors: Array) -> str:
    """Median / 90th percentile (bias) of relative errors, in %."""
    if not len(errors):
        return ""
    size = np.abs(errors)
    return f"{np.median(size):.1%} / {np.quantile(size, 0.9):.0%} ({np.median(errors):+.1%})".replace("%", "")
