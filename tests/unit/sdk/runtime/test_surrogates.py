"""Where a JSON text has half a character."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat._runtime.surrogates import field_of_half

DOCUMENTS = {
    "a message": (rb'{"messages": [{"role": "user", "content": "a\ud83d"}]}', "messages[0].content"),
    "the second half alone": (rb'{"prompt": ["x", "\ude00"]}', "prompt[1]"),
    "after a whole one": (rb'{"prompt": "\ud83d\ude00", "stop": ["\ud83d"]}', "stop[0]"),
    "in the wrong order": (rb'{"prompt": "\ude00\ud83d"}', "prompt"),
    "a key, by the object that it is in": (rb'{"logit_bias": {"\ud83d": 1}}', "logit_bias"),
    "the document itself": (rb'"\ud83d"', ""),
    "a whole character": (rb'{"prompt": "\ud83d\ude00"}', None),
    "a backslash and letters": (rb'{"prompt": "\\ud83d"}', None),
    "no JSON": (rb'{"prompt": "\ud83d"', None),
    "too deep": (b"[" * 100_000 + rb'"\ud83d"' + b"]" * 100_000, None),
}


@pytest.mark.parametrize(("document", "field"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_the_first_text_with_half_a_character_is_named(document, field):
    assert field_of_half(document) == field


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_nothing_is_found_in_whole_texts(value):
    assert field_of_half(json.dumps(value).encode()) is None
