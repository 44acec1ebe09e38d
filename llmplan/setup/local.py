"""What accelerators this machine has, as its drivers or its operating system tell: `--hardware local`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from llmplan.errors import InputError
from llmplan.records import dataclass
from llmplan.si import MIB

SECONDS = 20  # a driver that takes longer hangs
CPU_FACTS = Path("/proc/cpuinfo")
_SERIES = ("card series", "card model", "product name", "market_name")


@dataclass(frozen=True, slots=True)
class Here:
    """What was found.

    name: of one device, as its driver prints it; count: of such devices [1]; memory: of one, where it says so [bytes];
    by: the program that said so.
    """

    name: str
    count: int
    memory: float | None
    by: str

    def __str__(self) -> str:
        """`8 x NVIDIA H200 (nvidia-smi)`."""
        return f"{self.count} x {self.name} ({self.by})"


@lru_cache(maxsize=1)
def here() -> Here:
    """The accelerators of this machine, else its processors; an InputError where nothing tells."""
    for ask in (_nvidia, _amd, _apple, _processors):
        found = ask()
        if found is not None:
            return found
    raise InputError(
        "--hardware local: neither nvidia-smi nor rocm-smi nor sysctl (macOS) nor /proc/cpuinfo tells what is here; "
        "name the device (`llmplan catalog list`)"
    )


def _nvidia() -> Here | None:
    text = _output("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
    rows = [line.rpartition(",") for line in (text or "").splitlines() if "," in line]
    return _alike(((name.strip(), _number(size, MIB)) for name, _, size in rows), "nvidia-smi")


def _amd() -> Here | None:
    text = _output("rocm-smi", "--showproductname", "--showmeminfo", "vram", "--json")
    try:
        cards = json.loads(text or "{}")
    except ValueError:
        return None
    rows = [{str(key).lower(): value for key, value in card.items()}
            for name, card in cards.items() if isinstance(card, dict) and str(name).startswith("card")]  # fmt: skip
    named = [(next((str(row[key]) for key in _SERIES if row.get(key)), ""), row) for row in rows]
    return _alike(((name, _number(row.get("vram total memory (b)"), 1.0)) for name, row in named if name), "rocm-smi")


def _apple() -> Here | None:
    lines = (_output("sysctl", "-n", "machdep.cpu.brand_string", "hw.memsize") or "").splitlines()
    if not lines or not lines[0].startswith("Apple"):
        return None
    return Here(lines[0].strip(), 1, _number(lines[1], 1.0) if len(lines) > 1 else None, "sysctl")


def _processors() -> Here | None:
    """The sockets of a machine without accelerators."""
    try:
        text = CPU_FACTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    names = re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    sockets = set(re.findall(r"^physical id\s*:\s*(\d+)$", text, re.MULTILINE))
    return Here(names[0].strip(), max(1, len(sockets)), None, str(CPU_FACTS)) if names else None


def _alike(rows: Iterator[tuple[str, float | None]], by: str) -> Here | None:
    """Equal devices as one finding; an InputError where a machine has several kinds."""
    found = list(rows)
    if not found:
        return None
    kinds = sorted({name for name, _ in found})
    if len(kinds) > 1:
        raise InputError(f"--hardware local: {by} tells of several kinds, {', '.join(kinds)}; name the one to plan on")
    return Here(kinds[0], len(found), found[0][1], by)


def _output(program: str, *arguments: str) -> str | None:
    """The output of a program; None if it is missing, fails or hangs."""
    path = shutil.which(program)
    if path is None:
        return None
    run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run
    try:
        done = run([path, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False, errors="replace")
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None


def _number(text: object, unit: float) -> float | None:
    try:
        return float(str(text).strip()) * unit
    except ValueError:
        return None
