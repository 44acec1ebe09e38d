"""Fuzzes the command line: mutated inputs from a seed, each answer held to rules; `make fuzz`.

    python -m tests.fuzz --n 20000 --seed 11 --jobs 2
    python -m tests.fuzz --replay failures/CLASS.json

A case fails where an exception escapes, the exit code is none of 0, 2 and 3, an error says nothing, JSON is not valid
or not finite, it takes over 5 s of processor time or needs over 1 GiB of address space, or its answer breaks a rule
(`rules.py`). Case `i` depends on the seed and on `i` alone. Each class of failure leaves its smallest case; exit code 1
where there is one, or where less than half of a thousand cases or more were answered.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import shutil
import time
from collections import Counter
from dataclasses import replace
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

from tests.fuzz import cases, hostile, running
from tests.fuzz.cases import Case

MANY = 1000
TRIES = 120  # runs to make a failing case smaller
_worker: dict[str, Any] = {}


def _start(seed: str, kinds: list[str]) -> None:
    _worker.update(seed=seed, kinds=kinds, folder=running.prepare())


def _one(number: int) -> tuple[int, Case, running.Outcome]:
    case = cases.make(_worker["seed"], number, _worker["kinds"])
    return number, case, running.run(case, _worker["folder"])


def smaller(case: Case, fault: running.Fault, folder: Path) -> Case:
    """The case without options and keys that the failure does not need."""
    left = TRIES

    def fails(other: Case) -> bool:
        nonlocal left
        left -= 1
        found = running.run(other, folder).fault if left >= 0 else None
        return found is not None and found[:2] == fault[:2]

    for place in range(len(case.args) - 1, 0, -1):
        word, after = case.args[place], case.args[place + 1 : place + 2]
        if word.startswith("--") and word not in ("--plan", "--json"):
            ends = place + (2 if after and not after[0].startswith("--") else 1)
            if fails(other := replace(case, args=case.args[:place] + case.args[ends:])):
                case = other
    for name in case.files:
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            data = json.loads(case.files[name])
            for path in sorted(hostile.places(data), key=len):
                tried = json.loads(json.dumps(data))
                with contextlib.suppress(KeyError, IndexError):
                    del hostile.at(tried, path[:-1])[path[-1]]
                    other = replace(case, files={**case.files, name: json.dumps(tried).encode()},
                                    words=None if case.words is None else tried)  # fmt: skip
                    if fails(other):
                        case, data = other, tried
    return case


def replay(path: Path) -> int:
    """Runs one case again and says what is wrong."""
    outcome = running.run(Case.read(path.read_text()), running.prepare())
    print(f"exit code {outcome.code}, {outcome.seconds:.2f} s")
    print("\n".join(outcome.fault) if outcome.fault else "nothing is wrong")
    return int(outcome.fault is not None)


def report(said: argparse.Namespace, pool: Pool) -> int:
    """Runs all cases; prints a line for each class of failure."""
    codes: Counter[str] = Counter()
    answered = 0
    found: dict[tuple[str, ...], list[tuple[int, Case, running.Fault]]] = {}
    slowest, start = (0.0, 0), time.monotonic()
    numbers = range(said.first, said.first + said.n)
    for number, case, outcome in pool.imap_unordered(_one, numbers, chunksize=20):
        codes[f"{case.kind} {outcome.code}"] += 1
        answered += outcome.answered
        slowest = max(slowest, (outcome.seconds, number))
        if outcome.fault:
            found.setdefault(outcome.fault[:2], []).append((number, case, outcome.fault))
    failures, seconds = sum(map(len, found.values())), time.monotonic() - start
    print(f"seed {said.seed}: {said.n} cases, {answered / said.n:.0%} answered, {failures} failures in {len(found)} "
          f"classes, {seconds:.0f} s; slowest {slowest[0]:.1f} s (case {slowest[1]})")  # fmt: skip
    if said.verbose:
        print(dict(sorted(codes.items())))
    for kind, many in sorted(found.items(), key=lambda item: -len(item[1])):
        number, case, fault = min(many, key=lambda one: len(one[1].text()))
        said.out.mkdir(parents=True, exist_ok=True)
        path = said.out / f"{hashlib.sha1(repr(kind).encode()).hexdigest()[:8]}.json"
        path.write_text(pool.apply(_smaller, (case, fault)).text())
        print(f"{len(many):6d}  {': '.join(kind)}   (case {number}, {path})")
    return int(bool(found) or (said.n >= MANY and answered < said.n / 2))


def _smaller(case: Case, fault: running.Fault) -> Case:
    return smaller(case, fault, _worker["folder"])


def begin() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", default="11")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kinds", default="", help=f"of {', '.join(cases.KINDS)}; default: all")
    parser.add_argument("--out", type=Path, default=Path("failures"))
    parser.add_argument("--replay", type=Path, metavar="CASE")
    parser.add_argument("--verbose", action="store_true", help="also exit codes by kind")
    said = parser.parse_args()
    if said.replay:
        return replay(said.replay)
    kinds = [kind for kind in said.kinds.split(",") if kind]
    said.out = said.out.resolve()
    with multiprocessing.Pool(said.jobs, _start, (said.seed, kinds)) as pool:
        code = report(said, pool)
        for folder in pool.map(_folder, range(said.jobs)):
            shutil.rmtree(folder, ignore_errors=True)
    return code


def _folder(_: int) -> Path:
    folder: Path = _worker["folder"]
    return folder


if __name__ == "__main__":
    raise SystemExit(begin())
