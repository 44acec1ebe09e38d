"""How cold starts compare with that of a bare Typer program, in one run.

    python benchmarks/startup.py [ROUNDS]

In every round each command runs once, so that a machine that gets slower slows all; the median of a command's ratios to
the bare program of its round is printed, of processor time and of wall time. The bare program loads one YAML file and
prints it as JSON. Exits with 1 where a ratio of processor time is over its target.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

BARE = """\
import json, sys, typer, yaml
app = typer.Typer()
@app.command()
def main(path: str) -> None:
    with open(path) as file:
        data = yaml.safe_load(file)
    print(json.dumps(data, default=str))
app()
"""
PLAN = "model: llama-3.1-8b\nhardware: h100-sxm-80gb\ndevices: 8\nseq_len: 8192\nglobal_batch: 128\n"
# arguments, and the most that they should take of the bare program's time
COMMANDS = {
    "--version": 1.1,
    "--help": 1.25,
    "catalog list": 1.3,
    "estimate --plan plan.yaml --json": 1.25,
    "explain LP031": 1.5,
    "explain --plan plan.yaml --term matmul_seconds": 1.5,
    "fit --plan plan.yaml --json": 1.5,
}


class Seconds(NamedTuple):
    """What one start took [s]."""

    processor: float
    wall: float


def started(command: list[str], folder: str, environment: dict[str, str]) -> Seconds:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment, cwd=folder)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Seconds(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall)


def main(rounds: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        bare, program = Path(folder, "bare.py"), Path(folder, "program.py")
        bare.write_text(BARE)
        program.write_text("from llmplan.program import run\nrun()\n")  # what an installed entry point holds
        Path(folder, "plan.yaml").write_text(PLAN)
        # installed programs have their byte code beside them; here it is kept in the folder
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPYCACHEPREFIX": f"{folder}/cache", "PYTHONPATH": os.pathsep.join(sys.path[1:])}
        environment["PYTHONPATH"] += os.pathsep + str(Path(__file__).parents[1])
        commands = {words: [sys.executable, str(program), *words.split()] for words in COMMANDS}
        commands = {"bare": [sys.executable, str(bare), "plan.yaml"], **commands}
        found = [
            {words: started(command, folder, environment) for words, command in commands.items()}
            for _ in range(rounds + 1)
        ][1:]
    print(f"{'':50}{'CPU ms':>8}{'ratio':>8}{'limit':>8}{'wall ratio':>12}")
    over = False
    for words in commands:
        ratio, wall = (statistics.median(one[words][i] / one["bare"][i] for one in found) for i in range(2))
        mine, limit = statistics.median(one[words].processor for one in found), COMMANDS.get(words, 1.0)
        print(f"{words:50}{mine * 1e3:8.0f}{ratio:8.2f}{limit:8.2f}{wall:12.2f}")
        over |= ratio > limit
    return int(over)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9))
