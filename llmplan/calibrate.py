"""`python -m llmplan.calibrate`: the maintainers' commands of `llmplan.calibration`.

From Python, `llmplan.calibrate` is the function that fits a user's own runs.
"""

from __future__ import annotations

import sys

from llmplan.calibration.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
