"""What is plain is read without pydantic, with the same outcome."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmplan import plain, pydantic_models, schema
from llmplan.catalog.catalog import Catalog
from llmplan.documents import Document
from llmplan.errors import InputError
from llmplan.machine.hardware import Cluster, Device
from llmplan.model.spec import ModelSpec
from llmplan.setup.options import VOCABULARY, PlanOptions
from llmplan.software.stack import Stack

KINDS = {"devices": Device, "clusters": Cluster, "models": ModelSpec, "stacks": Stack}


@pytest.mark.parametrize("kind", KINDS)
def test_entries_are_plain_and_the_same(kind: str) -> None:
    catalog, names = Catalog(()), Catalog(()).ids(kind)[::6]
    for name in names:
        data, spec = catalog.entry_document(kind, name).data, KINDS[kind]
        found, whole = plain.plainly(data, spec), pydantic_models.validated(data, spec)
        assert found == whole
        assert found.given == whole.given
        assert repr(found) == repr(whole)
    assert len(names) > 2


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
def test_faults_are_named(name: str) -> None:
    spec, data, fault = DOCUMENTS[name]
    if fault is None:
        assert repr(schema.check(Document(data, ""), spec)) == repr(pydantic_models.validated(data, spec))
        return
    with pytest.raises(InputError) as error:
        schema.check(Document(data, ""), spec)
    assert fault in [one.message for one in error.value.faults]


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 2**70), st.floats(), st.sampled_from(["adam", "full", "bf16", "serve"]),
    st.text(alphabet=" 0123456789.-+_eEkMx", max_size=6), st.lists(st.sampled_from(["q", "vp", 1, 0.5]), max_size=2),
    st.dictionaries(st.sampled_from(["max_days", "min_mfu", "x"]), st.sampled_from([1, 0, "2", "3 s"]), max_size=2),
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(sorted(VOCABULARY)), VALUES)
def test_what_is_plain_means_the_same_to_pydantic(word: str, value: Any) -> None:
    try:
        found = plain.plainly({word: value}, PlanOptions)
    except ValueError:
        return
    assert repr(found) == repr(pydantic_models.validated({word: value}, PlanOptions))
