"""How a cold `llmplan estimate ... --json` compares with a bare Typer program, in paired runs.

    python benchmarks/startup.py [PAIRS]

Both run in turn, so that a machine that gets slower slows both; the median of the pairs' ratios
is printed. The bare program loads one YAML file and prints it as JSON.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 1.35
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


def seconds(command: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start


def main(pairs: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        bare, plan = Path(folder) / "bare.py", Path(folder) / "plan.yaml"
        bare.write_text(BARE)
        plan.write_text(PLAN)
        program = Path(folder) / "program.py"  # what an installed entry point holds
        program.write_text("from llmplan.cli.main import run\nrun()\n")
        # installed programs have their byte code beside them; here it is kept in the folder
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPYCACHEPREFIX": f"{folder}/cache", "PYTHONPATH": os.pathsep.join(sys.path[1:])}
        environment["PYTHONPATH"] += os.pathsep + str(Path(__file__).parents[1])
        ours = [sys.executable, str(program), "estimate", "--plan", str(plan), "--json"]
        theirs = [sys.executable, str(bare), str(plan)]
        times = [(seconds(ours, environment), seconds(theirs, environment)) for _ in range(pairs + 1)][1:]
    ratio = statistics.median(a / b for a, b in times)
    mine, other = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"llmplan {mine * 1e3:.0f} ms, bare program {other * 1e3:.0f} ms, ratio {ratio:.2f} (limit {LIMIT})")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 15))
