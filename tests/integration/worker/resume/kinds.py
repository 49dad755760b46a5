"""Requests of every kind, each of which streams.

Those that draw do so from few tokens: the noise that the model is has thousands about as likely, so that the last digit
of a float32, which depends on who else is in a step, would often decide between two.
"""

from typing import Any

CHAT, COMPLETIONS, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"

Kind = tuple[str, dict[str, Any]]
"""Path and body of a request."""

TEMPLATE = """{% if tools %}<|im_start|>system
Tools: {% for tool in tools %}{{ tool | tojson }}{% endfor %}<|im_end|>
{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content or "" }}{% for call in m.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if thinking %}<think>
{% endif %}{% endif %}"""
"""Has its model called for tools and reason."""

_COUNT = "one 1️⃣ two 2️⃣, th three, fo fou four. And five 🇨🇭 more."
"""Characters of several tokens, and beginnings of stop texts."""

SCRIPT = (
    {
        "when": "the weather",
        "say": "<think>\nPeople ask for 🦙 weather.\n</think>\n\nLet me see. <tool_ \n<tool_call>\n"
        '{"name": "get_weather", "arguments": {"city": "Zürich 🏔️", "unit": "celsius"}}\n</tool_call>\n<tool_call>\n'
        '{"name": "get_weather", "arguments": {"city": "Paris", "unit": "celsius"}}\n</tool_call>',
    },
    {"when": "count", "say": _COUNT},
)
"""What the model says to whom; else what it likes."""

_CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "unit": {"enum": ["celsius", "fahrenheit"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
_FUNCTION = {"name": "get_weather", "description": "Weather", "parameters": _CITY}
_TOOL = {"type": "function", "function": _FUNCTION}
_SCHEMA = {"type": "json_schema", "json_schema": {"name": "city", "schema": _CITY}}


def _chat(text: str = "Say something.", **fields: Any) -> Kind:
    return CHAT, {"messages": [{"role": "user", "content": text}], "max_tokens": 20, "temperature": 0, **fields}


def _completion(prompt: Any = "Once upon", **fields: Any) -> Kind:
    return COMPLETIONS, {"prompt": prompt, "max_tokens": 16, "temperature": 0, **fields}


def _response(text: str = "Say something.", **fields: Any) -> Kind:
    return RESPONSES, {"input": text, "max_output_tokens": 20, "store": False, **fields}


def _message(text: str = "Say something.", **fields: Any) -> Kind:
    return MESSAGES, {"messages": [{"role": "user", "content": text}], "max_tokens": 20, **fields}


_OTHER_TOOL = {"name": "get_weather", "description": "Weather", "input_schema": _CITY}

ONE: dict[str, Kind] = {
    "greedy": _chat(),
    "seeded": _chat(temperature=1, top_k=8, seed=7, top_p=0.9),
    "unseeded": _chat(temperature=1, top_k=8),
    "penalties": _chat(
        temperature=0.7, top_k=8, presence_penalty=1, frequency_penalty=0.5, repetition_penalty=1.2, min_tokens=12,
        logit_bias={"11": 4, "2": 9},
    ),
    "ignores the end": _chat(ignore_eos=True, temperature=1, top_k=8, skip_special_tokens=False),
    "tools": _chat("How is the weather?", tools=[_TOOL], max_tokens=160),
    "forced call": _chat(tools=[_TOOL], tool_choice="required", max_tokens=60, parallel_tool_calls=False),
    "older call": _chat(functions=[_FUNCTION], function_call={"name": "get_weather"}, max_tokens=60),
    "schema": _chat(response_format=_SCHEMA, temperature=1, top_k=8, max_tokens=60),
    "regex": _chat(guided_regex="[a-f]{3,9}-[0-9 ]{4,9}!", temperature=1, top_k=8, max_tokens=40),
    "reasoning": _chat(chat_template_kwargs={"thinking": True}, temperature=1, top_k=8),
    "read reasoning": _chat("How is the weather?", max_tokens=160),
    "logprobs": _chat(guided_choice=[_COUNT], logprobs=True, top_logprobs=3, max_tokens=60),
    "logprobs of noise": _chat(logprobs=True, top_logprobs=2, temperature=1, top_k=8),
    "stop": _chat("Please count.", stop=["four. And five 🇨🇭 or", "four. And"], max_tokens=60),
    "stop with logprobs": _chat(guided_choice=[_COUNT], stop=["🇨🇭 mo"], logprobs=True, max_tokens=60),
    "stop included": _chat("Please count.", stop=[" fou fo"], max_tokens=60, include_stop_str_in_output=True),
    "usage": _chat("Please count.", stream_options={"include_usage": True}, max_tokens=60),
    "continuous usage": _chat(
        "Please count.", stream_options={"include_usage": True, "continuous_usage_stats": True}, max_tokens=60
    ),
    "token ids": _chat("Please count.", return_token_ids=True, max_tokens=60),
    "completion": _completion(stream_options={"include_usage": True}),
    "echo": _completion(echo=True, temperature=1, top_k=8),
    "echo with logprobs": _completion("🦙s", guided_choice=[_COUNT], echo=True, logprobs=2, max_tokens=60),
    "echo alone": _completion(echo=True, logprobs=1, max_tokens=0),
    "completion logprobs": _completion(
        guided_choice=[_COUNT], logprobs=2, max_tokens=60, return_token_ids=True
    ),
    "response": _response(),
    "response with logprobs": _response(include=["message.output_text.logprobs"], top_logprobs=2, temperature=0),
    "response with calls": _response(
        "How is the weather?", tools=[{"type": "function", **_FUNCTION}], max_output_tokens=160
    ),
    "response summary": _response("How is the weather?", reasoning={"summary": "auto"}, max_output_tokens=160),
    "message": _message(),
    "message with tools": _message("How is the weather?", tools=[_OTHER_TOOL], max_tokens=160),
    "message with stop": _message("Please count.", stop_sequences=["four. And"], max_tokens=60),
}  # fmt: skip
"""Of one choice."""

SEVERAL: dict[str, Kind] = {
    "three": _chat(n=3, temperature=1, top_k=8),
    "three calls": _chat("How is the weather?", n=3, tools=[_TOOL], max_tokens=160),
    "two prompts": _completion(["Once", "Please count"], n=2, echo=True, temperature=1, top_k=8, seed=3),
    "three schemas": _chat(n=3, response_format=_SCHEMA, temperature=1, top_k=8, max_tokens=40, logprobs=True),
}
"""Of several."""
