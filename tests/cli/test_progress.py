"""What takes long says so on stderr, on a terminal and nowhere else."""

from __future__ import annotations

import io
import sys
import time

import pytest

from llmplan.cli import progress as module
from llmplan.cli.progress import counted, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    found = Terminal()
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    return found


def test_counts_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    with progress("rows", 3) as shown:
        assert shown is not None
        until = time.monotonic() + 60
        while "rows" not in terminal.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
        assert list(counted("abc", shown)) == ["a", "b", "c"]
        assert shown.done == 3
    assert "rows" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


def test_says_nothing_of_what_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    monkeypatch.setattr(module, "PATIENCE", 3600.0)
    with progress("rows", 3) as shown:
        list(counted("abc", shown))
    assert terminal.getvalue() == ""


def test_is_for_terminals_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress("rows") as shown:
        assert shown is None
        assert list(counted("ab", shown)) == ["a", "b"]


def test_is_not_mixed_with_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_terminal(monkeypatch)
    monkeypatch.setattr(sys, "stdout", Terminal())
    with progress("plans", streams=True) as shown:
        assert shown is None


def test_ends_with_what_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_terminal(monkeypatch)

    class StopError(Exception):
        pass

    with pytest.raises(StopError), progress("rows") as shown:
        raise StopError
    assert shown is not None
    assert not shown._timer.is_alive() or shown._ended
