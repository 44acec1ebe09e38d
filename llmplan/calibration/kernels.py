"""`python -m llmplan.calibration kernels [gemm|moe|attention|collectives]`: devices' curves from measured kernels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from llmplan.calibration import kernel_attention, kernel_collectives, kernel_experts, kernel_products
from llmplan.calibration.cases import Case, block, described, table, with_numbers
from llmplan.machine.hardware import Device

KINDS = {
    "gemm": kernel_products.cases, "moe": kernel_experts.cases, "attention": kernel_attention.cases,
    "collectives": kernel_collectives.cases,
}  # fmt: skip


def main(names: Sequence[str]) -> int:
    """Fits kinds of kernels, all without names; prints YAML, errors and what was dropped; returns the exit code."""
    if unknown := set(names) - KINDS.keys():
        print(f"no kernels {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
        return 2
    for name in names or KINDS:
        cases = KINDS[name]()
        devices: dict[str, Device] = {}
        for case in cases:
            show(case, devices)
        print("\nThe catalogue's curves: median / 90th percentile (bias) of predicted over measured - 1, in %\n")
        print(errors(cases))
    return 0


def show(case: Case, devices: dict[str, Device]) -> None:
    """Prints one fit; devices: by id with what was fitted on them before, to which this is added."""
    device = devices.get(case.device.id, case.device)
    print(f"# {case.device.id}, {case.what}, {case.name}: {len(case.seconds)} rows")
    for text in case.dropped:
        print(f"#   left out: {text}")
    if case.free:
        numbers = case.fitted(device)
        devices[case.device.id] = with_numbers(device, numbers)
        found = case.errors(devices[case.device.id])
        print("#   " + "; ".join(f"{name} {described(part)}" for name, part in found.items()))
        print(block(numbers))


def errors(cases: Sequence[Case]) -> str:
    """Errors of the catalogue's curves, one table for cases with the same classes."""
    alike = groupby(cases, key=lambda case: tuple(case.classes))
    return "\n\n".join(table(list(part)) for _, part in alike)
