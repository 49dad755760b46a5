"""Tools over HTTP, of models whose templates know none: one of 135M parameters, and random ones that need no wit."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import openai
import pytest
from support.vicuna import vicuna_folder
from support.workers import WorkerProcess

CITY = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": CITY}}
NOW = {"type": "function", "function": {"name": "now", "description": "The time"}}
QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]
NAMED = {"type": "function", "function": {"name": "get_weather"}}


def ask(llm: httpx.Client, **fields: Any) -> httpx.Response:
    body = {"model": "smollm2", "messages": QUESTION, "temperature": 0, "max_tokens": 96, **fields}
    return llm.post("/v1/chat/completions", json=body)


@contextmanager
def _random_model(folder: Path, *options: str) -> Iterator[tuple[httpx.Client, str]]:
    """A client of a worker of two layers of random weights under the same name, and the worker's log."""
    arguments = ("--model-name", "smollm2", "--model-path", str(vicuna_folder(folder / "model")), *options)
    worker = WorkerProcess(folder, *arguments)
    try:
        with httpx.Client(base_url=worker.wait_ready().url, timeout=600) as client:
            yield client, worker.log.read_text()
    finally:
        worker.stop()


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Iterator[httpx.Client]:
    """A model that can only do what a grammar makes it do, and whose conversation knows no tools."""
    with _random_model(tmp_path_factory.mktemp("small"), "--chat-template", "vicuna_v1.1") as (client, _):
        yield client


def choice(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


def test_a_named_function_is_called_once_with_arguments_that_validate(llm):
    called = choice(ask(llm, tools=[WEATHER, NOW], tool_choice=NAMED))
    (call,) = called["message"]["tool_calls"]
    assert called["finish_reason"] == "tool_calls"
    assert called["message"]["content"] is None
    assert call["type"] == "function"
    assert call["function"]["name"] == "get_weather"
    jsonschema.validate(json.loads(call["function"]["arguments"]), CITY)


def test_required_calls_one_of_the_functions(small):
    called = choice(ask(small, tools=[NOW], tool_choice="required", parallel_tool_calls=False))
    (call,) = called["message"]["tool_calls"]
    assert call["function"]["name"] == "now"
    assert isinstance(json.loads(call["function"]["arguments"]), dict)


def test_allowed_tools_leave_the_others_out(small):
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}
    called = choice(ask(small, tools=[NOW, WEATHER], tool_choice=allowed, parallel_tool_calls=False))
    assert [call["function"]["name"] for call in called["message"]["tool_calls"]] == ["get_weather"]


def test_none_and_auto_leave_the_model_to_answer_in_words(llm):
    for tool_choice in ("none", "auto"):
        said = choice(ask(llm, tools=[WEATHER], tool_choice=tool_choice, max_tokens=12))["message"]
        assert said["content"]
        assert "tool_calls" not in said


def test_a_stream_adds_up_to_the_whole(small):
    whole = choice(ask(small, tools=[WEATHER, NOW], tool_choice=NAMED))
    client = openai.OpenAI(base_url=f"{small.base_url}/v1", api_key="none")
    stream = client.chat.completions.create(
        model="smollm2",
        messages=QUESTION,
        temperature=0,
        max_tokens=96,
        tools=[WEATHER, NOW],
        tool_choice=NAMED,
        stream=True,
    )
    chunks = [chunk.choices[0] for chunk in stream]
    calls = [call for chunk in chunks for call in chunk.delta.tool_calls or ()]
    assert len(calls) > 3
    assert calls[0].id
    assert calls[0].function.name == "get_weather"
    arguments = "".join(call.function.arguments for call in calls)
    assert arguments == whole["message"]["tool_calls"][0]["function"]["arguments"]
    assert chunks[-1].finish_reason == "tool_calls"


def test_the_older_functions_are_called_under_their_own_names(small):
    called = choice(ask(small, functions=[WEATHER["function"]], function_call={"name": "get_weather"}))
    assert called["finish_reason"] == "function_call"
    jsonschema.validate(json.loads(called["message"]["function_call"]["arguments"]), CITY)


@pytest.mark.parametrize("arguments", ['{"city": "Paris"}', {"city": "Paris"}, "no JSON"])
def test_the_result_of_a_call_is_told_to_the_model(llm, arguments):
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    conversation = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "It is 21 degrees and foggy."},
    ]
    said = choice(ask(llm, messages=conversation, tools=[WEATHER], max_tokens=16))["message"]["content"]
    assert "21" in said or "fog" in said


def test_strict_functions_leave_other_text_alone(small):
    strict = {"type": "function", "function": {**WEATHER["function"], "strict": True}}
    said = choice(ask(small, messages=[{"role": "user", "content": "Say hello."}], tools=[strict], max_tokens=8))
    assert said["message"]["content"]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "other"),
        ({"tool_choice": "required"}, "tools"),
        ({"tools": [WEATHER, WEATHER]}, "twice"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [WEATHER], "chat_template_kwargs": {"messages": []}}, "messages"),
        (
            {
                "tools": [{"type": "function", "function": {"name": "f", "parameters": {"$ref": "http://x/y"}}}],
                "tool_choice": "required",
            },
            "tools",
        ),
    ],
)
def test_tools_that_cannot_be_kept_are_refused(small, fields, word):
    refused = ask(small, **fields)
    assert refused.status_code == 400
    assert word in refused.text


HERMES = """{% if tools %}<|im_start|>system
Tools: {% for tool in tools %}{{ tool | tojson }}{% endfor %}<|im_end|>
{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content or "" }}{% for call in m.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if thinking %}<think>
{% endif %}{% endif %}"""


@pytest.fixture(scope="module")
def hermes(tmp_path_factory) -> Iterator[httpx.Client]:
    """A worker whose template writes tools, and opens the reasoning where it is asked to."""
    folder = tmp_path_factory.mktemp("hermes")
    (folder / "hermes.jinja").write_text(HERMES)
    with _random_model(folder, "--chat-template", str(folder / "hermes.jinja")) as (client, log):
        assert "calls of tools: hermes (by the chat template)" in log
        yield client


def test_a_template_that_knows_tools_writes_them(hermes):
    called = choice(ask(hermes, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False))
    jsonschema.validate(json.loads(called["message"]["tool_calls"][0]["function"]["arguments"]), CITY)


def test_what_follows_an_opened_think_mark_is_reasoning(hermes):
    thinking = {"chat_template_kwargs": {"thinking": True}}
    thought = choice(ask(hermes, max_tokens=6, **thinking))["message"]
    assert thought["reasoning"] == thought["reasoning_content"]
    assert thought["reasoning"]
    assert not thought["content"]
    silent = choice(ask(hermes, max_tokens=6, include_reasoning=False, **thinking))["message"]
    assert "reasoning" not in silent
    assert choice(ask(hermes, max_tokens=6, reasoning_effort="none", messages=QUESTION))["message"]["content"]
