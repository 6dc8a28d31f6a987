"""Which versions of torch a specifier admits; `packaging` is the judge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from graphlint.artifact.errors import ConfigError
from graphlint.ops.declared import required
from graphlint.ops.table import covered

TORCH = covered()
PATCHES = range(12)
NUMBERS = st.integers(0, 9).map(str)
RELEASES = st.one_of(
    st.just("2"),
    st.sampled_from(["2.0", "2.5", *TORCH, "2.16", "2.20", "1.13", "3.0", "3"]),
    st.tuples(st.sampled_from(TORCH), NUMBERS).map(".".join),
    st.tuples(st.sampled_from(TORCH), NUMBERS, st.just("0")).map(".".join),
)
CLAUSES = st.one_of(
    st.tuples(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), RELEASES).map("".join),
    st.tuples(st.sampled_from(["==", "!="]), RELEASES, st.just(".*")).map("".join),
    st.tuples(st.just("~="), RELEASES.filter(lambda release: "." in release)).map("".join),
)


@given(st.lists(CLAUSES, min_size=1, max_size=3))
def test_as_packaging_does(clauses):
    specifier = ", ".join(clauses)
    judge = SpecifierSet(specifier)
    expected = [version for version in TORCH if any(judge.contains(f"{version}.{patch}") for patch in PATCHES)]
    if expected:
        assert list(required(specifier, TORCH).versions) == expected
    else:
        message = "admits none of the versions of torch whose ops are known, 2.6 to 2.15: "
        with pytest.raises(ConfigError, match=message):
            required(specifier, TORCH)


@pytest.mark.parametrize(
    ("specifier", "others"),
    [
        # What is newer than graphlint is unknown to all that have no end, and said to be so where they speak of it.
        (">=2.9", False),
        (">=2.6", False),
        ("==2.9.*", False),
        (">=2.9,<2.13", False),
        (">=2.4", True),
        ("<2.13", True),
        ("!=2.9.*", True),
        (">=2.9,<2.17", True),
        (">=2.9,!=2.16", True),
        (">=2.9,<2.16", False),
        ("==2.*", True),
    ],
)
def test_whether_unknown_versions_are_spoken_of(specifier, others):
    assert required(specifier, TORCH).others is others


@pytest.mark.parametrize(
    ("specifier", "hint"),
    [
        ("2.9", "did you mean '==2.9.*' or '>=2.9'?"),
        ("torch>=2.9", None),
        ("=2.9", None),
        ("===2.9", None),
        ("~=2", None),
        (">=2.9.*", None),
        (">=2.9rc1", None),
        (">=2.9+cpu", None),
        (">=2.9,", None),
        (">=2.9,2.10", "did you mean '==2.10.*' or '>=2.10'?"),
        (">=", None),
        (">=٢.9", None),
        (">=" + "9" * 5000, None),
        (" ", None),
        (",", None),
        ("\n>=2.9\x1b[31m", None),
    ],
)
def test_what_is_no_specifier(specifier, hint):
    with pytest.raises(ConfigError) as caught:
        required(specifier, TORCH)
    hint = hint or "write comparisons with releases, such as '>=2.9', '==2.9.*' or '>=2.9,<2.13'"
    assert str(caught.value) == f"'{specifier}' is no version specifier; {hint}"
