"""Attention of prompts and of decoding as the planner predicts it, against measured kernels."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from llmplan.calibration import microbenchmarks
from llmplan.calibration.cases import Array, Case, Range, alone
from llmplan.catalog.catalog import open_catalog
from llmplan.formulas.attention import attention_flops
from llmplan.machine.hardware import Device
from llmplan.machine.kernels import wide_peak
from llmplan.machine.precision import ELEMENT_BYTES
from llmplan.model.layer import Core
from llmplan.records import dataclass
from llmplan.software.coefficients import NEUTRAL
from llmplan.work.attention import mixing_forward
from llmplan.work.flow import Flow
from llmplan.work.kernels import Precisions, Software, kernels_of

LENGTHS = {"512 tokens and less": (0, 512), "1024 to 2048": (1024, 2048), "4096 and more": (4096, 1e9)}
CACHES = {"to 5 MB": (0, 5e6), "5 to 100 MB": (5e6, 1e8), "above 100 MB": (1e8, 1e13)}
"""Cache that all sequences together read."""
_WARM_FROM, _WARM_TO = 0.2, 1.2  # of the chip's cache
_FEW_HEADS, _DIVIDED_BADLY = 4, "h200-sxm-141gb"
_UNREADABLE = 0.01  # share of rows above the peak from which a file does not mean what its columns say
_OVER_BEST = 1.1  # of the fastest measured kernel: the ramp takes the rest
_LEAST_LAUNCH = 3.0  # of any kernel [us]


@dataclass(frozen=True)
class TimedRows:
    """Measured kernels: sequences, tokens of each, heads, cached heads, width of a head [1], time [s]."""

    batch: Array
    tokens: Array
    heads: Array
    kv_heads: Array
    width: Array
    seconds: Array

    def only(self, mask: Any) -> TimedRows:
        """Some of the rows."""
        return TimedRows(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))


def cases(folder: Path = microbenchmarks.FOLDER) -> list[Case]:
    """Prefill in 16 bits, decoding by precision of the cache, of each device."""
    found = []
    for (hardware, cache), data in sorted(microbenchmarks.attention("context_attention", folder).items()):
        case = _prefill(alone(open_catalog().device(hardware)), cache, TimedRows(*data))
        found += [case] if case else []
    return found + [
        _decode(alone(open_catalog().device(hardware)), cache, TimedRows(*data))
        for (hardware, cache), data in sorted(microbenchmarks.attention("generation_attention", folder).items())
    ]


def _prefill(device: Device, cache: str, rows: TimedRows) -> Case | None:
    flops = attention_flops(rows.batch * rows.tokens, rows.tokens / 2.0, rows.heads, rows.width, rows.width)
    share = flops / rows.seconds / wide_peak(device)
    if np.mean(share > 1.0) > _UNREADABLE:
        return None
    classes = {name: (rows.tokens >= low) & (rows.tokens <= high) for name, (low, high) in LENGTHS.items()}
    free = {
        "peak_fraction": Range(0.6, 0.05, _OVER_BEST * float(share.max())), "ramp": Range(200.0, 0.0, 2000.0),
        "tail": Range(0.5, 0.0, 6.0), "memory_fraction": Range(0.6, 0.05, 1.0),
        "launch": Range(6.0, _LEAST_LAUNCH, 60.0),
    }  # fmt: skip
    return Case(
        "prefill attention", f"{cache} cache", device, rows.seconds, _predict(rows, cache, decoding=False), classes,
        {("attention", cache, name): one for name, one in free.items()},
    )  # fmt: skip


def _decode(device: Device, cache: str, rows: TimedRows) -> Case:
    read = 2.0 * rows.batch * rows.tokens * rows.kv_heads * rows.width * ELEMENT_BYTES[cache]
    on_chip = device.cache or 0.0
    kept, dropped = (read <= _WARM_FROM * on_chip) | (read >= _WARM_TO * on_chip), []
    dropped.append(f"{np.sum(~kept)} rows whose cache stays on the chip from one repetition to the next")
    if device.id == _DIVIDED_BADLY:
        few = kept & (rows.kv_heads < _FEW_HEADS)
        kept &= ~few
        dropped.append(f"{np.sum(few)} rows of one or two cached heads, up to 3 times slower than the same on H100")
    rows, read = rows.only(kept), read[kept]
    classes = {name: (read >= low) & (read < high) for name, (low, high) in CACHES.items()}
    free = {"memory_fraction": Range(0.8, 0.1, 1.0), "latency": Range(8.0, 1.0, 50.0)}
    return Case(
        "decode attention", f"{cache} cache", device, rows.seconds, _predict(rows, cache, decoding=True), classes,
        {("decode_attention", cache, name): one for name, one in free.items()}, dropped=tuple(dropped),
    )  # fmt: skip


def _predict(rows: TimedRows, cache: str, *, decoding: bool) -> Any:
    """The planner's seconds: one layer of every width and number of heads that occurs."""
    shapes = np.unique(np.array([rows.heads, rows.kv_heads, rows.width]), axis=1).T
    whole = SimpleNamespace(tp=1.0, cp=1.0)
    work = []
    for heads, kv_heads, width in shapes:
        same = (rows.heads == heads) & (rows.kv_heads == kv_heads) & (rows.width == width)
        core = Core(
            "softmax", int(heads), int(kv_heads), int(width), int(width), cache_elements=2.0 * kv_heads * width,
            cache_heads=int(kv_heads),
        )  # fmt: skip
        batch, tokens = rows.batch[same], rows.tokens[same]
        flow = Flow(0.0, 0.0, batch, tokens) if decoding else Flow(batch * tokens, tokens)
        work.append((same, core, flow))

    def seconds(device: Device) -> Array:
        kernels = kernels_of(device, Precisions("bf16", "bf16", "bf16", cache), Software(engine=True), NEUTRAL)
        found = np.empty_like(rows.seconds)
        for same, core, flow in work:
            found[same] = mixing_forward(core, flow, whole, kernels)
        return found

    return seconds
