"""What a model is made to write is a call, whatever it would say. Some 20 s."""

import json
import random
from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema
import pytest
import tokenizers
import transformers
from llguidance import LLMatcher, LLTokenizer

from fastchat.api import ChatCompletionRequest
from fastchat_worker.chat.reasoning import Reasoning
from fastchat_worker.chat.tools.calling import Calling
from fastchat_worker.chat.tools.forms.families import FORMS
from fastchat_worker.chat.tools.trial import Rendering
from fastchat_worker.chat.turns import TurnStyle
from fastchat_worker.output.parser import Delta, joined
from fastchat_worker.sampling import grammar
from fastchat_worker.sampling.token_table import token_table

CONTROL = (
    "<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|constrain|>", "<|tool_call_begin|>", "<|tool_call_end|>",
    "<|tool_call_argument_begin|>", "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "[TOOL_CALLS]",
    "[ARGS]",
    "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>",
    "<|python_start|>", "<|python_end|>", "<|tool_call|>", "<|action_start|>", "<|plugin|>", "<|action_end|>",
    "<|START_ACTION|>", "<|END_ACTION|>", "[THINK]", "[/THINK]",
)  # fmt: skip
THINK, MISTRAL_THINK = Reasoning("<think>", "</think>"), Reasoning("[THINK]", "[/THINK]")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 8},
        "unit": {"enum": ["°C", "F"]},
        "days": {"type": "integer", "minimum": -9, "maximum": 99},
        "where": {"$ref": "#/$defs/place"},
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
    },
    "required": ["unit", "days"],
    "additionalProperties": False,
    "$defs": {
        "place": {
            "type": "object",
            "properties": {"x": {"type": "number"}},
            "required": ["x"],
            "additionalProperties": False,
        }
    },
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "now"}},
]


class Tokens:
    """A token for each byte, and for each text that is a control token in some family."""

    def __init__(self, *, control: bool) -> None:
        alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
        backend = tokenizers.Tokenizer(tokenizers.models.BPE({each: i for i, each in enumerate(alphabet)}, []))
        backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = tokenizers.decoders.ByteLevel()
        special = ["<eos>", *(CONTROL if control else ())]
        self.tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_object=backend, eos_token="<eos>", additional_special_tokens=special[1:]
        )
        added = self.tokenizer.added_tokens_decoder.items()
        self.control = {str(each): token for token, each in added if each.special and str(each) != "<eos>"}
        self.table: LLTokenizer = token_table(self.tokenizer, len(self.tokenizer), [self.tokenizer.eos_token_id])

    def walk(self, text: str, chance: random.Random, likely: tuple[str, ...], most: int = 4000, begin: str = "") -> str:
        """A text that a grammar takes: tokens by chance, and now and then a text that is likely to end something."""
        matcher = LLMatcher(self.table, text)
        assert not matcher.is_error(), matcher.get_error()
        tokens = self.tokenizer(begin, add_special_tokens=False)["input_ids"] if begin else []
        assert matcher.consume_tokens(tokens), matcher.get_error()
        while len(tokens) < most and not matcher.is_stopped():
            chosen = self._chosen(matcher, chance, likely)
            assert matcher.consume_tokens(chosen), matcher.get_error()
            tokens += chosen
        return str(self.tokenizer.decode(tokens, skip_special_tokens=False)).removesuffix("<eos>")

    def _chosen(self, matcher: LLMatcher, chance: random.Random, likely: tuple[str, ...]) -> list[int]:
        if chance.random() < 0.3:
            for each in chance.sample(likely, len(likely)):
                ids = self.tokenizer(each, add_special_tokens=False)["input_ids"]
                if matcher.validate_tokens(ids) == len(ids):
                    return list(ids)
        mask = matcher.compute_logit_bias()
        allowed = [token for token, bias in enumerate(mask) if bias]
        eos = self.tokenizer.eos_token_id
        if eos in allowed and (len(allowed) == 1 or chance.random() < 0.5):
            return [eos]
        return [chance.choice([token for token in allowed if token != eos])]


@cache
def made(control: bool) -> Tokens:
    return Tokens(control=control)


@pytest.fixture
def tokens(request) -> Tokens:
    return made(request.param)


def asked(**fields: Any) -> ChatCompletionRequest:
    return ChatCompletionRequest(model="m", messages=[{"role": "user", "content": "hi"}], **fields)


def calling(name: str, tokens: Tokens, reasoning: Reasoning | None = None) -> Calling:
    return Calling(FORMS[name], reasoning, Rendering(True, TurnStyle()), False, tokens.control)


def read(how: Calling, wanted: ChatCompletionRequest, text: str, prompt: str = "") -> Delta:
    parser = how.parser(wanted, prompt)()
    return joined([*parser.feed(text), *parser.end()])


def likely(name: str) -> tuple[str, ...]:
    form = FORMS[name]
    ends = form.value[1] if hasattr(form, "value") else ""
    return tuple(filter(None, (f"\n{ends}", ends, '"', "</think>", "[/THINK]", "<|end|>")))


def arguments(whole: Delta) -> list[Mapping[str, Any]]:
    return [json.loads(call.arguments) for call in whole.calls]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("tokens", [False, True], indirect=True, ids=["as text", "control tokens"])
def test_forced_calls_are_read_and_their_arguments_validate(name: str, tokens: Tokens):
    how, chance = calling(name, tokens), random.Random(name)
    for fields in ({"tool_choice": "required"}, {"tool_choice": "required", "parallel_tool_calls": False}) * 2:
        wanted = asked(tools=TOOLS, **fields)
        text = tokens.walk(str(how.grammar(wanted, "", None)), chance, likely(name))
        whole = read(how, wanted, text)
        assert whole.calls, text
        assert not whole.content, text
        if "parallel_tool_calls" in fields:
            assert len(whole.calls) == 1
        for call in whole.calls:
            if call.name == "get_weather":
                jsonschema.validate(json.loads(call.arguments), SCHEMA)
            else:
                assert json.loads(call.arguments) == {}


@pytest.mark.parametrize("name", ["hermes", "mistral", "qwen3_coder", "llama_pythonic"])
@pytest.mark.parametrize("tokens", [False, True], indirect=True, ids=["as text", "control tokens"])
@pytest.mark.parametrize("reasoning", [THINK, MISTRAL_THINK], ids=["think", "mistral"])
def test_reasoning_comes_before_forced_calls(name: str, tokens: Tokens, reasoning: Reasoning):
    how, wanted, chance = calling(name, tokens, reasoning), asked(tools=TOOLS, tool_choice="required"), random.Random(1)
    for prompt in ("", f"…{reasoning.opening}\n"):
        for _ in range(3):
            text = tokens.walk(str(how.grammar(wanted, prompt, None)), chance, likely(name))
            whole = read(how, wanted, text, prompt)
            assert whole.calls, text
            assert not whole.content, text
            assert bool(whole.reasoning.strip()) <= (reasoning.closing in text)


@pytest.mark.parametrize("name", FORMS)
def test_an_answer_in_a_form_may_come_instead_of_a_call(name: str):
    tokens, chance = made(control=True), random.Random(name)
    how, wanted = calling(name, tokens), asked(tools=TOOLS)
    answer = grammar.json_schema({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
    kinds = set()
    for _ in range(12):
        whole = read(how, wanted, tokens.walk(str(how.grammar(wanted, "", answer)), chance, likely(name)))
        kinds.add("call" if whole.calls else "answer")
        if not whole.calls:
            assert "a" in json.loads(whole.content)
    assert kinds == {"call", "answer"}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("tokens", [False, True], indirect=True, ids=["as text", "control tokens"])
def test_strict_arguments_keep_to_the_schema_once_a_call_has_begun(name: str, tokens: Tokens):
    how, form = calling(name, tokens), FORMS[name]
    function = {**TOOLS[0]["function"], "strict": True}
    wanted = asked(tools=[{"type": "function", "function": function}])
    text = str(how.grammar(wanted, "", None))
    matcher = LLMatcher(tokens.table, text)
    plain = how.grammar(asked(tools=TOOLS), "", None)
    assert plain is None
    said = {"harmony": "<|channel|>final<|message|>Hi", "functionary_v3": "all\nHi"}.get(name, "Hi there, 1 < 2.")
    ids = tokens.tokenizer(said, add_special_tokens=False)["input_ids"]
    assert matcher.validate_tokens(ids) == len(ids), matcher.get_error()
    before = form.frame.before or {"harmony": "<|channel|>commentary to=functions."}.get(name, "")
    wrong = tokens.tokenizer(before + "zzz", add_special_tokens=False)["input_ids"]
    if before and not form.name.startswith("llama_"):
        assert matcher.validate_tokens(wrong) < len(wrong)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("tokens", [False, True], indirect=True, ids=["as text", "control tokens"])
def test_whatever_is_written_beside_strict_functions_every_call_validates(name: str, tokens: Tokens):
    how, form, chance = calling(name, tokens), FORMS[name], random.Random(name)
    wanted = asked(tools=[{"type": "function", "function": {**TOOLS[0]["function"], "strict": True}}])
    wishes = (*likely(name), *form.openings, form.frame.before, "{", "[", "get_weather", '{"name": "get_weather", ')
    first = form.frame.before or {"harmony": "<|channel|>comm", "functionary_v3": "get_w"}.get(name, "{")
    called = 0
    for begin in ("", "", first, first, first):
        text = tokens.walk(str(how.grammar(wanted, "", None)), chance, tuple(filter(None, wishes)), 600, begin)
        for call in read(how, wanted, text).calls:
            if text_is_whole(call.arguments):
                jsonschema.validate(json.loads(call.arguments), SCHEMA)
                called += 1
    assert called


def text_is_whole(arguments: str) -> bool:
    """The walk may have ended within a call."""
    try:
        json.loads(arguments)
    except ValueError:
        return False
    return True
