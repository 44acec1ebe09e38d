"""Columns of the layouts that a search found: what each says of itself, and which say nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from llmplan.formatting import EXACT, count, duration, plain, step_time
from llmplan.report.search_text import (
    read_by,
    serves,
    time_text,
)
from llmplan.search.choices import is_open
from llmplan.serving.targets import TARGETS
from llmplan.si import GIB

if TYPE_CHECKING:
    from llmplan.search.answers import FitAnswer, Summary


SAME = "= as good within the error: its band overlaps the first's"
MARGINAL = "? marginal: the limit lies inside the memory's band"
_ONES = ("vp", "cp", "ep", "dcp")  # degrees whose column is left out where all are 1
TEXTS = ("hardware", "stack", "", "prec", "redo", "sp", "host", "weights", "cache", " ")
ABOUT = ("hardware", "stack")
"""Columns of what is compared where several devices or stacks were asked about."""
_UNITS = {
    "tokens_per_second": "tokens/s", "output_tokens_per_second": "tokens/s", "run_usd": "USD", "usd_per_hour": "USD/h",
    "usd_per_million_tokens": "USD/Mtok", "usd_per_million_output_tokens": "USD/Mtok", "devices": "devices",
}  # fmt: skip


def several(found: FitAnswer, option: str) -> bool:
    """Whether several devices, or stacks, were compared."""
    return option in found.inputs and is_open(option, found.inputs[option])


def columns_of(found: FitAnswer, one: Summary) -> dict[str, str]:
    """The cells of one result by column, short enough for a terminal of 80 columns."""
    inputs = one.inputs
    sized = found.max_devices is not None or len(found.devices or ()) > 1
    head = {option: str(inputs[option]) if several(found, option) else "" for option in ABOUT}
    head["devs"] = str(inputs["devices"]) if sized else ""
    memory = {"GiB": plain(one.peak_bytes.value / GIB) + ("?" if one.verdict == "marginal" else " ")}
    if serves(found):
        return head | _serving_columns(found, one) | memory
    return {
        **head,
        "prec": inputs["precision"] if several_of(found, "precision") else "",
        **{name: str(inputs[name]) for name in ("tp", "pp", "vp", "cp", "ep", "dp", "zero")},
        "mb": str(inputs["micro_batch"]),
        "redo": f"{inputs['recompute'][:4]} {inputs.get('recompute_layers', '')}".rstrip(),
        "sp": "yes" if inputs["sequence_parallel"] else "",
        "host": "yes" if inputs["offload_optimizer"] else "",
        "step": time_text(one.step_seconds),
        "tokens/s": count(one.tokens_per_second.value) if one.tokens_per_second else "",
        "MFU": f"{one.mfu:.1%}",
        **memory,
    }


def _serving_columns(found: FitAnswer, one: Summary) -> dict[str, str]:
    inputs, rate = one.inputs, one.output_tokens_per_second
    return {
        **{name: str(inputs.get(name, 1)) for name in ("tp", "pp", "cp", "ep", "dp", "dcp")},
        "read by": read_by(inputs),
        "batch": str(inputs.get("batch", "")),
        "weights": inputs["weight_precision"] if several_of(found, "weight_precision") else "",
        "cache": inputs["kv_precision"] if several_of(found, "kv_precision") else "",
        "TTFT": time_text(one.ttft_seconds),
        "TPOT": time_text(one.tpot_seconds),
        **dict(_limited_shares(one)),
        "out/s": count(rate.value) if rate else "",
        "most req/s": plain(one.capacity_requests_per_second or 0.0),
        "load": f"{one.utilization:.0%}" if "request_rate" in inputs else "",
    }


def _limited_shares(one: Summary) -> Iterator[tuple[str, str]]:
    """What so many of 100 requests stay within, where that is limited: `TTFT p95`."""
    for name, (figure, share) in TARGETS.items():
        if share is not None and name in one.inputs:
            within = getattr(getattr(one, f"{figure}_seconds"), f"p{share}", None)
            title = figure if figure == "request" else figure.upper()
            yield f"{title} p{share}", "" if within is None else step_time(within)


def several_of(found: FitAnswer, option: str) -> bool:
    """Whether several values of an option were compared."""
    return "," in str(found.inputs.get(option, ""))


def value_text(values: Mapping[str, float]) -> str:
    """An objective with its unit, for people."""
    ((key, value),) = values.items()
    if key == "headroom_bytes":
        return f"{plain(value / GIB)} GiB free"
    if key == "devices":
        return f"{plain(value, EXACT)} devices"
    return duration(value) if key.endswith("_seconds") else f"{plain(value)} {_UNITS.get(key, key)}"


def says_nothing(name: str, rows: Sequence[Mapping[str, str]]) -> bool:
    """Whether a column is empty, or a degree that is 1 everywhere."""
    return {row[name] for row in rows} <= ({"1"} if name in _ONES else {""})
