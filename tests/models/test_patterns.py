from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmplan.model.patterns import compact, expand


@given(st.lists(st.sampled_from(["full", "sliding", "delta", "dense:512"]), min_size=1, max_size=60))
def test_compact_and_expand_are_inverse(kinds: list[str]) -> None:
    assert expand(compact(kinds), len(kinds)) == tuple(kinds)


@pytest.mark.parametrize(
    ("pattern", "layers", "said"),
    [
        ("", 4, "is not"),
        ("full, , full", 4, "is not"),
        ("rest full, sliding", 4, "is not"),
        ("9 x full", 4, "more than 4 layers"),
        ("0 x full", 4, "no layers"),
        ("999999 x (999999 x (full))", 4, "is not|too long|more than"),
        ("FULL", 4, "is not"),
        ("1 x (full), " * 10_000 + "full", 4, "too long"),
    ],
)
def test_bad_pattern_is_refused(pattern: str, layers: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        expand(pattern, layers)
