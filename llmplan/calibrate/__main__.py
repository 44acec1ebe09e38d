"""For maintainers, from a checkout: `python -m llmplan.calibrate WHAT`.

WHAT: kernels.
"""

from __future__ import annotations

import sys


def main(arguments: list[str]) -> int:
    """Runs one calibration; returns the exit code."""
    if arguments[:1] == ["kernels"]:
        from llmplan.calibrate import kernels, serving_kernels
        from llmplan.calibrate.microbenchmarks import FOLDER

        kernels.main(FOLDER)
        serving_kernels.main(FOLDER)
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
