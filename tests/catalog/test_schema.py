"""The first documents of a process are checked by the schema of their own keys alone, with the same outcome."""

from __future__ import annotations

from typing import Any

import pytest

from llmplan import schema
from llmplan.catalog.catalog import Catalog
from llmplan.documents import Document
from llmplan.errors import InputError
from llmplan.machine.hardware import Cluster, Device
from llmplan.model.spec import ModelSpec
from llmplan.setup.options import PlanOptions
from llmplan.software.stack import Stack

KINDS = {"devices": Device, "clusters": Cluster, "models": ModelSpec, "stacks": Stack}


@pytest.fixture(params=[0, 10**9], ids=["whole", "of its keys"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(schema, "FEW", request.param)
    few: int = request.param
    return few


@pytest.mark.parametrize("kind", KINDS)
def test_entries_are_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "FEW", 10**9)
    catalog, by_keys = Catalog(()), 0
    for name in catalog.ids(kind)[::6]:
        data, spec = catalog.entry_document(kind, name).data, KINDS[kind]
        found: Any = schema._by_what_is_said(data, spec)
        if found is not None:
            by_keys += 1
            whole: Any = schema.validated(data, spec)
            assert found == whole
            if spec is not ModelSpec:
                assert found.model_fields_set == whole.model_fields_set
                assert found.model_dump() == whole.model_dump()
    assert by_keys > 2


DOCUMENTS: dict[str, tuple[type[Any], dict[Any, Any], str | None]] = {
    "a plan": (PlanOptions, {"model": "x", "tp": "2", "seq_len": "8k", "tokens": None}, None),
    "no plan": (PlanOptions, {}, None),
    "a plan with limits": (PlanOptions, {"model": "x", "limits": {"max_days": 3}}, None),
    "a bad value": (PlanOptions, {"model": "x", "tp": 0}, "tp: input should be greater than or equal to 1, got '0'"),
    "an unknown key": (PlanOptions, {"tpp": 1}, "unknown key 'tpp'; did you mean tp or pp?"),
    "a key that is no text": (PlanOptions, {1: 1}, "1: keys should be strings, got '1'"),
    "a missing key": (Cluster, {"name": "x"}, "key 'devices_per_node' is missing"),
    "a bad part": (Device, {**Catalog(()).entry_document("devices", "t4").data, "memory": {"type": "x"}},
                   "key 'memory.capacity' is missing"),
    "no part": (Device, {**Catalog(()).entry_document("devices", "t4").data, "memory": None},
                "memory: input should be a valid dictionary or instance of DeviceMemory, got 'None'"),
    "numbers as text": (Device, {**Catalog(()).entry_document("devices", "t4").data, "release": "2018"}, None),
    "truth as text": (ModelSpec, {**Catalog(()).entry_document("models", "llama-3.1-8b").data, "gated_mlp": "yes",
                                  "layers": 32.0}, None),
    "a number too large": (ModelSpec, {**Catalog(()).entry_document("models", "llama-3.1-8b").data, "layers": 10**5},
                           "layers: input should be less than or equal to 10000, got '100000'"),
    "a word of none": (ModelSpec, {**Catalog(()).entry_document("models", "llama-3.1-8b").data, "norm": "none"},
                       "norm: input should be 'rmsnorm', 'layernorm', 'layernorm-no-bias' or 'no-weight', got 'none'"),
    "a contradiction": (ModelSpec, {**Catalog(()).entry_document("models", "llama-3.1-8b").data, "kv_heads": 7},
                        "heads (32) must be a multiple of kv_heads (7)"),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.usefixtures("way")
def test_faults_are_the_same(name: str) -> None:
    spec, data, fault = DOCUMENTS[name]
    if fault is None:
        assert schema.check(Document(data, ""), spec) == schema.validated(data, spec)
        return
    with pytest.raises(InputError) as error:
        schema.check(Document(data, ""), spec)
    assert fault in [one.message for one in error.value.faults]


def test_later_documents_are_checked_by_the_whole_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is made once, and then the faster way."""
    monkeypatch.setattr(schema, "_documents", type(schema._documents)())
    data = {"tp": 2}
    found = [schema._by_what_is_said(data, PlanOptions) for _ in range(schema.FEW + 1)]
    assert [one is None for one in found] == [False] * schema.FEW + [True]
