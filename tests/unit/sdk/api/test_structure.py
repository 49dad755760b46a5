"""What is too much to build, and that text is never."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.api import structure

TEXT = st.text(st.sampled_from('"\\,:[]{}x\n'))
VALUES = st.recursive(st.integers() | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)


def commas(value) -> int:
    parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return max(len(parts) - 1, 0) + sum(map(commas, parts))


def members(value) -> int:
    if isinstance(value, dict):
        return 1 + len(value) + sum(map(members, value.values()))
    return 1 + sum(map(members, value)) if isinstance(value, list) else 0


def is_taken(document: bytes) -> bool:
    try:
        structure.check(document)
    except structure.TooComplexError:
        return False
    return True


@given(VALUES, st.integers(0, 5), st.integers(0, 5))
def test_only_structure_outside_strings_counts(value, most_values, most_members):
    document = json.dumps(value).encode().ljust(most_members + 1)  # shorter ones cannot have so many
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structure, "MOST_VALUES", most_values)
        patch.setattr(structure, "MOST_MEMBERS", most_members)
        assert is_taken(document) == (commas(value) <= most_values and members(value) <= most_members)


@pytest.mark.parametrize("unit", ["1,", '"",', "[],", '{"":1},', '"\\"",', '"a":{'])
def test_eight_mebibytes_of_structure_are_refused(unit):
    assert not is_taken(b"[" + unit.encode() * (2**23 // len(unit)))


@pytest.mark.parametrize("text", ["word, ", '{"a": [1, 2]}', "\\", '"'])
def test_eight_mebibytes_of_text_are_taken_whatever_is_in_it(text):
    assert is_taken(json.dumps({"prompt": text * (2**22 // len(text))}).encode())


def widest(value) -> int:
    parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return max([len(value) if isinstance(value, dict) else 0, *map(widest, parts)])


@given(VALUES, st.integers(0, 3))
def test_no_object_has_more_members_than_one_may_have(value, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structure, "MOST_OF_ONE", most)
        try:
            structure.check_objects(json.dumps(value).encode())
        except structure.TooComplexError:
            assert widest(value) > most
        else:
            assert widest(value) <= most


@pytest.mark.parametrize("text", ["{}}:::", "::::", '{"a":{', "}" * 100 + "::::"])
def test_what_is_no_json_has_no_members(text, monkeypatch):
    monkeypatch.setattr(structure, "MOST_OF_ONE", 3)
    structure.check_objects(text.encode())


@given(st.integers(0, 700), st.integers(0, 700), st.binary(max_size=3))
def test_colons_are_counted_however_rare_they_are(colons, number, between):
    document = between + b":".join([between] * (colons + 1))
    assert structure.has_more_colons(document, number) == (document.count(b":") > number)
