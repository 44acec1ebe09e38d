"""For maintainers, from a checkout: `python -m llmplan.calibrate WHAT`.

kernels [gemm|moe|attention|collectives]  curves of devices from measured kernels, and the catalogue's errors
"""

from __future__ import annotations

import sys


def main(arguments: list[str]) -> int:
    """Runs one calibration; returns the exit code."""
    if arguments[:1] == ["kernels"]:
        from llmplan.calibrate import kernels

        return kernels.main(arguments[1:])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
