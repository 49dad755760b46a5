"""What is found out of a model when it is loaded, and what becomes of requests with tools."""

from typing import Any

import pytest
from support.tools.texts import WRITTEN

from fastchat.api import ChatCompletionRequest
from fastchat_worker.chat.jinja import ChatProgram
from fastchat_worker.chat.template import ChatTemplate, render
from fastchat_worker.chat.tools.calling import Calling, check_option, find
from fastchat_worker.errors import LoadError
from fastchat_worker.output.choice import ChoiceOutput, Ending
from fastchat_worker.output.parser import Delta, joined
from fastchat_worker.output.tokens import TokenTexts

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
HERMES = """{% if tools %}<tools>{% for t in tools %}{{ t | tojson }}{% endfor %}</tools>
{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content or '' }}
{%- for c in m.tool_calls or [] %}
<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% else %}<think>
{% endif %}"""
TEXT_ARGUMENTS = HERMES.replace("c.function.arguments | tojson", "c.function.arguments")
NULL_CONTENT = HERMES.replace("{{ m.content or '' }}", "{% if m.content is not none %}{{ m.content + '' }}{% endif %}")
MISTRAL = """{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}{% for m in messages %}
{%- if m.tool_calls %}[TOOL_CALLS][{% for c in m.tool_calls %}
{%- if c.id | length != 9 %}{{ raise_exception("ids have nine characters") }}{% endif %}
{{- {"name": c.function.name, "arguments": c.function.arguments, "id": c.id} | tojson }}{% endfor %}]</s>
{%- elif m.role == "tool" %}
{%- if m.tool_call_id | length != 9 %}{{ raise_exception("ids have nine characters") }}{% endif -%}
[TOOL_RESULTS]{{ m.content }} {{ m.tool_call_id }}[/TOOL_RESULTS]
{%- else %}[INST]{{ m.content }}[/INST]{% endif %}{% endfor %}"""
DEEPSEEK = """{% for m in messages %}{{ m.role }}: {% if m.content is not none %}{{ m.content + '' }}{% endif %}
{%- for c in m.tool_calls or [] %}{{ '<｜tool▁call▁begin｜>' + c.function.name + '<｜tool▁sep｜>' + c.function.arguments
+ '<｜tool▁call▁end｜>' }}{% endfor %}{% endfor %}"""
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {}}}},
}
CALL = {
    "id": "call_1234567890",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
}
ROUND = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": None, "reasoning_content": "I look.", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1234567890", "content": "Rain."},
]


class Tokenizer:
    """Its control tokens are all that is asked of it."""

    def __init__(self, *control: str) -> None:
        self.added_tokens_decoder = {1000 + at: _Added(text) for at, text in enumerate(control)}


class _Added:
    special = True

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def loaded(source: str, *control: str, option: str | None = None) -> tuple[Calling, ChatTemplate]:
    program = ChatProgram(source)
    template = ChatTemplate(program=program, program_for_tools=program)
    return find(template, Tokenizer(*control), option), template


def asked(messages: list[Any] = ROUND, **fields: Any) -> ChatCompletionRequest:
    return ChatCompletionRequest(model="m", messages=messages, **fields)


def rendered(source: str, request: ChatCompletionRequest) -> str:
    calling, template = loaded(source)
    return render(template, calling.messages(request), style=calling.rendering.style, tools=calling.tools(request)).text


@pytest.mark.parametrize("source", [HERMES, TEXT_ARGUMENTS, NULL_CONTENT])
def test_calls_reach_a_template_as_it_wants_their_arguments_and_empty_content(source):
    text = rendered(source, asked(tools=[TOOL]))
    assert '{"name": "get_weather", "arguments": {"city": "Oslo"}}' in text
    assert "<tools>" in text
    assert "Rain." in text
    assert "None" not in text


def test_reasoning_of_earlier_turns_reaches_the_template():
    assert "<think>I look.</think>" in rendered(HERMES, asked(tools=[TOOL]))


def test_a_template_of_mistral_gets_ids_of_nine_characters_that_are_the_same_for_call_and_result():
    text = rendered(MISTRAL, asked(tools=[TOOL]))
    short = text.split('"id": "')[1][:9]
    assert f"Rain. {short}[/TOOL_RESULTS]" in text


def test_a_template_without_tools_is_told_them_in_the_systems_text():
    text = rendered(CHATML, asked(tools=[TOOL]))
    assert text.startswith("<|im_start|>system\nYou can call functions.")
    assert '"get_weather"' in text
    assert '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>' in text
    assert "<|im_start|>user\n<tool_response>\nRain.\n</tool_response>" in text


def test_tool_choice_none_tells_the_model_no_tools():
    for source in (CHATML, HERMES):
        assert '"parameters"' not in rendered(source, asked(tools=[TOOL], tool_choice="none"))


@pytest.mark.parametrize(
    ("source", "form"),
    [(CHATML, "generic"), (HERMES, "hermes"), (MISTRAL, "mistral"), (DEEPSEEK, "generic or deepseek_v31")],
)
def test_the_form_is_told_by_the_template(source, form, caplog):
    caplog.set_level("INFO")
    assert loaded(source)[0].form.name == form
    assert form in caplog.text


def test_the_form_is_told_by_control_tokens_where_the_template_says_nothing():
    source = "{{ tools | tojson }}" + CHATML
    assert loaded(source, "<|tool_call_begin|>")[0].form.name == "kimi_k2"


def test_an_option_names_the_form():
    assert loaded(HERMES, option="qwen3_coder")[0].form.name == "qwen3_coder"
    with pytest.raises(LoadError, match="hermes"):
        check_option("nonsense")


def read(source: str, request: ChatCompletionRequest, text: str, prompt: str) -> Delta:
    parser = loaded(source)[0].parser(request, prompt)()
    return joined([*parser.feed(text), *parser.end()])


def test_a_prompt_that_opens_the_reasoning_begins_within_it():
    text = 'I look.\n</think>\n\n<tool_call>\n{"name": "get_weather", "arguments": {}}\n</tool_call>'
    whole = read(HERMES, asked(tools=[TOOL]), text, "<|im_start|>assistant\n<think>\n")
    assert whole.reasoning == "I look."
    assert not whole.content
    assert whole.calls[0].name == "get_weather"


def test_a_prompt_that_closes_the_reasoning_leaves_the_answer():
    assert read(HERMES, asked(), "Fine.", "<think>\n\n</think>\n\n") == Delta("Fine.")


def test_a_model_may_open_its_reasoning_itself():
    assert read(HERMES, asked(), "<think>\nHm.\n</think>\n\nFine.", "") == Delta("Fine.", "Hm.")


def test_reasoning_is_left_out_where_it_is_not_wanted():
    whole = read(HERMES, asked(include_reasoning=False), "<think>\nHm.\n</think>\n\nFine.", "")
    assert whole == Delta("Fine.")


def test_a_message_that_is_continued_within_its_reasoning_goes_on_there():
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "<think>\nFirst"}]
    request = asked(messages, continue_final_message=True)
    assert read(HERMES, request, " second.</think>Fine.", "…<think>\nFirst") == Delta("Fine.", "second.")


def test_control_tokens_that_mark_calls_are_read_and_others_are_not():
    calling, _ = loaded(MISTRAL, "[TOOL_CALLS]", "</s>")
    assert dict(calling.visible) == {1000: "[TOOL_CALLS]"}
    texts = {1: "[", 2: '{"name": "get_weather", "arguments": {}}', 3: "]"}

    def decode(ids: Any) -> str:
        return "".join(texts.get(each, "") for each in ids)

    parser = calling.parser(asked(tools=[TOOL]), "")()
    output = ChoiceOutput(TokenTexts(decode), [], Ending(), parser, calling.visible)
    deltas = [delta for token in (1000, 1, 2, 3, 1001) for delta in output.feed(token)]
    whole = joined([*deltas, *output.end()])
    assert [call.name for call in whole.calls] == ["get_weather"]
    assert not whole.content


@pytest.mark.parametrize(
    "schema",
    [
        {"type": 5, "properties": {"city": {"enum": 5, "anyOf": 7, "type": [1, None]}}, "required": 3},
        {"type": "object", "properties": [1], "required": [2]},
        {"properties": {"city": 5, "days": {"type": "string", "minLength": "x", "pattern": 5, "const": None}}},
        {"$defs": 5, "type": "object", "properties": {"city": {"$ref": "#/$defs/x"}}},
    ],
)
@pytest.mark.parametrize("option", ["qwen3_coder", "glm45", "llama_pythonic", "hermes"])
def test_parameters_that_are_no_schema_break_neither_grammar_nor_parser(schema, option):
    calling, _ = loaded(HERMES, option=option)
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": schema}}
    request = asked(tools=[tool], tool_choice="required")
    assert calling.grammar(request, "", None)
    parser = calling.parser(request, "")()
    parser.feed(WRITTEN[option])
    parser.end()
