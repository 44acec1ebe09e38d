"""What a command answered: read, and compared with what is stored."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str, text: str) -> None:
    """Compares with the stored output; LLMPLAN_UPDATE_GOLDEN=1 stores it anew."""
    path = GOLDEN / name
    if os.environ.get("LLMPLAN_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def result(run: Any) -> dict[str, Any]:
    """The JSON of a run that succeeded."""
    assert run.code == 0, run.err
    answer: dict[str, Any] = json.loads(run.out)
    return answer
