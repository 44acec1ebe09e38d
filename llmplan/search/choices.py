"""What a search may choose: for each dimension one value, a list, a range, or everything that is legal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from llmplan.digits import whole_number
from llmplan.errors import Fault, InputError, did_you_mean
from llmplan.records import dataclass
from llmplan.setup.options import FLAGS
from llmplan.setup.written import read_precision
from llmplan.vocabulary import Recompute, StoragePrecision, TrainingPrecision

STORED = get_args(StoragePrecision)
WORDS = {
    "recompute": get_args(Recompute), "precision": get_args(TrainingPrecision), "weight_precision": STORED,
    "activation_precision": STORED, "kv_precision": STORED,
}  # fmt: skip
SUBJECTS = ("hardware", "stack")
"""Options of a plan of which several values are so many questions, answered together."""
DIMENSIONS = (
    "devices", "tp", "pp", "vp", "cp", "ep", "dp", "zero", "micro_batch", "sequence_parallel", "recompute",
    "recompute_layers", "offload_optimizer", "precision",
)  # fmt: skip
"""Options of a training plan that a search may leave open."""
SERVING_DIMENSIONS = (
    "devices", "tp", "pp", "cp", "ep", "dp", "dcp", "batch", "weight_precision", "activation_precision",
    "kv_precision", "prefill_devices", "prefill_tp", "prefill_cp", "prefill_ep", "prefill_dp",
)  # fmt: skip
"""The same of a serving plan."""
COMPARED = (
    "model", "hardware", "cluster", "stack", "devices", "precision", "seq_len", "global_batch", "micro_batch", "tp",
    "pp", "vp", "cp", "ep", "zero", "recompute", "optimizer", "batch", "weight_precision", "kv_precision",
)  # fmt: skip
"""Options that take several values in a comparison, each an alternative."""
MOST = {"zero": 3, "micro_batch": 10**9}
MOST_DEGREE = 1_000_000
_RANGE = re.compile(r"\s*(\d*)\s*\.\.\s*(\d*)\s*\Z")


@dataclass(frozen=True, slots=True)
class Choice:
    """Values that a dimension may take.

    values: exactly these, sorted, legal or not; None = whatever is legal between low and high.
    """

    values: tuple[Any, ...] | None = None
    low: int = 0
    high: int = 10**9

    @property
    def pinned(self) -> bool:
        """Whether there is nothing to choose."""
        return self.values is not None and len(self.values) == 1

    def among(self, candidates: Iterable[Any]) -> tuple[Any, ...]:
        """The listed values, or those of the candidates that lie in the range."""
        if self.values is not None:
            return self.values
        return tuple(value for value in candidates if self.low <= value <= self.high)


def is_open(name: str, value: Any) -> bool:
    """Whether an option is a search's to choose: a dimension, or a subject of which there are several.

    >>> is_open("tp", 8), is_open("hardware", "h100"), is_open("hardware", "h100,h200")
    (True, False, True)
    """
    if name in SUBJECTS:
        return isinstance(value, (list, tuple)) or "," in str(value)
    return name in DIMENSIONS or name in SERVING_DIMENSIONS


def names_of(option: str, value: Any) -> tuple[str, ...]:
    """The values of a list of subjects, each once, in the order given.

    >>> names_of("hardware", "h100, h200,h100")
    ('h100', 'h200')
    """
    text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise InputError(f"{_option(option)}: expected a name, or several with commas, got {text[:60]!r}")
    return names


OPEN = Choice()
Choices = Mapping[str, Choice]


def choices(given: Mapping[str, Any]) -> dict[str, Choice]:
    """A choice for each dimension that is given, from text (`4,8`, `1..16`) or plain values; raises all faults."""
    faults: list[Fault] = []
    found: dict[str, Choice] = {}
    for name, value in given.items():
        try:
            found[name] = choice(name, value)
        except InputError as error:
            faults += error.faults
    if "recompute_layers" in found and found.get("recompute", OPEN).values not in (None, ("full",)):
        faults.append(Fault("--recompute-layers goes with --recompute full alone"))
    if faults:
        raise InputError(faults)
    return found


def choice(name: str, value: Any) -> Choice:
    """One dimension's choice.

    >>> choice("tp", "8,4").values, choice("pp", "1..16").high
    ((4, 8), 16)
    """
    if name in FLAGS:
        return Choice((bool(value),))
    if isinstance(value, str):
        return _words(name, value) if name in WORDS else _numbers(name, value)
    return Choice(tuple(value) if isinstance(value, (list, tuple)) else (value,))


def _words(name: str, text: str) -> Choice:
    known = WORDS[name]
    parts = [str(read_precision(part.strip())) for part in text.split(",")]
    for part in parts:
        if part not in known:
            raise InputError(
                f"{_option(name)}: {part[:40]!r} is none of {', '.join(known)}{did_you_mean(part[:40], known)}"
            )
    return Choice(tuple(word for word in known if word in parts))


def _numbers(name: str, text: str) -> Choice:
    between = _RANGE.match(text)
    if between and (between[1] or between[2]):
        low, high = (_number(name, part, text) if part else None for part in between.groups())
        found = Choice(low=low or 0, high=MOST.get(name, MOST_DEGREE) if high is None else high)
        if found.low > found.high:
            raise InputError(f"{_option(name)}: {text!r} is an empty range")
        return Choice(tuple(range(found.low, found.high + 1))) if name == "zero" else found
    return Choice(tuple(sorted({_number(name, part, text) for part in text.split(",")})))


def _number(name: str, part: str, text: str) -> int:
    least, most = 0 if name == "zero" else 1, MOST.get(name, MOST_DEGREE)
    number = whole_number(part.strip(), most)
    if number is None or number < least:
        raise InputError(
            f"{_option(name)}: expected a number from {least} to {most}, a list (4,8) or a range (1..16), "
            f"got {text[:60]!r}"
        )
    return number


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
