"""Control text in messages stays text, for every kind of tokenizer; the template's own control tokens stay tokens."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.worker.chat.kinds import ADDED, KINDS, SPECIAL, TEMPLATE, tokenizer_of

from fastchat.api import Message
from fastchat_worker.chat.choice import Known, choose
from fastchat_worker.chat.control import ControlText
from fastchat_worker.chat.template import ChatTemplate, Rendered, render
from fastchat_worker.errors import RequestError
from fastchat_worker.model.language_model import LanguageModel

CONTROLS = ("</s>", *SPECIAL, ADDED)
CONTROL_TEXTS = st.sampled_from([*CONTROLS, "<|im_", "end|>", "<", "|", "\U00020000", "\U00020001", "\U00020002"])
PIECES = st.lists(CONTROL_TEXTS | st.text("ab é\n.", max_size=6), max_size=8).map("".join)
QUICK = settings(max_examples=60, deadline=None)


def chosen(tokenizer: Any, *, control_text: bool = True) -> ChatTemplate:
    known = Known(names=(), architecture="llama", folder=Path())
    template = choose(None, tokenizer, known, control_text=control_text)
    assert template is not None
    return template


def conversation(template: ChatTemplate, *texts: str) -> Rendered:
    roles = itertools.cycle(("user", "assistant"))
    return render(template, [Message.model_validate({"role": next(roles), "content": text}) for text in texts])


def model_of(tokenizer: Any) -> LanguageModel:
    return LanguageModel(None, tokenizer, frozenset(), 100_000, len(tokenizer))


def controls_in(tokenizer: Any, ids: list[int]) -> list[str]:
    known = {tokenizer.convert_tokens_to_ids(text): text for text in CONTROLS}
    return [known[token] for token in ids if token in known]


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_has_the_control_tokens_of_its_template_and_no_others(kind):
    tokenizer = tokenizer_of(kind)
    template, model = chosen(tokenizer), model_of(tokenizer)
    expected = controls_in(tokenizer, conversation(template, "x", "y", "z").tokens(model))

    @QUICK
    @given(st.tuples(PIECES, PIECES.map(lambda text: text.replace(ADDED, "")), PIECES))
    def holds(texts):
        assert controls_in(tokenizer, conversation(template, *texts).tokens(model)) == expected

    holds()
    assert expected == [*SPECIAL * 3, "<|im_start|>", ADDED]


@pytest.mark.parametrize("kind", ["sentencepiece", "byte-level"])
def test_nothing_of_a_message_is_lost(kind):
    tokenizer = tokenizer_of(kind)
    template, model = chosen(tokenizer), model_of(tokenizer)

    @QUICK
    @given(PIECES)
    def holds(text):
        rendered = conversation(template, text)
        assert text in rendered.text
        ids = rendered.tokens(model)
        decoded = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        assert decoded.replace(" ", "") == rendered.text.replace(" ", "")
        if kind == "byte-level":
            assert decoded == rendered.text

    holds()


@pytest.mark.parametrize("kind", KINDS)
def test_without_control_text_the_tokens_are_the_tokenizers_own(kind):
    tokenizer = tokenizer_of(kind)
    template, model = chosen(tokenizer), model_of(tokenizer)

    @QUICK
    @given(st.lists(st.text("ab é\n.<|>", max_size=12), min_size=1, max_size=3))
    def holds(texts):
        rendered = conversation(template, *texts)
        turns = [
            {"role": role, "content": text}
            for role, text in zip(itertools.cycle(("user", "assistant")), texts, strict=False)
        ]
        theirs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
        assert rendered.tokens(model) == theirs

    holds()


def test_what_the_model_wrote_itself_comes_back_as_the_tokens_that_it_was():
    tokenizer = tokenizer_of("byte-level")
    ids = conversation(chosen(tokenizer), "x", "<think>hm", "z").tokens(model_of(tokenizer))
    assert controls_in(tokenizer, ids).count(ADDED) == 2


def test_an_option_reads_control_text_as_tokens():
    tokenizer = tokenizer_of("byte-level")
    ids = conversation(chosen(tokenizer, control_text=False), "a<|im_end|>b").tokens(model_of(tokenizer))
    assert controls_in(tokenizer, ids).count("<|im_end|>") == 2


def test_control_text_in_tools_and_in_variables_of_the_template_is_text_too():
    tokenizer = tokenizer_of("byte-level")
    tokenizer.chat_template = TEMPLATE + "{{ tools }}{{ tools | tojson(ensure_ascii=true) }}{{ x }}"
    try:
        template = chosen(tokenizer)
    finally:
        tokenizer.chat_template = TEMPLATE
    asked = {"tools": [{"name": "a<|im_end|>b"}], "variables": {"x": "</s>"}}
    rendered = render(template, [Message(role="user", content="x")], **asked)
    assert rendered.text.endswith("""[{'name': 'a<|im_end|>b'}][{"name": "a<|im_end|>b"}]</s>""")
    ids = rendered.tokens(model_of(tokenizer))
    assert controls_in(tokenizer, ids) == [*SPECIAL, "<|im_start|>", ADDED]


@pytest.mark.parametrize("written", ["m.content[:-1]", "m.content[1:]", "m.content.split('<think>') | join"])
def test_control_text_stays_text_where_a_template_cuts_messages(written):
    tokenizer = tokenizer_of("byte-level")
    whole_at_the_trial = f"(m.content if 'Trial' in m.content else {written})"
    tokenizer.chat_template = TEMPLATE.replace("m.content", whole_at_the_trial)
    try:
        template = chosen(tokenizer)
    finally:
        tokenizer.chat_template = TEMPLATE
    ids = conversation(template, "<|im_end|>a<think></s>").tokens(model_of(tokenizer))
    assert controls_in(tokenizer, ids) == [*SPECIAL, "<|im_start|>", ADDED]


def test_marks_are_characters_that_no_message_has():
    tokenizer = tokenizer_of("byte-level")
    rare = "".join(map(chr, range(0x20000, 0x2A6D5)))
    rendered = conversation(chosen(tokenizer), rare + "<|im_end|>")
    assert rare in rendered.text
    with pytest.raises(RequestError, match="every rare character"):
        conversation(chosen(tokenizer), rare + "\U0002a6d5\U0002a6d6<|im_end|>")


def test_a_text_of_megabytes_that_nearly_has_control_text_is_searched_within_seconds():
    nearly = {"role": "user", "content": "<|im_" * 1_600_000}
    assert ControlText(tokenizer_of("byte-level"), ()).marked([nearly], {}) is None
