"""Predictions against measurements: of each row, and the errors of all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from llmplan.answer.impossible import impossible
from llmplan.answer.limits import LimitAnswer
from llmplan.answer.many import decided, estimates, opened
from llmplan.answer.rows import Row, row_request
from llmplan.answer.scores import Result, Score, score
from llmplan.answer.shown import Shown
from llmplan.catalog.inheritance import generic_of
from llmplan.catalog.model_columns import model_from_columns
from llmplan.errors import InputError
from llmplan.records import dataclass
from llmplan.si import GIB
from llmplan.software.band import Interval, Verdict
from llmplan.training.estimate import TrainingEstimate
from llmplan.version import __version__

if TYPE_CHECKING:
    from llmplan.answer.answer import Estimate
    from llmplan.answer.resolve import AnyPlan
    from llmplan.catalog.catalog import Catalog
    from llmplan.serving.estimate import ServingEstimate
    from llmplan.training.resolve import OpenTraining

IMPOSSIBLE = "no run can be as measured"
MEMORY_BANDS = {"allocated": "allocated_bytes", "nvidia-smi": "peak_bytes", "unknown": "peak_bytes"}
"""How a source measured memory -> what that is called here; what the framework reserved otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowAnswer:
    """One measured run beside its prediction; quantities have the names of the measured columns."""

    id: str
    line: int
    """Of the file."""
    predicted: dict[str, Interval | bool]
    measured: dict[str, float | bool]
    verdict: Verdict | None = None
    """`marginal` where the limit of memory lies inside the band: there `fits` is either way a guess."""
    skipped: str | None = None
    """Why it could not be planned."""
    remarks: tuple[str, ...] | None = None
    """What was assumed that the row does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationSummary:
    """Scores by quantity: over all rows, and by stack and hardware."""

    rows: int
    skipped: int
    all: dict[str, Score]
    by_stack: dict[str, dict[str, Score]]
    by_hardware: dict[str, dict[str, Score]]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Validation(Shown):
    """Measured runs, their predictions, and the errors."""

    schema: Literal["llmplan.validation/2"] = "llmplan.validation/2"
    llmplan_version: str = __version__
    rows: tuple[RowAnswer, ...]
    summary: ValidationSummary
    limits: dict[str, LimitAnswer] | None = None
    """Limits that were asked for, by quantity and name."""

    def headline(self) -> str:
        """How many rows, and the median error of each quantity."""
        errors = ", ".join(f"{name} {one.median:.1%}" for name, one in self.summary.all.items())
        return f"{self.summary.rows} runs, {self.summary.skipped} skipped; median error {errors or 'unknown'}"


def validation(results: Sequence[Result]) -> Validation:
    """The whole validation: every row, and scores by quantity, stack and hardware."""
    return Validation(
        rows=tuple(_row(result) for result in results),
        summary=ValidationSummary(
            rows=len(results), skipped=sum(result.skipped is not None for result in results), all=_scores(results),
            by_stack=_scores_by(results, "stack"), by_hardware=_scores_by(results, "hardware"),
        ),
    )  # fmt: skip


def _row(result: Result) -> RowAnswer:
    fits: dict[str, Interval | bool] = {} if result.fits is None else {"fits": result.fits}
    try:
        measured = result.row.measured
    except ValueError:
        measured = {}
    return RowAnswer(
        id=result.row.id, line=result.row.line, predicted={**result.predicted, **fits}, measured=measured,
        skipped=result.skipped, remarks=result.remarks or None, verdict=result.verdict,
    )  # fmt: skip


def _scores(results: Sequence[Result]) -> dict[str, Score]:
    quantities = dict.fromkeys(name for result in results for name in result.predicted)
    found = {name: score(results, name) for name in quantities}
    return {name: one for name, one in found.items() if one is not None}


def _scores_by(results: Sequence[Result], column: str) -> dict[str, dict[str, Score]]:
    parts: dict[str, list[Result]] = {}
    for result in results:
        parts.setdefault(result.row.cells.get(column) or "-", []).append(result)
    return {name: _scores(part) for name, part in sorted(parts.items())}


def validate(rows: Iterable[Row], catalog: Catalog, stack: str = "") -> list[Result]:
    """A result for every row, in their order; a row that cannot be planned says why.

    stack: what all rows are planned with, instead of the stack that each names.
    """
    read = [_opened(row, catalog, stack) for row in rows]
    plans = list(decided((one.asked for one in read), said=False))
    return list(map(_result, read, plans, estimates(plans)))


@dataclass(frozen=True, slots=True)
class _Planned:
    """A row with what it asks for, or why that is nothing, and remarks on it."""

    row: Row
    asked: OpenTraining | AnyPlan | InputError
    remarks: tuple[str, ...] = ()


def _opened(row: Row, catalog: Catalog, under: str) -> _Planned:
    """What a row asks for, or the reason why there is no plan."""
    try:
        stack, remarks = (catalog.stack(under).id, ()) if under else _stack(row, catalog)
        asked = row_request(row, stack, catalog)
        return _Planned(row, opened(asked, catalog, model_from_columns(row.cells, catalog)), remarks)
    except InputError as error:
        return _Planned(row, error)
    except ValueError as error:
        return _Planned(row, InputError(f"line {row.line}: {error}"))


def _result(one: _Planned, plan: AnyPlan | InputError, found: Estimate | InputError) -> Result:
    row, remarks = one.row, one.remarks
    if isinstance(plan, InputError) or isinstance(found, InputError):
        error = plan if isinstance(plan, InputError) else found
        assert isinstance(error, InputError)
        return Result(row, skipped="; ".join(str(fault) for fault in error.faults))
    flops = found.model_flops * found.hfu / found.mfu if isinstance(found, TrainingEstimate) else None
    try:
        if why := impossible(plan, row.measured, flops):
            remarks = (*remarks, f"{IMPOSSIBLE}: {why}")
    except ValueError as error:
        return Result(row, skipped=f"line {row.line}: {error}")
    if not isinstance(found, TrainingEstimate):
        return Result(row, serving_quantities(found), found.fits, None, remarks, found.verdict)
    quantities = training_quantities(found, row.cells.get("memory_kind", ""))
    return Result(row, quantities, found.fits, None, remarks, found.verdict)


def _stack(row: Row, catalog: Catalog) -> tuple[str, tuple[str, ...]]:
    """The catalogue's id of the row's stack, or the generic one with a remark."""
    named, in_place = row.cells.get("stack", ""), generic_of(row.cells["workload"])
    if not named:
        return in_place, ("no stack is named: planned as generic",)
    try:
        stack = catalog.stack(named)
    except InputError:
        return in_place, (f"stack {named!r} is not in the catalogue: planned as generic",)
    serves = row.cells["workload"] == "serve"
    if (stack.policy if serves else stack.training) is None:
        verb = "serve" if serves else "train"
        return in_place, (f"stack {named!r} does not {verb}: planned as generic",)
    return stack.id, ()


def serving_quantities(answer: ServingEstimate) -> dict[str, Interval]:
    """Predicted quantities of a deployment under the names of the measured columns."""
    found = {
        "ttft_seconds": answer.ttft, "tpot_seconds": answer.tpot, "request_seconds": answer.request,
        "output_tokens_per_second": answer.output_tokens_per_second, "kv_tokens": answer.kv_tokens,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def training_quantities(answer: TrainingEstimate, memory_kind: str) -> dict[str, Interval]:
    """Predicted quantities under the names of the measured columns.

    memory_kind: how the source measured memory. PyTorch's `allocated` and `reserved` do not see the process's
    context; `nvidia-smi` does; where it is `unknown` or empty, what the framework reserved is compared.
    """
    devices = answer.plan.devices
    rate = answer.tokens_per_second
    band = MEMORY_BANDS.get(memory_kind, "reserved_bytes")
    memory = answer.plan.interval(band, float(getattr(answer.memory, band)) / GIB)
    return {
        "step_seconds": answer.step,
        "tokens_per_second_per_device": Interval(rate.value / devices, rate.low / devices, rate.high / devices),
        "peak_memory_gib": memory,
    }
