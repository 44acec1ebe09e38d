"""For maintainers, from a checkout: `python -m llmplan.calibrate WHAT`.

WHAT: kernels, devices, stacks, serving, accuracy or serving-accuracy.
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
    elif arguments[:1] == ["devices"]:
        from llmplan.calibrate import devices

        devices.main()
    elif arguments[:1] == ["stacks"]:
        from llmplan.calibrate import training

        training.main(arguments[1:])
    elif arguments[:1] == ["serving"]:
        from llmplan.calibrate import serving_stacks

        serving_stacks.main()
    elif arguments[:1] == ["serving-accuracy"]:
        from llmplan.calibrate import serving_accuracy

        serving_accuracy.main()
    elif arguments[:1] == ["accuracy"]:
        from llmplan.calibrate import accuracy

        accuracy.main()
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
