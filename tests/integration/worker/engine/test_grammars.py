"""Sequences that keep a grammar, beside others that keep none."""

import json
import math

import pytest
import torch
import transformers

from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.sampling import grammar
from fastchat_worker.sampling.grammar import Grammars
from fastchat_worker.sampling.parameters import Sampling

END = 1
PROMPT = [40, 50, 60]
PLAIN = Sampling(temperature=0)
WILD = Sampling(temperature=1.5, top_p=0.9, top_k=40, presence_penalty=0.5, frequency_penalty=0.5, seed=7)
AMBIGUOUS = 'start: s+\ns: "a" | s s | s s s | ""'


@pytest.fixture
def model(tiny_folder):
    return transformers.AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)


@pytest.fixture(scope="module")
def tokenizer(tiny_folder):
    return transformers.AutoTokenizer.from_pretrained(tiny_folder)


@pytest.fixture(scope="module")
def grammars(tokenizer) -> Grammars:
    return Grammars(tokenizer, len(tokenizer), {END})


@pytest.fixture
def sequence(grammars):
    def make(text: str | None, most: int = 99, sampling: Sampling = PLAIN) -> Sequence:
        made = Sequence(PROMPT, most, frozenset({END}), sampling)
        made.grammar = grammars.compile(text)() if text else None
        return made

    return make


def test_a_text_that_can_only_end_ends_with_its_last_token(model, tokenizer, run_engine, sequence):
    one = sequence(grammar.choice(["yes", "no"]))
    (tokens,) = run_engine(model).generate([one])
    assert tokenizer.decode(tokens) in ("yes", "no")
    assert one.finish == "stop"


def test_a_text_that_may_go_on_ends_with_an_end_token(model, tokenizer, run_engine, sequence):
    one = sequence(grammar.regex("a+"), sampling=Sampling(temperature=0, logit_bias={END: 100}))
    (tokens,) = run_engine(model).generate([one])
    assert (tokenizer.decode(tokens[:-1]), tokens[-1], one.finish) == ("a", END, "stop")


def test_a_text_that_is_too_long_is_cut(model, tokenizer, run_engine, sequence):
    one = sequence(grammar.regex("[ab]{50}"), most=20)
    (tokens,) = run_engine(model).generate([one])
    assert (len(tokens), set(tokenizer.decode(tokens)) <= {"a", "b"}, one.finish) == (20, True, "length")


def test_the_last_token_that_may_come_completes_a_text(model, run_engine, sequence):
    one = sequence(grammar.regex("[ab]{20}"), most=20)
    run_engine(model).generate([one])
    assert one.finish == "stop"


def test_a_grammar_holds_whatever_biases_penalties_and_chance_favour(model, tokenizer, run_engine, sequence):
    (digit,) = tokenizer("7")["input_ids"]
    favoured = Sampling(temperature=1.5, top_p=0.5, seed=3, logit_bias={digit: 100, END: 100}, frequency_penalty=2)
    texts = run_engine(model).generate([sequence(grammar.regex("[a-z]{9}[0-9]"), sampling=favoured) for _ in range(9)])
    assert all(tokenizer.decode(tokens)[:9].isalpha() for tokens in texts)
    assert {tokenizer.decode(tokens)[9:] for tokens in texts} == {"7"}


def test_a_seed_gives_the_same_document_whatever_else_is_in_the_batch(model, run_engine, sequence):
    text = grammar.json_schema({"type": "string", "minLength": 20, "maxLength": 30})
    (alone,) = run_engine(model).generate([sequence(text, sampling=WILD)])
    beside = [sequence(None, most=9), sequence(text, sampling=WILD), sequence(grammar.regex("[0-9]{40}"))]
    assert run_engine(model).generate(beside)[1] == alone


def test_sequences_without_a_grammar_are_what_they_are_without_neighbours(model, run_engine, sequence):
    (alone,) = run_engine(model).generate([sequence(None, sampling=WILD)])
    beside = [sequence(grammar.json_object(), most=30), sequence(None, sampling=WILD)]
    assert run_engine(model).generate(beside)[1] == alone


def test_each_of_many_documents_is_its_own(model, tokenizer, run_engine, sequence):
    text = grammar.json_schema({"enum": [f"{i:03}" for i in range(500)]})
    sequences = [sequence(text, sampling=Sampling(temperature=2, seed=i)) for i in range(30)]
    texts = [tokenizer.decode(tokens) for tokens in run_engine(model).generate(sequences)]
    assert all(0 <= int(json.loads(text)) < 500 for text in texts)
    assert len(set(texts)) > 10


def test_a_grammar_that_cannot_go_on_ends_its_own_sequence_only(model, run_engine, sequence):
    bad = sequence(grammar.lark(AMBIGUOUS), most=400, sampling=Sampling(temperature=0, logit_bias={END: -100}))
    good = sequence(grammar.regex(f"[ab]{{{400}}}"), most=400)
    run_engine(model, max_waiting=9).generate([bad, good])
    assert (bad.finish, good.finish) == ("grammar", "stop")
    assert bad.grammar
    assert "items" in bad.grammar.error


def test_an_end_that_has_no_alternative_comes_although_it_is_forbidden(model, tokenizer, run_engine, sequence):
    for text in (grammar.choice(["ab"]), grammar.lark('start: "ab" rest\nrest: "" | rest'), grammar.regex("ab(c{0})")):
        one = sequence(text, sampling=Sampling(temperature=0, logit_bias={END: -math.inf}))
        (tokens,) = run_engine(model).generate([one])
        assert tokenizer.decode(tokens, skip_special_tokens=True) == "ab"
        assert one.finish == "stop"
