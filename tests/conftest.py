"""Runs the command line in this process, on a small made-up catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from llmplan.catalog.catalog import Catalog
from llmplan.cli.main import main

# The same cases on every machine, and no limit that a busy one breaks; `--hypothesis-profile=explore` draws new ones.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", settings.get_profile("explore"), derandomize=True, max_examples=40)
settings.load_profile("suite")

CATALOG = Path(__file__).parent / "cli" / "catalog"
MODEL = """\
name: small
layers: 12
hidden: 1024
heads: 16
kv_heads: 4
head_dim: 64
ffn_hidden: 4096
gated_mlp: true
vocab: 32000
max_context: 8192
"""


@pytest.fixture
def few_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some models of the catalogue, of all kinds, for what goes through all of them: `llmplan list`."""
    whole = Catalog.ids
    monkeypatch.setattr(Catalog, "ids", lambda self, kind: whole(self, kind)[:: 20 if kind == "models" else 1])


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a model file, and the made-up catalogue before the built-in one."""
    (tmp_path / "small.yaml").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMPLAN_CATALOG", str(CATALOG))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


@pytest.fixture
def llmplan(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """`llmplan("estimate", "--model", ...)`."""

    def run(*arguments: str) -> Run:
        code = main(arguments)
        captured = capsys.readouterr()
        return Run(code, captured.out, captured.err)

    return run
