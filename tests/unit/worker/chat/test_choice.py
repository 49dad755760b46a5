"""Which chat template a model gets, and what a trial conversation finds out about it."""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from unit.worker.chat.kinds import tokenizer_of

from fastchat.api import Message
from fastchat_worker.chat import choice
from fastchat_worker.chat.choice import Known, check_option
from fastchat_worker.chat.template import ChatTemplate, render
from fastchat_worker.errors import LoadError, RequestError

ECHO = "{% for m in messages %}{{ m.content }}{% endfor %}"
PARTS = "{% for m in messages %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}"
USER = Message(role="user", content="Hello")
SYSTEM = Message(role="system", content="Be brief")


@dataclass
class Model:
    """A byte-level tokenizer with a chat template, and what is known of its model."""

    own: Any = None
    names: tuple[str, ...] = ()
    architecture: str = "llama"
    folder: Path = field(default_factory=Path)

    def chosen(self, option: str | None = None) -> ChatTemplate | None:
        tokenizer = tokenizer_of("byte-level")
        before, tokenizer.chat_template = tokenizer.chat_template, self.own
        try:
            known = Known(self.names, self.architecture, self.folder)
            return choice.choose(option, tokenizer, known, control_text=True)
        finally:
            tokenizer.chat_template = before

    def text(self, *messages: Message, option: str | None = None, **asked: Any) -> str:
        return render(self.chosen(option), messages, **asked).text


VICUNA = Model(names=("vicuna-7b-v1.5", "m"))


def test_the_option_comes_before_the_models_own_template_and_that_before_a_shipped_one(tmp_path: Path):
    (tmp_path / "x.jinja").write_text("file:" + ECHO)
    own = Model(own="own:" + ECHO, names=VICUNA.names)
    assert own.text(USER, option=str(tmp_path / "x.jinja")) == "file:Hello"
    assert own.text(USER, option="alpaca").startswith("Below is an instruction")
    assert own.text(USER) == "own:Hello"
    assert VICUNA.text(USER).endswith("USER: Hello ASSISTANT:")
    assert Model(architecture="falcon").text(USER) == "User: Hello\n\nAssistant:"


def test_what_ends_a_turn_is_a_stop_text_where_the_tokenizer_has_no_special_token_for_it():
    assert set(Model().chosen("internlm-chat").stop_texts) == {"<|User|>", "<eoa>"}
    chatml = Model().chosen("OpenHermes-2.5-Mistral-7B")  # whose <|im_end|> is special here
    assert (chatml.stop_texts, len(chatml.stop_tokens)) == ((), 2)


def test_the_first_name_that_tells_a_family_counts():
    assert Model(names=("model", "alpaca-7b", "vicuna-7b")).text(USER).startswith("Below is an instruction")


def test_without_any_template_a_chat_is_refused_by_name():
    with pytest.raises(RequestError) as error:
        Model(names=("model", "SmolLM2-135M")).text(USER)
    assert error.value.error.code == "no_chat_template"


def test_the_log_says_which_template_was_chosen_and_why(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        VICUNA.chosen()
        VICUNA.chosen("alpaca")
        Model(own=ECHO).chosen()
        Model().chosen()
    assert [line.partition(":")[2].strip() for line in caplog.messages] == [
        "vicuna_v1.1, which ships, for models named like vicuna-7b-v1.5",
        "alpaca, which ships, as --chat-template says",
        "the model's own (tokenizer_config.json, chat_template)",
        "the model has none, and its name tells none that ships; chats are refused",
    ]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("vicuna_v1.2", "there is no such file, and none of that name ships; did you mean vicuna_v1.1?"),
        ("/", "Is a directory"),
        ("{folder}/bytes", "not text in UTF-8"),
        ("{folder}/broken.jinja", r"has an error: line 2: .*; correct it or choose another"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_before_anything_is_downloaded(option: str, said: str, tmp_path: Path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "broken.jinja").write_text("\n{% for")
    option = option.format(folder=tmp_path)
    with pytest.raises(LoadError, match=said) as error:
        check_option(option)
    assert f"--chat-template {option}" in str(error.value)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("{% for m in messages %}", "in tokenizer_config.json, chat_template has an error: line 1"),
        ("hello", "leaves out what users say"),
        ("{{ messages.x.y }}", r"\(the model's own .*\) fails: line 1"),
        ("{% for i in range(99999) %}{{ 'a' * 999 }}{% endfor %}", "fails: it makes a text of more than"),
        ({"rag": ECHO, "tool_use": ECHO}, "named rag, tool_use, and none is the default"),
    ],
)
def test_a_template_of_the_model_that_cannot_work_is_found_when_it_is_loaded(own: Any, said: str):
    with pytest.raises(LoadError, match=said) as error:
        Model(own=own).chosen()
    assert "--chat-template" in str(error.value)


def test_a_broken_template_is_named_by_its_file(tmp_path: Path):
    (tmp_path / "chat_template.jinja").write_text("{% for")
    with pytest.raises(LoadError, match=r"in chat_template\.jinja has an error"):
        Model(own="{% for", folder=tmp_path).chosen()


def test_of_named_templates_the_default_writes_chats_and_tool_use_those_with_tools():
    model = Model(own={"default": "plain:" + ECHO, "tool_use": "tools:" + ECHO, "rag": "{% broken"})
    assert model.text(USER) == "plain:Hello"
    assert model.text(USER, tools=[{"type": "function"}]) == "tools:Hello"


def test_a_template_that_wants_parts_gets_parts():
    model = Model(own=PARTS)
    assert model.text(USER) == "Hello"
    parts = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    assert model.text(Message.model_validate(parts)) == "ab"
    assert Model(own=ECHO).text(Message.model_validate(parts)) == "ab"


def test_a_template_that_refuses_a_role_says_so_in_its_own_words():
    gemma = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + ECHO
    with pytest.raises(RequestError, match="System role not supported") as error:
        Model(own=gemma).text(SYSTEM, USER)
    assert error.value.status == 400
    assert Model(own=gemma).text(USER) == "Hello"


def test_a_template_that_refuses_the_trial_is_served_and_refuses_requests(caplog: pytest.LogCaptureFixture):
    model = Model(own="{{ raise_exception('tools only') }}")
    with pytest.raises(RequestError, match="tools only"):
        model.text(USER)
    assert "refuses a conversation of one user message: tools only" in caplog.text


def test_a_system_text_that_a_template_would_drop_is_refused():
    silent = "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"
    with pytest.raises(RequestError, match=r"leaves system messages out: put messages\[0\]"):
        Model(own=silent).text(SYSTEM, USER)


def test_a_template_that_fails_for_one_conversation_is_a_400():
    with pytest.raises(RequestError, match="fails on these messages: line 1: division by zero") as error:
        Model(own=ECHO + "{{ 1 / (messages | length - 2) }}").text(USER, USER)
    assert error.value.status == 400


def test_the_tokens_before_a_prompt_are_the_tokenizers_where_a_conversation_ships():
    tokenizer = tokenizer_of("sentencepiece")
    known = Known(("vicuna",), "llama", Path())
    template = choice.choose("vicuna_v1.1", tokenizer, known, control_text=True)
    assert template is not None
    assert template.prefix == (tokenizer.bos_token_id,)


def test_stop_tokens_are_those_that_the_tokenizer_has():
    template = Model().chosen("qwen-7b-chat")
    assert template is not None
    vocabulary = tokenizer_of("byte-level").get_vocab()
    assert template.stop_tokens == {vocabulary["<|im_start|>"], vocabulary["<|im_end|>"]}
    assert template.stop_texts == ("<|endoftext|>",)


def test_variables_reach_the_template_but_for_those_that_are_ours():
    model = Model(own=ECHO + "{{ enable_thinking }}{{ bos_token }}")
    assert model.text(USER, variables={"enable_thinking": False}) == "HelloFalse<s>"
    with pytest.raises(RequestError, match="messages is not for chat_template_kwargs"):
        model.text(USER, variables={"messages": []})


@pytest.mark.parametrize("own", [None, "{% for m in messages %}[{{ m.content | trim }}]\n{% endfor %}", PARTS])
def test_the_last_message_can_be_continued(own: str | None):
    model = Model(own=own, names=VICUNA.names)
    begun = Message(role="assistant", content="It is  ")
    text = model.text(USER, begun, add_generation_prompt=False, continue_final_message=True)
    assert text.endswith("It is" if own and "trim" in own else "It is  ")


def test_a_message_that_the_template_leaves_out_cannot_be_continued():
    model = Model(own="{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}")
    begun = Message(role="assistant", content="It")
    with pytest.raises(RequestError, match="cannot be continued"):
        model.text(USER, begun, add_generation_prompt=False, continue_final_message=True)


def test_templates_are_read_as_transformers_saves_them(tmp_path: Path):
    import transformers

    tokenizer = tokenizer_of("byte-level")
    tokenizer.save_pretrained(tmp_path / "one")
    (tmp_path / "one" / "chat_template.jinja").write_text("new:" + ECHO)
    (tmp_path / "one" / "additional_chat_templates").mkdir()
    (tmp_path / "one" / "additional_chat_templates" / "tool_use.jinja").write_text("tools:" + ECHO)
    tokenizer.save_pretrained(tmp_path / "old", save_jinja_files=False)
    config = json.loads((tmp_path / "old" / "tokenizer_config.json").read_text())
    config["chat_template"] = [
        {"name": "default", "template": "new:" + ECHO},
        {"name": "tool_use", "template": "tools:" + ECHO},
    ]
    (tmp_path / "old" / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "old" / "chat_template.jinja").unlink(missing_ok=True)
    for folder in (tmp_path / "one", tmp_path / "old"):
        own = transformers.AutoTokenizer.from_pretrained(folder).chat_template
        assert Model(own=own, folder=folder).text(USER) == "new:Hello"
        assert Model(own=own, folder=folder).text(USER, tools=[{}]) == "tools:Hello"


def test_calls_results_and_reasoning_reach_the_template_as_it_knows_them():
    model = Model(own="{% for m in messages %}{{ m.role }} {{ m | tojson(sort_keys=true) }}\n{% endfor %}")
    call = {"id": "c1", "function": {"name": "f", "arguments": '{"a": 1}'}}
    messages = [
        USER,
        Message.model_validate({"role": "assistant", "content": None, "reasoning": "Hm", "tool_calls": [call]}),
        Message.model_validate({"role": "tool", "content": "42", "tool_call_id": "c1"}),
    ]
    called, result = [json.loads(line.partition(" ")[2]) for line in model.text(*messages).splitlines()[1:]]
    function = {"name": "f", "arguments": {"a": 1}}
    assert called["tool_calls"] == [{"type": "function", "id": "c1", "function": function}]
    assert called["reasoning_content"] == "Hm"
    assert "content" not in called
    assert result == {"role": "tool", "content": "42", "tool_call_id": "c1", "name": "f"}
