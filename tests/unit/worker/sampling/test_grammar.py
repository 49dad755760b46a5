import json
import re
from collections.abc import Callable

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from fastchat_worker.sampling import grammar
from fastchat_worker.sampling.grammar import Grammars
from fastchat_worker.sampling.grammar_state import GrammarError, allowed_tokens

END = 1
LONG = 2**18 + 1


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """A token for each byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = {"<s>": 0, "</s>": END} | {letter: i for i, letter in enumerate(alphabet, 2)}
    made = Tokenizer(models.BPE(tokens, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")


@pytest.fixture(scope="module")
def grammars(tokenizer) -> Grammars:
    return Grammars(tokenizer, len(tokenizer), {END})


@pytest.fixture(scope="module")
def takes(tokenizer, grammars) -> Callable[[str, str], bool]:
    """Whether a grammar takes a text and lets it end there."""

    def check(text_of_grammar: str, text: str) -> bool:
        state = grammars.compile(text_of_grammar)()
        for token in [*tokenizer(text, add_special_tokens=False)["input_ids"], END]:
            (words,) = allowed_tokens([state])
            assert words is not None
            if not words[token // 32] >> (token % 32) & 1:
                return False
            state.accept(token)
        return True

    return check


PERSON = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
CALL = f'start: "<call>" arguments "</call>"\narguments: %json {json.dumps(PERSON)}'


@pytest.mark.parametrize(
    ("text_of_grammar", "taken", "refused"),
    [
        (grammar.json_schema(PERSON), '{"a":1}', '{"a":"1"}'),
        (grammar.json_schema(True), "[1,null]", "[1,nil]"),
        (grammar.json_object(), '{"a":[1,{}]}', "[]"),
        (grammar.regex(r"\d{3}-[a-z]+"), "123-ab", "123-"),
        (grammar.choice(["yes", 'né "x"\n😀']), 'né "x"\n😀', "no"),
        (grammar.choice(["yes", "yes more"]), "yes", "yes mor"),
        (grammar.lark('start: "a" B+\nB: /[0-9]/'), "a12", "a"),
        (grammar.lark(CALL), '<call>{"a":7}</call>', "<call>{}</call>"),
        (grammar.lark_or_gbnf('root ::= "a" x+\nx ::= [0-9] | "\\u00e9"'), "a1é", "é"),
        (grammar.lark_or_gbnf('start: "a" | "::="'), "::=", "b"),
        (grammar.either(grammar.json_object(), grammar.choice(["no"])), "no", "yes"),
        (grammar.either(grammar.lark(CALL), grammar.json_schema(PERSON)), '{"a":1}', "{}"),
    ],
)
def test_a_grammar_takes_its_texts_and_no_others(takes, text_of_grammar, taken, refused):
    assert takes(text_of_grammar, taken)
    assert not takes(text_of_grammar, refused)


def test_a_document_has_no_blanks_unless_the_schema_asks_for_them(takes):
    assert not takes(grammar.json_schema(PERSON), '{"a": 1}')
    assert takes(grammar.json_schema(PERSON | {"x-guidance": {"whitespace_flexible": True}}), '{ "a": 1\n}')


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: grammar.json_schema({"not": {"type": "string"}}), 'Unimplemented keys: \\["not"]'),
        (lambda: grammar.json_schema({"not": {}, "x-guidance": {"lenient": True}}), 'Unimplemented keys: \\["not"]'),
        (lambda: grammar.json_schema({"type": "array", "uniqueItems": True}), "uniqueItems"),
        (lambda: grammar.json_schema({"type": "strin"}), "Invalid type: strin"),
        (lambda: grammar.json_schema({"type": "string", "format": "colour"}), "Unknown format: colour"),
        (lambda: grammar.json_schema({"$ref": "http://example.com/a"}), "not present in a registry"),
        (lambda: grammar.json_schema(False), "takes no document"),
        (lambda: grammar.json_schema({"$ref": "#"}), "no text keeps it"),
        (lambda: grammar.json_schema({"type": "string", "minLength": 5, "maxLength": 2}), "is greater than"),
        (lambda: grammar.json_schema({"oneOf": [{"type": "string"}, {"maxLength": 3}]}), "oneOf constraints are not"),
        (lambda: grammar.regex("(" * 2000 + "a" + ")" * 2000), "nested parentheses"),
        (lambda: grammar.json_schema({"const": "x" * LONG}), "characters, more than 262144"),
        (lambda: grammar.json_schema({"type": "integer", "multipleOf": 1000003}), "multipleOf: 1000003"),
        (lambda: grammar.lark('start: %json {"multiple\\u004ff": 1000003}'), "multipleOf: 1000003"),
        (lambda: grammar.json_schema({"allOf": [{"multipleOf": n, "type": "integer"} for n in (97, 89, 7)]}), "97"),
        (lambda: grammar.regex("("), "unclosed group"),
        (lambda: grammar.regex("(?=a)b"), "look-around"),
        (lambda: grammar.lark("start: foo"), "foo"),
        (lambda: grammar.lark("start: " + "(" * 30_000), "too deeply nested"),
        (lambda: grammar.lark_or_gbnf("root ::= " + "(" * 30_000), "recursion"),
        (lambda: grammar.lark_or_gbnf("root ::= x"), "Rule 'x' not found"),
        (lambda: grammar.lark_or_gbnf("\n".join(f'r{i} ::= "a"' for i in range(501))), "501 rules, more than 500"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_in_one_line_that_names_it(grammars, make, message):
    with pytest.raises(GrammarError) as refused:
        grammars.compile(make())
    assert re.search(message, str(refused.value))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) <= 300


def test_a_grammar_that_grows_too_ambiguous_says_so_and_allows_nothing_more(tokenizer, grammars):
    state = grammars.compile(grammar.lark('start: s+\ns: "a" | s s | s s s | ""'))()
    (letter,) = tokenizer("a")["input_ids"]
    for _ in range(2000):
        (words,) = allowed_tokens([state])
        if state.error:
            break
        state.accept(letter)
    assert "items" in state.error
    assert words is not None
    assert not words.any()
    assert not state.complete


def test_sequences_of_one_grammar_do_not_know_of_each_other(tokenizer, grammars):
    make = grammars.compile(grammar.choice(["ab", "cd"]))
    a, c = tokenizer("ac")["input_ids"]
    first, second = make(), make()
    first.accept(a)
    second.accept(c)
    assert [_count(words) for words in allowed_tokens([first, None, second])] == [1, None, 1]
    assert not np.array_equal(*allowed_tokens([first, second]))  # type: ignore[arg-type]


def test_a_text_is_complete_where_nothing_can_follow(tokenizer, grammars):
    state = grammars.compile(grammar.choice(["a", "ab"]))()
    a, b = tokenizer("ab")["input_ids"]
    state.accept(a)
    assert not state.complete
    state.accept(b)
    assert state.complete


def test_a_grammar_is_compiled_once_while_it_is_used(grammars):
    text = grammar.choice(["once"])
    grammars.compile(text)
    compiled = grammars._kept[text]
    for i in range(40):
        grammars.compile(grammar.choice([str(i)]))
        grammars.compile(text)
    assert grammars._kept[text] is compiled
    assert len(grammars._kept) == 32


def _count(words: np.ndarray | None) -> int | None:
    return None if words is None else int(np.unpackbits(words.view(np.uint8)).sum())
