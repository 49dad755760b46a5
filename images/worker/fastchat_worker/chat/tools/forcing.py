"""Grammars that make a model write calls, in the form that it knows."""

import json

from fastchat.api.tools import ToolUse
from fastchat_worker.chat.reasoning import Reasoning
from fastchat_worker.chat.tools.forms.channels import FunctionaryCalls, HarmonyCalls
from fastchat_worker.chat.tools.forms.form import Form
from fastchat_worker.chat.tools.forms.writing import Writing

_MOST_CALLS = 8  # that one turn is made to keep to; a small model repeats itself without end


def forced(form: Form, use: ToolUse, writing: Writing) -> str:
    """Calls and nothing else: `tool_choice` required, or a function that is named."""
    return f"{writing.text(form.frame.before)} {_calls(form, use, writing)}"


def chosen(form: Form, use: ToolUse, writing: Writing) -> str:
    """Any text; where a call begins it keeps to the schema, as `strict` wants it."""
    if isinstance(form, HarmonyCalls):
        head = f"{writing.text('<|channel|>')} /final|commentary/ {writing.text('<|message|>')}"
        return f"(({_calls(form, use, writing)}) | {head} TEXT)"
    if isinstance(form, FunctionaryCalls):
        return f'(({_calls(form, use, writing)}) | "all\\n" TEXT)'
    before = form.frame.before
    mark = next((each for each in form.openings if before.startswith(each)), "")
    others = [each for each in form.openings if each != mark]
    first = writing.without(others, bare=form.bare)
    if not mark:
        return f"({forced(form, use, writing)} | {first})"
    after = writing.without(others, bare=False)
    calls = f"{writing.text(before.removeprefix(mark))} {_calls(form, use, writing)}"
    more = f"({writing.up_to_call(mark, after)} {calls})* {after}"
    return f"({first} | {writing.up_to_call(mark, first)} {calls} {more})"


def with_answer(start: str, answer: str | None, writing: Writing) -> str:
    """A grammar in llguidance's notation. answer: another one, to which @answer refers."""
    text = writing.grammar(start)
    if answer is None:
        return text
    other = json.loads(answer)["grammars"][0] if answer.lstrip().startswith("{") else {"lark_grammar": answer}
    return json.dumps({"grammars": [{"name": "message", "lark_grammar": text}, {**other, "name": "answer"}]})


def lead(form: Form | None, reasoning: Reasoning | None, writing: Writing, *, begun: bool) -> str:
    """The reasoning that may come first, or goes on."""
    if isinstance(form, HarmonyCalls):
        head = f'{writing.text("<|channel|>")} "analysis" {writing.text("<|message|>")}'
        return f'({head} {writing.up_to("<|end|>")} {writing.text("<|start|>")} "assistant")?'
    if reasoning is None:
        return ""
    end = f"{writing.up_to(reasoning.closing)} /\\n{{0,2}}/"
    return end if begun else f"({writing.text(reasoning.opening)} {end})?"


def _calls(form: Form, use: ToolUse, writing: Writing) -> str:
    """One of the functions offered, or several, and what closes them."""
    frame = form.frame
    one = " | ".join(f"({form.rule(each, writing)})" for each in use.offered)
    rule = writing.named("call", one)
    several = frame.several and not use.names_one and use.parallel_tool_calls is not False
    more = f"({writing.text(frame.between)} {rule}){{0,{_MOST_CALLS - 1}}}" if several else ""
    return " ".join(filter(None, (rule, more, writing.text(frame.after))))
