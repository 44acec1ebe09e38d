"""Is published practice found again? `python benchmarks/practice.py` writes docs/published-practice.md.

For every published run of 64 devices and more: the throughput that is predicted for the layout that was really
used, over the best that is predicted of any layout on the same devices, model, batch, precision and stack.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from llmplan.answer.resolve import AnyPlan
from llmplan.answer.rows import Row, read_rows, row_plan
from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.errors import InputError
from llmplan.search.choices import Choice, Choices
from llmplan.search.goal import Goal
from llmplan.search.terms import Market
from llmplan.search.training import Search, search
from llmplan.setup.layout import Layout
from llmplan.training.estimate import TrainingEstimate, estimate

ROOT = Path(__file__).parents[1]
RUNS, PAGE = ROOT / "hardware_catalog" / "measurements" / "training.csv", ROOT / "docs" / "published-practice.md"
LEAST_DEVICES, NEAR, NEARER = 64, 0.9, 0.95
HEADER = """# Published practice

Made by `python benchmarks/practice.py` from `hardware_catalog/measurements/training.csv`; not written by hand.

**Does `fit` choose the layouts that experienced teams used?** For every published run on {least} or more devices, this
page compares two predictions: the throughput of the layout that was used, and that of the best layout whose whole
memory band fits (`fit --surely`), with the same devices, model, sequence, batch, precision and stack, among the
layouts that the stack can run (`layouts:` in its catalogue entry). If a publication measured several layouts of one
setup (same model, devices, precision and sequence), only the fastest counts.

{summary}

Ratio: predicted throughput of the layout used over the best predicted. Above 1: the search left out the layout that was
used, because the upper end of its memory band exceeds the limit.

## Where the two differ, and why

{reasons}

## Every setup

Runs on different numbers of devices share one line, with the range of their ratios; layouts are those of the
largest. `z` zero stage, `mb` micro-batch, `sp` sequence parallelism.

| stack | model | hardware | devices | ratio | used | best predicted |
|---|---|---|---|---|---|---|
{table}
"""
REASONS = {
    "recompute": "The run recomputed more than the prediction needs to fit. Runs keep a reserve of memory, recompute "
    "by default (the scripts of LLM Foundry, MaxText and BLOOM do), or were launched before selective recomputation.",
    "pipeline": "The run used another number of pipeline or virtual stages. Predicted stages are even and send beside "
    "work, so that more of them cost little; where they are not, runs stay at fewer. Sweeps of layouts (nanotron) hold "
    "setups of which no good layout was published.",
    "tensor": "The run used another degree of tensor or context parallelism.",
    "batch": "The run used another micro-batch or sharding on the same degrees.",
}


@dataclass(frozen=True)
class Case:
    """One setup: its fastest measured run, and what the search found."""

    row: Row
    used: TrainingEstimate
    best: TrainingEstimate
    same_recompute: TrainingEstimate | None

    @property
    def ratio(self) -> float:
        return self.best.step.value / self.used.step.value

    @property
    def ratio_same_recompute(self) -> float:
        return self.same_recompute.step.value / self.used.step.value if self.same_recompute else 1.0

    @property
    def group(self) -> tuple[str, str, str, str]:
        plan = self.used.plan
        return plan.stack.id, plan.model.name, plan.device.id, plan.workload.precision

    @property
    def reason(self) -> str:
        """What separates the layout used from the best, the weightiest first."""
        ours, theirs = self.best.plan.layout, self.used.plan.layout
        if self.ratio_same_recompute >= NEAR:
            return "recompute"
        if (ours.pp, ours.vp) != (theirs.pp, theirs.vp):
            return "pipeline"
        return "tensor" if (ours.tp, ours.cp, ours.ep) != (theirs.tp, theirs.cp, theirs.ep) else "batch"


def plans(catalog: Catalog) -> Iterator[tuple[Row, AnyPlan]]:
    """Runs of at least `LEAST_DEVICES` that can be planned, with a measured speed."""
    known = set(catalog.names("stacks"))
    for row in read_rows(RUNS):
        if float(row.cells["devices"] or 1) < LEAST_DEVICES or not {
            "step_seconds",
            "tokens_per_second_per_device",
        } & set(row.measured):
            continue
        stack = row.cells.get("stack") or "generic"
        try:
            yield row, row_plan(row, catalog, stack if stack in known else "generic")
        except InputError as error:
            print(f"{row.id} cannot be planned: {error}", file=sys.stderr)


def speed(row: Row, plan: AnyPlan) -> float:
    """Measured tokens a second and device [1/s]."""
    measured = row.measured
    if "tokens_per_second_per_device" in measured:
        return float(measured["tokens_per_second_per_device"])
    return plan.workload.global_batch * plan.workload.seq_len / float(measured["step_seconds"]) / plan.devices


def fastest(found: Iterable[tuple[Row, AnyPlan]]) -> list[tuple[Row, AnyPlan]]:
    """The fastest measured run of each setup."""
    best: dict[tuple[object, ...], tuple[Row, AnyPlan]] = {}
    for row, plan in found:
        work = plan.workload
        setup = (
            row.publication,
            plan.stack.id,
            plan.model,
            plan.device.id,
            plan.devices,
            work.precision,
            work.seq_len,
        )
        if setup not in best or speed(row, plan) > speed(*best[setup]):
            best[setup] = row, plan
    return list(best.values())


def best(base: AnyPlan, devices: int, choices: Choices, catalog: Catalog) -> TrainingEstimate | None:
    """The best layout whose whole memory band fits; where there is none, the best whose prediction fits."""
    for surely in (True, False):
        found = search(Search((base,), (devices,), choices, Goal(Market(catalog), surely=surely))).best
        if found:
            return found[0]
    return None


def compare(row: Row, plan: AnyPlan, catalog: Catalog) -> Case | None:
    base = replace(plan, layout=Layout())
    pinned = {"recompute": Choice((plan.layout.recompute,))}
    both = [best(base, plan.devices, choices, catalog) for choices in ({}, pinned)]
    if both[0] is None:
        print(f"{row.id}: nothing is predicted to fit", file=sys.stderr)
        return None
    return Case(row, estimate(plan), both[0], both[1])


def layout_text(layout: Layout) -> str:
    degrees = [
        f"{name} {getattr(layout, name)}" for name in ("tp", "pp", "vp", "cp", "ep", "dp") if getattr(layout, name) > 1
    ]
    rest = [f"z {layout.zero}", f"mb {layout.micro_batch}", *([layout.recompute] if layout.recompute != "none" else [])]
    return ", ".join([" ".join(degrees) or "one device", *rest, *(["sp"] if layout.sequence_parallel else [])])


def table(cases: list[Case]) -> Iterator[str]:
    for group, members in groupby(sorted(cases, key=lambda case: case.group), key=lambda case: case.group):
        each = sorted(members, key=lambda case: case.used.plan.devices)
        stack, model, hardware, precision = group
        ratios, devices = [case.ratio for case in each], [case.used.plan.devices for case in each]
        last = each[-1]
        yield (
            f"| {stack} | {model} {precision} | {hardware} | {_span(devices[0], devices[-1])} | "
            f"{_span(f'{min(ratios):.2f}', f'{max(ratios):.2f}')} | {layout_text(last.used.plan.layout)} | "
            f"{layout_text(last.best.plan.layout)} |"
        )


def _span(low: object, high: object) -> str:
    return str(low) if low == high else f"{low} to {high}"


def summary(cases: list[Case], everything: int) -> str:
    near, same = [case.ratio >= NEAR for case in cases], [case.ratio_same_recompute >= NEAR for case in cases]
    nearer, as_run = (
        sum(one >= NEARER for one in ratios) / len(cases)
        for ratios in ([case.ratio for case in cases], [case.ratio_same_recompute for case in cases])
    )
    groups = [list(members) for _, members in groupby(sorted(cases, key=lambda c: c.group), key=lambda c: c.group)]
    share = sum(sum(case.ratio >= NEAR for case in group) / len(group) for group in groups) / len(groups)
    return (
        f"Of {len(cases)} setups (from {everything} runs) the layout used is within 10 % of the best predicted "
        f"throughput in **{sum(near)} ({sum(near) / len(near):.0%})**, and in {sum(same)} "
        f"({sum(same) / len(same):.0%}) when recomputation is as it was in the run; {share:.0%} when each of the "
        f"{len(groups)} combinations of stack, model, hardware and precision has one vote. Within 5 % it is in "
        f"{nearer:.0%}, and {as_run:.0%} with the run's recomputation."
    )


def reasons(cases: list[Case]) -> Iterator[str]:
    far = [case for case in cases if case.ratio < NEAR]
    for reason, text in REASONS.items():
        mine = [case for case in far if case.reason == reason]
        if mine:
            stacks = ", ".join(sorted({f"{c.used.plan.stack.id}" for c in mine}))
            yield f"- {len(mine)} of {len(far)}: {text} ({stacks})"


def main() -> None:
    catalog = open_catalog()
    found = list(plans(catalog))
    cases = [case for row, plan in fastest(found) if (case := compare(row, plan, catalog)) is not None]
    page = HEADER.format(
        least=LEAST_DEVICES,
        summary=summary(cases, len(found)),
        reasons="\n".join(reasons(cases)),
        table="\n".join(table(cases)),
    )
    PAGE.write_text(page, encoding="utf-8")
    print(summary(cases, len(found)))


if __name__ == "__main__":
    main()
