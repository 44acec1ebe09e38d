"""Numbers and words as people write them: `15T`, `8k`, `1.5B`, `train`; what could be meant in two ways is noted.

k, M, B (or G) and T are thousands, millions, billions and trillions. In the length of a sequence they are powers of
1024: contexts and benchmarks have 8192 or 131072 tokens where people say 8k or 128k.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmplan.digits import whole_number
from llmplan.rules import ReadBy

LENGTHS = ("seq_len", "target_len", "input_tokens", "output_tokens")
"""Words that are the length of a sequence."""
WORKLOADS = {
    "pretraining": "pretrain", "pre-train": "pretrain", "pre-training": "pretrain", "train": "pretrain",
    "training": "pretrain", "finetuning": "finetune", "fine-tune": "finetune", "fine-tuning": "finetune",
    "full-finetune": "finetune", "sft": "finetune", "serving": "serve", "inference": "serve", "infer": "serve",
    "generate": "serve", "inferencing": "serve", "deploy": "serve", "peft": "lora",
}  # fmt: skip
"""Other words for what is run."""
PRECISIONS = {
    "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32", "float": "fp32", "fp8-e4m3": "fp8",
    "fp8-e5m2": "fp8", "fp8-e4m3fn": "fp8", "float8-e4m3fn": "fp8", "e4m3": "fp8", "awq": "int4", "gptq": "int4",
    "w4a16": "int4",
}  # fmt: skip
"""What PyTorch and the engines call precisions; AWQ and GPTQ keep weights in 4 bits, whatever is computed with."""
_TWO_WAYS = {"train": "pretrain", "training": "pretrain"}  # fine-tuning trains too
_STEPS = {"k": 1, "m": 2, "b": 3, "g": 3, "t": 4}
_SCALED = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([kmbgt]?)\s*\Z", re.IGNORECASE)
_LENGTH = re.compile(r"\s*\d[\d_.]*\s*[kmKM]\s*\Z")
THOUSAND, BINARY_THOUSAND = 1000.0, 1024.0


def read_amount(value: Any, thousand: float = THOUSAND) -> Any:
    """Text such as `15T` as a number; anything else, and what is no number, as it is for others to refuse.

    >>> read_amount("1.5B"), read_amount("8k", BINARY_THOUSAND), read_amount("2e12"), read_amount("many")
    (1500000000, 8192, 2000000000000, 'many')
    """
    if not isinstance(value, str) or value.strip().isdigit():  # digits alone are read to the last one
        return value
    match = _SCALED.match(value)
    if match is None:
        return value
    number = float(match[1].replace("_", "")) * thousand ** _STEPS.get(match[2].lower(), 0)
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


_EXACT = 2.0**53  # whole numbers above are not all floats


def read_length(value: Any) -> Any:
    """The same for the length of a sequence, in which a k is 1024."""
    return read_amount(value, BINARY_THOUSAND)


def read_workload(value: Any) -> Any:
    """`inference` as `serve`; a word that is not known as it is; a ValueError says of which words `qlora` is made."""
    word = value.strip().lower().replace("_", "-").replace(" ", "-") if isinstance(value, str) else value
    if word == "qlora":
        raise ValueError("qlora is lora on a base in 4 bits: say lora, with quantized_base nf4 (--quantized-base nf4)")
    return WORKLOADS.get(word, word) if isinstance(word, str) else word


def read_precision(value: Any) -> Any:
    """`bfloat16` as `bf16`; a word that is not known as it is.

    >>> read_precision("fp8_e4m3"), read_precision("AWQ"), read_precision("fp7")
    ('fp8', 'int4', 'fp7')
    """
    word = value.strip().lower().replace("_", "-").removeprefix("torch.") if isinstance(value, str) else value
    return PRECISIONS.get(word, value) if isinstance(word, str) else value


def read_duration(value: Any) -> Any:
    """A time a token, where a whole number without a unit is refused: `30` is meant in milliseconds as often as not."""
    text = str(value).strip()
    if not isinstance(value, (bool, float)) and text.replace(".", "", 1).isdigit() and float(text) >= 1:
        raise ValueError(f"{text} s? say {text}s or {text}ms")
    return value


def read_image_size(value: Any) -> Any:
    """`1024` or `1280x720` as width x height in pixels; a ValueError says what else it should be.

    >>> read_image_size("1024"), read_image_size("1280 x 720")
    ('1024x1024', '1280x720')
    """
    sides = [whole_number(side.strip(), _LONGEST) for side in str(value).lower().replace("*", "x").split("x")]
    if len(sides) > 2 or not all(sides):
        raise ValueError(
            f"{str(value)[:40]!r} is no size of an image: pixels of a side (1024), or WIDTHxHEIGHT (1280x720)"
        )
    return f"{sides[0]}x{sides[-1]}"


_LONGEST = 100_000  # pixels of a side: more was mistyped


def amount(kind: Any) -> ReadBy:
    """Reads amounts before a number of that kind is checked."""
    return ReadBy(read_amount, kind | str)


def length(kind: Any) -> ReadBy:
    """Reads lengths before a number of that kind is checked."""
    return ReadBy(read_length, kind | str)


def notes(given: Mapping[str, Any]) -> tuple[str, ...]:
    """How ambiguous values were understood."""
    found = []
    workload = given.get("workload")
    if isinstance(workload, str) and workload.strip().lower() in _TWO_WAYS:
        found.append(
            f"workload pretrain: what {workload.strip()} is read as; finetune and lora train less or otherwise"
        )
    for name in LENGTHS:
        text = given.get(name)
        if isinstance(text, str) and _LENGTH.match(text):
            found.append(f"{name} {read_length(text)}: {text.strip()}, with 1024 tokens a k as lengths have")
    return tuple(found)
