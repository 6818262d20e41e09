"""The fast path finds what JMESPath finds."""

from __future__ import annotations

from typing import Any

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskmon.traffic.paths import compile_path

KEYS = st.sampled_from(["a", "b", "c_1"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=3), st.lists(KEYS, min_size=1, max_size=3))
def test_plain_paths_agree_with_jmespath(document: dict[str, Any], keys: list[str]) -> None:
    path = ".".join(keys)
    assert compile_path(path)(document) == jmespath.search(path, document)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a[1]", 20),
        ('"odd-key".b', "x"),
        ("a[?@ > `15`] | [0]", 20),
        ("not_there.b", None),
        ("join(',', a)", None),  # an error of type, as the elements are numbers
        ("length(absent)", None),
    ],
)
def test_other_expressions_go_to_jmespath(path: str, value: Any) -> None:
    assert compile_path(path)({"a": [10, 20], "odd-key": {"b": "x"}}) == value
