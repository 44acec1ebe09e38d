"""For maintainers, from a checkout: `python -m llmplan.calibrate WHAT`."""

from __future__ import annotations

import sys


def main(arguments: list[str]) -> int:
    """Runs one calibration; returns the exit code."""
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
