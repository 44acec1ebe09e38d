"""How an engine serves: the `serving` section of a stack, and one version of it as a plan has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from llmplan.schema import Spec
from llmplan.software.band import Band
from llmplan.units import Bytes
from llmplan.vocabulary import Count, Fraction, Load, StoragePrecision

CacheReads = Literal["shared", "shared_16_bit", "each"]
_FIRST_YEAR = 2000
"""From here on a version's first number is a year: no engine has come so far."""


class ServingPolicy(Spec):
    """How an engine uses memory and puts batches together."""

    memory_fraction: Fraction = 0.9
    memory_fraction_of: Literal["total", "static", "free"] = "total"
    """What the fraction is of. `total`: all that the engine takes, of the device's memory (vLLM's
    gpu_memory_utilization). `static`: weights and cache together, of the device's memory (SGLang's
    mem_fraction_static). `free`: the cache alone, of what weights and workspace leave (TensorRT-LLM's
    free_gpu_memory_fraction)."""
    graph_bytes: Bytes = 0.0
    """Captured graphs and their pools."""
    max_batch_tokens: Count = 8192
    """Tokens that one step may prefill."""
    max_sequences: Count = 256
    """Sequences that one replica works on at once."""
    block_tokens: Count = 16
    """Tokens of a block of paged cache."""
    window_cache: Literal["ignored", "full", "window"] = "window"
    """What layers with a sliding window do. `window`: they keep the tokens inside it; `full`: they keep all and
    attend to those inside it; `ignored`: they keep all and attend to all, as if the model had none."""
    reserve: Literal["whole", "mean"] = "mean"
    """Whether a sequence is let in when its whole length fits, or grows into what is free: then the
    mean length over its life counts."""
    cache_reads: CacheReads = "shared"
    """How often decoding attention reads a cached element that several query heads of a device share. `shared`: once
    for all of them; `shared_16_bit`: once, but a cache of 8 bits once for each; `each`: once for each, as
    kernels do that were made for one key and value head a query head."""
    shared_groups: tuple[Annotated[float, Field(ge=1)], ...] = ()
    """With `each`: numbers of query heads to a cached one for which there are kernels that read once, counted on one
    device after tensor parallelism."""
    mixed_steps: bool = True
    """Whether prefill shares a step with decoding (chunked prefill, in-flight batching)."""
    low_precision_kv: StoragePrecision | None = None
    """Precision of the cache where weights and activations have 8 bits or fewer and nothing is said."""


class ServingVariant(Spec):
    """One age of an engine: its numbers, what it was measured on."""

    version: str
    """As its makers write it; a plan's `stack_version` is compared with it number by number."""
    date: str
    """When it was current, YYYY-MM."""
    since: str | None = None
    """The first version that it stands for, where that is older than the one that was measured."""
    since_date: str | None = None
    """The same as a date, YYYY-MM."""
    also: tuple[str, ...] = ()
    """Other words for it in the record."""
    loads: tuple[Load, ...] = ()
    """Loads that it was measured under. Without a version the newest variant that was measured under the
    plan's load is taken."""
    policy: ServingPolicy | None = None
    """What differs from the engine's policy."""
    fitted: dict[str, float] = {}
    """Values of the numbers that `numbers.yaml` explains under `serving`; at most eight."""
    fitted_on: tuple[str, ...] = ()


class ServingDefaults(Spec):
    """The `serving` section of a stack."""

    policy: ServingPolicy = ServingPolicy()
    variants: Annotated[tuple[ServingVariant, ...], Field(min_length=1)]
    """Oldest first."""
    hardware: tuple[str, ...] = ()
    """Devices that the numbers were fitted on."""
    bands: dict[str, Band] = {}
    """By quantity: `ttft_seconds`, `tpot_seconds`, `output_tokens_per_second`, `request_seconds`, `kv_tokens`,
    `serving_bytes`; with `_unmeasured_hardware` behind it for other devices."""

    def variant(self, version: str | None, load: str) -> ServingVariant:
        """The variant for a version, else the newest measured under the load.

        A version that is not listed takes the newest variant that is not newer, of the same name (`MLPerf v5.0`
        takes `MLPerf v4.1`, `0.9` takes `0.8.0`); a year or a date is compared with the variants' dates.
        """
        if len(self.variants) == 1:
            return self.variants[0]
        if version:
            wanted = version.strip().lower()
            for one in self.variants:
                if wanted in (one.version.lower(), *(word.lower() for word in one.also)):
                    return one
            word, numbers = version_key(wanted)
            dated = not word and numbers >= (_FIRST_YEAR,)
            alike = [
                (version_key(_first(one, dated=dated))[1][: len(numbers) if dated else None], one)
                for one in self.variants
                if version_key(one.version)[0] == word  # a date never means an engine as tuned for a benchmark
            ]
            if numbers and any(key for key, _ in alike):
                older = [one for key, one in alike if key and key <= numbers]
                return older[-1] if older else next(one for key, one in alike if key)
        measured = [one for one in self.variants if load in one.loads]
        return (measured or self.variants)[-1]

    def engine(self, version: str | None, load: str) -> Engine:
        """The engine as of a version, else the newest measured under the load."""
        found = self.variant(version, load)
        return Engine(found.version, found.date, self.policy_of(found), found.fitted, self.bands, self.hardware)

    def policy_of(self, variant: ServingVariant) -> ServingPolicy:
        """The engine's policy with what the variant changes."""
        if variant.policy is None:
            return self.policy
        return self.policy.model_copy(update=variant.policy.model_dump(exclude_unset=True))


@dataclass(frozen=True, slots=True)
class Engine:
    """One version of a serving engine: its policy, fitted coefficients, bands, and the devices it was measured on."""

    version: str
    date: str
    policy: ServingPolicy
    fitted: Mapping[str, float]
    bands: Mapping[str, Band]
    hardware: tuple[str, ...]


def _first(variant: ServingVariant, *, dated: bool) -> str:
    """The first version or date that a variant stands for."""
    if dated:
        return variant.since_date or variant.date
    return variant.since or variant.version


def version_key(text: str) -> tuple[str, tuple[int, ...]]:
    """A version as its leading word and its numbers, for comparison.

    >>> version_key("0.14.0"), version_key("1.0.0rc3"), version_key("MLPerf v4.1")
    (('', (0, 14, 0)), ('', (1, 0, 0)), ('mlperf', (4, 1)))
    """
    match = re.match(r"([a-z-]*?)[ -]*v?(\d+(?:[.-]\d+)*)", text.strip().lower())
    if match is None:
        return text.strip().lower(), ()
    return match[1], tuple(int(part) for part in re.split(r"[.-]", match[2]))
