"""Answers of `fit` about deployments: for people, as plain data and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from llmplan.formatting import binary, count, duration, plain, step_time
from llmplan.report.json import estimate_json
from llmplan.report.search import GIB, print_rows, printed, searched
from llmplan.report.search_json import FIT, counts_json
from llmplan.search.serving import LOAD, PLACES, as_good_serving, serving_value
from llmplan.search.space import REASONS
from llmplan.search.training import MEMORY
from llmplan.serving.plan import DEGREES
from llmplan.version import __version__

if TYPE_CHECKING:
    from llmplan.search.advice import Change
    from llmplan.search.request import Ask
    from llmplan.search.serving import ServingFound, ServingSearch
    from llmplan.serving.estimate import ServingEstimate

_REASONS = {MEMORY: "they need more memory than a device has", LOAD: "they do not keep up with the request rate",
            PLACES: "they have fewer places than requests in flight"}  # fmt: skip
_UNITS = {"output_tokens_per_second": "tokens/s", "usd_per_hour": "USD/h", "usd_per_million_output_tokens": "USD/Mtok"}


def print_deployments(asked: ServingSearch, found: ServingFound, told: Sequence[str]) -> None:
    """Subject, the best deployments, the front, what was searched and what was assumed, on stdout."""
    with printed() as console:
        console.print(_subject(asked))
        console.print()
        rows = [_ranked(asked, found.best, rank) for rank in range(len(found.best))]
        print_rows(console, rows)
        if len(rows) > 1:
            console.print(Text("= as good within the error: its band overlaps the first's", style="dim"))
        if asked.pareto is not None:
            console.print()
            console.print(Text(f"Pareto front of {' and '.join(asked.pareto)} ({len(found.pareto)})", style="bold"))
            print_rows(console, [_on_front(asked, one) for one in found.pareto])
        console.print()
        console.print(Text(searched(found.counts, "deployments")))
        console.print()
        console.print(Text("Assumed", style="bold"))
        for sentence in told:
            console.print(Text(f"  - {sentence}"))


def _subject(asked: ServingSearch) -> Text:
    base = asked.bases[0]
    work = base.workload
    many = f"up to {asked.most}" if asked.most else ", ".join(map(str, asked.devices))
    load = f"{work.request_rate:g} requests/s" if work.request_rate is not None else f"{work.load} load"
    targets = [
        f"{name} at most {duration(most)}" for name, most in (("TTFT", work.max_ttft), ("TPOT", work.max_tpot)) if most
    ]
    return Text.assemble(
        (base.model.name, "bold"), f" ({count(base.model.parameters)}) on {many} x ", (base.device.id, "bold"),
        f" in {base.cluster.id}, {base.stack.id} stack; {load} of {work.input_tokens:g} tokens in and "
        f"{work.output_tokens:g} out{''.join(f', {target}' for target in targets)}; ",
        (f"best {asked.objective}", "bold"),
    )  # fmt: skip


def _ranked(asked: ServingSearch, found: Sequence[ServingEstimate], rank: int) -> dict[str, str]:
    one = found[rank]
    row = {
        "": str(rank + 1),
        " ": "=" if rank and as_good_serving(asked, found[0], one) else "",
        **_columns(asked, one),
    }
    if asked.objective == "cost":
        row["cost"] = value_text(serving_value(asked, "cost", one))
    return row


def _on_front(asked: ServingSearch, one: ServingEstimate) -> dict[str, str]:
    values = {f"by {name}": value_text(serving_value(asked, name, one)) for name in asked.pareto or ()}
    return values | _columns(asked, one)


def _columns(asked: ServingSearch, one: ServingEstimate) -> dict[str, str]:
    """What a table says of one deployment, by column."""
    layout, work = one.plan.layout, one.plan.workload
    several = len(asked.bases) > 1
    return {
        "devs": str(one.plan.devices),
        **{name: str(getattr(layout, name)) for name in ("tp", "pp", "ep", "dp")},
        "batch": str(work.batch) if work.batch is not None else "",
        "weights": work.weight_precision if several else "",
        "cache": work.kv_precision if several else "",
        "TTFT": step_time(one.ttft.value),
        "TPOT": step_time(one.tpot.value) if one.tpot else "",
        "out/s": count(one.output_tokens_per_second.value) if one.output_tokens_per_second else "",
        "most req/s": plain(one.capacity),
        "load": f"{one.load:.0%}" if work.request_rate is not None else "",
        "GiB": plain(one.needed.value / GIB) + ("?" if one.verdict == "marginal" else " "),
    }


def value_text(values: dict[str, float]) -> str:
    """An objective with its unit, for people."""
    ((key, value),) = values.items()
    if key == "headroom_bytes":
        return f"{plain(value / GIB)} GiB free"
    return duration(value) if key.endswith("_seconds") else f"{plain(value)} {_UNITS.get(key, key)}"


def nothing_served(asked: ServingSearch, found: ServingFound, changes: Sequence[Change]) -> Iterator[str]:
    """That nothing was found, why, what misses by least, and what would do."""
    many = f"up to {asked.most}" if asked.most else ", ".join(map(str, asked.devices))
    base, counts = asked.bases[0], found.counts
    yield f"no deployment of {base.model.name} on {many} x {base.device.id} does it; {searched(counts, 'deployments')}"
    for reason, number in counts.removed.most_common():
        if number:
            text = {**REASONS, **_REASONS}.get(reason) or f"they miss --{reason.replace('_', '-')}"
            yield f"  {number} of {counts.considered}: {text}"
    if found.misses:
        yield "nearest misses:"
        for one in found.misses:
            yield f"  {deployment_text(one)}: {_why(one)}"
    yield "what would do:" if changes else "nothing that was tried would do"
    for change in changes:
        yield f"  {change.sentence}: {deployment_text(change.best)}"


def deployment_text(one: Any) -> str:
    """`8 devices, tp 4 dp 2, TTFT 210 ms, TPOT 31 ms, at most 12 requests/s`."""
    layout = one.plan.layout
    degrees = " ".join(
        f"{name} {getattr(layout, name)}" for name in DEGREES if getattr(layout, name) > 1 or name == "tp"
    )
    tpot = f", TPOT {step_time(one.tpot.value)}" if one.tpot else ""
    most = f"at most {plain(one.capacity)} requests/s"
    return f"{one.plan.devices} devices, {degrees}, TTFT {step_time(one.ttft.value)}{tpot}, {most}"


def _why(one: ServingEstimate) -> str:
    if not one.fits:
        return f"{binary(one.needed.value, 3)} needed of {binary(one.usable_bytes, 3)}"
    if not one.stable:
        return "does not keep up with the request rate"
    missed = [f"{name} {step_time(value)} of {step_time(limit)}" for name, value, limit in one.missed]
    return f"misses {', '.join(missed)}" if missed else "misses a limit"


def deployments_json(
    ask: Ask, asked: ServingSearch, found: ServingFound, told: Sequence[str], changes: Sequence[Change]
) -> dict[str, Any]:
    """One search as `llmplan.fit/1`; `results` are estimates, best first."""
    limits = {"min_output_tokens_per_second": asked.least_rate, "max_cost_per_million": asked.most_cost}
    work = asked.bases[0].workload
    limits |= {"max_ttft": work.max_ttft, "max_tpot": work.max_tpot}
    answer: dict[str, Any] = {
        "schema": FIT, "llmplan_version": __version__, "inputs": ask.words(), "objective": asked.objective,
        "limits": {name: value for name, value in limits.items() if value is not None},
        "assumptions": list(told), "search": counts_json(found.counts), "results": deployment_results(asked, found),
    }  # fmt: skip
    if found.best and found.sure is not None and found.best[0].verdict != "fits":
        answer["surely_fits"] = estimate_json(found.sure)
    if asked.pareto is not None:
        front = [{"objectives": _values(asked, one), **_summary(one)} for one in found.pareto]
        answer["pareto"] = {"objectives": list(asked.pareto), "results": front}
    if not found.best:
        answer["nearest_misses"] = [_summary(one) for one in found.misses]
        answer["changes"] = [{"change": change.sentence, **_summary(change.best)} for change in changes]
    return answer


def deployment_results(asked: ServingSearch, found: ServingFound) -> list[dict[str, Any]]:
    """Estimates with their rank, the objective, and whether the winner's band reaches them."""
    return [
        {
            "rank": rank,
            "as_good_within_error": as_good_serving(asked, found.best[0], one),
            "objective": serving_value(asked, asked.objective, one),
            **estimate_json(one),
        }
        for rank, one in enumerate(found.best, 1)
    ]


def _values(asked: ServingSearch, one: ServingEstimate) -> dict[str, float]:
    return {key: value for name in asked.pareto or () for key, value in serving_value(asked, name, one).items()}


def _summary(one: Any) -> dict[str, Any]:
    found = {
        "inputs": one.plan.words(),
        "verdict": one.verdict,
        "peak_bytes": one.needed.value,
        "usable_bytes": one.usable_bytes,
    }
    found |= {
        "ttft_seconds": one.ttft.value,
        "requests_per_second": one.requests_per_second.value,
        "capacity_requests_per_second": one.capacity,
    }
    return found | ({"tpot_seconds": one.tpot.value} if one.tpot else {})


def deployments_csv(asked: ServingSearch, found: ServingFound) -> str:
    """The results as CSV, a header and a line each; columns of the plan are words of the vocabulary."""
    rows = []
    for rank, one in enumerate(found.best, 1):
        said = one.plan.words()
        plan = {name: said.get(name) for name in ("hardware", "devices", *DEGREES, "load", "batch", "request_rate")}
        plan |= {name: said.get(name) for name in ("input_tokens", "output_tokens", "weight_precision", "kv_precision")}
        good = str(as_good_serving(asked, found.best[0], one)).lower()
        value = serving_value(asked, asked.objective, one)
        rows.append({"rank": rank, **plan, **_summary(one), "as_good_within_error": good, **value})
        del rows[-1]["inputs"]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else ["rank"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
