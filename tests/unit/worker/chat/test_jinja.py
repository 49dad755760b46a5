"""Chat templates run as transformers runs them, and within bounds."""

from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from fastchat_worker.chat import jinja
from fastchat_worker.chat.jinja import BrokenError, ChatProgram, RefusedError, UnboundedError

MESSAGES = [
    {"role": "system", "content": "Be <b>brief</b> & 'kind'."},
    {"role": "user", "content": "Grüße ☃"},
    {"role": "assistant", "content": "Hm", "tool_calls": [{"function": {"name": "f", "arguments": {"b": 1, "a": 2}}}]},
]
TEMPLATES = [
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
    "{%- for m in messages -%}\n    {{- m['role'] | upper + '\\n' + m['content'] | trim }}\n{%- endfor -%}",
    "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ loop.index }}{{ m.content }}{% endfor %}",
    "{% for m in messages %}{{ m.content | tojson }}{{ m | tojson(indent=2) }}{% endfor %}",
    "{% macro say(m, n=2) %}{{ m.content * n }}{% endmacro %}{% for m in messages %}{{ say(m) }}{% endfor %}",
    "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
    "{% set ns = namespace(x=dict(a=1), t='') %}{% for m in messages %}{% set ns.t = ns.t ~ m.role ~ ns.x.a %}"
    "{% endfor %}{{ ns.t }}",
    "{% for k, v in messages[2].items() recursive %}{{ k }}={{ v is string }};{% endfor %}{{ messages[::-1][0].role }}",
    "{{ messages | map(attribute='role') | join }}{{ messages | selectattr('role', 'eq', 'user') | list | count }}",
    "{{ bos_token }}{% if tools is defined and tools %}{{ tools }}{% else %}-{% endif %}{{ '%s' % messages[0].role }}",
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_writes_what_it_writes_with_transformers(template):
    theirs, _ = render_jinja_template([MESSAGES], chat_template=template, bos_token="<s>", add_generation_prompt=True)
    variables = {"messages": MESSAGES, "tools": None, "bos_token": "<s>", "add_generation_prompt": True}
    assert ChatProgram(template).render(variables) == theirs[0]


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("a\n{% for m in messages %}", 2),
        ("{{ m.content }\n", 1),
        ("{% if x %}\n\n{% endfor %}", 3),
        ("{{ x | nope }}", 1),
    ],
)
def test_an_error_in_a_template_is_named_with_its_line(template, line):
    with pytest.raises(BrokenError, match=f"line {line}: "):
        ChatProgram(template)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("\n{{ messages.nothing.more }}", "line 2: .*has no attribute 'nothing'"),
        ("{{ 1 + 'a' }}", "line 1: unsupported operand"),
        ("{{ 1 / 0 }}", "line 1: division by zero"),
        ("{{ ''.__class__.__mro__ }}", "line 1: .*unsafe"),
        ("{{ 2 ** 9 }}", "not for chat templates"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    ],
)
def test_what_a_template_fails_with_is_one_kind_of_error(template, said):
    with pytest.raises(BrokenError, match=said):
        ChatProgram(template).render({"messages": MESSAGES})


def test_the_words_of_raise_exception_come_back():
    with pytest.raises(RefusedError) as error:
        ChatProgram("{{ raise_exception('System role not supported') }}").render({})
    assert str(error.value) == "System role not supported"


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% for i in range(100000) %}{% for j in range(100000) if false %}{% endfor %}{% endfor %}",
    ],
)
def test_a_template_that_does_not_end_is_ended(template, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jinja, "MOST_SECONDS", 0.2)
    with pytest.raises(UnboundedError, match="runs for more than"):
        ChatProgram(template).render({})


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(100000) %}{{ 'a' * 1000 }}{% endfor %}",
        "{{ 'a' * 10000000000 }}",
        "{{ [1] * 10000000000 }}",
        "{% set ns = namespace(t='aaaaaaaa') %}{% for i in range(40) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}",
        "{% set ns = namespace(t='aaaaaaaa') %}{% for i in range(40) %}{% set ns.t = ns.t + ns.t %}{% endfor %}",
    ],
)
def test_a_template_that_writes_without_end_is_ended(template):
    with pytest.raises(UnboundedError, match="characters"):
        ChatProgram(template).render({})


def test_a_long_conversation_is_within_the_bounds():
    messages: list[Any] = [{"role": "user", "content": "x" * 2048}] * 4096
    assert len(ChatProgram(TEMPLATES[0]).render({"messages": messages})) > 8 << 20
