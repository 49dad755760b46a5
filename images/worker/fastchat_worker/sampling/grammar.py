"""Forms that a completion must keep, as llguidance's grammar texts, and what those become for a model's tokens.

The notation is described at https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md.
"""

import json
import math
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from llguidance import LLExecutor, LLMatcher, LLParserLimits
from llguidance.gbnf_to_lark import gbnf_to_lark

from fastchat_worker.sampling.grammar_state import GrammarError, GrammarState, Words, reason
from fastchat_worker.sampling.token_table import token_table

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

LONGEST = 2**18
"""Characters of a grammar text; a longer one is refused."""

_KEPT = 32  # compiled grammars
# So a grammar takes at most some MiB and half a second, a step of one sequence some 10 ms.
_LIMITS = LLParserLimits(
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=100_000,
    step_max_items=20_000,
    max_items_in_row=600,
    max_lexer_states=20_000,
    max_grammar_size=50_000,
    verbose_errors=False,
)
_COMPACT: "JsonCompileOptions" = {"whitespace_flexible": False}  # a small model may write blanks without end
_STRICT: "JsonCompileOptions" = {"lenient": False}  # what cannot be kept is refused

_GBNF_RULE = re.compile(r"^\s*[\w-]+\s*::=", re.MULTILINE)
_GBNF_RULES = 500  # the conversion takes time with the square of them
_MULTIPLE = re.compile(r'multipleOf\\*"\s*:\s*([-+.\deE]+)')
_MOST_STATES = 10_000
_ASCII_ESCAPE = re.compile(r"\\+u00([2-7][0-9a-fA-F])")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|.)", re.DOTALL)


def json_schema(schema: dict[str, Any] | bool) -> str:
    """A JSON document that the schema takes, without blanks between its tokens unless its `x-guidance` has them.

    Raises: GrammarError for the schema `false`, and for one that is too long.
    """
    if schema is False:
        raise GrammarError("the schema false takes no document")
    text = json.dumps({} if schema is True else schema)
    _check_length(text)
    try:
        return LLMatcher.grammar_from_json_schema(text, defaults=_COMPACT, overrides=_STRICT)
    except ValueError as error:
        raise GrammarError(str(error)) from None


def json_object() -> str:
    """Any JSON object."""
    return json_schema({"type": "object"})


def regex(pattern: str) -> str:
    """A text that the whole of the regular expression (Rust's notation) matches."""
    return LLMatcher.grammar_from_regex(pattern)


def choice(texts: Sequence[str]) -> str:
    """One of these texts."""
    return lark("start: " + " | ".join(json.dumps(text, ensure_ascii=False) for text in texts))


def lark(text: str) -> str:
    """What llguidance's variant of Lark's notation says; `%json {...}` in it is what a schema takes."""
    return LLMatcher.grammar_from_lark(text)


def lark_or_gbnf(text: str) -> str:
    """What a text says in Lark's notation, or in llama.cpp's GBNF. Raises: GrammarError where it is no GBNF."""
    rules = len(_GBNF_RULE.findall(text))
    if not rules:
        return lark(text)
    if rules > _GBNF_RULES:
        raise GrammarError(f"it has {rules} rules, more than {_GBNF_RULES}")
    try:
        return lark(gbnf_to_lark(_ESCAPE.sub(_character, text)))
    except Exception as error:  # noqa: BLE001  # the conversion raises Exception itself
        raise GrammarError(str(error) or type(error).__name__) from None


def either(first: str, second: str) -> str:
    """What one of two grammars takes."""
    grammars = [{"name": "either", "lark_grammar": "start: @first | @second"}]
    for name, text in (("first", first), ("second", second)):
        grammars.append(json.loads(text)["grammars"][0] if text.startswith("{") else {"lark_grammar": text})
        grammars[-1]["name"] = name
    return json.dumps({"grammars": grammars})


def _bits(tokens: Collection[int], vocabulary: int) -> Words:
    bits = np.zeros(-(-vocabulary // 32) * 32, np.uint8)
    bits[[token for token in tokens if token < vocabulary]] = 1
    return np.packbits(bits, bitorder="little").view(np.uint32)


def _check_length(text: str) -> None:
    if len(text) > LONGEST:
        raise GrammarError(f"it has {len(text)} characters, more than {LONGEST}")


def _check_multiples(text: str) -> None:
    """Raises: GrammarError for `multipleOf` that would take an automaton of more states than that."""
    found = _MULTIPLE.findall(_ASCII_ESCAPE.sub(lambda code: chr(int(code[1], 16)), text))
    states = math.lcm(*map(_coefficient, set(found)))
    if states > _MOST_STATES:
        raise GrammarError(f"multipleOf: {', '.join(sorted(set(found)))} together take more than {_MOST_STATES} states")


def _coefficient(number: str) -> int:
    """The number without its power of ten; 1 for what is none."""
    try:
        return int("".join(map(str, Decimal(number).normalize().as_tuple().digits))) or 1
    except ArithmeticError:
        return 1


def _character(escape: re.Match[str]) -> str:
    """The character of `\\uXXXX`, which llguidance 1.9 gets wrong; other escapes as they are."""
    code = escape[1] or escape[2]
    return chr(int(code, 16)) if code and int(code, 16) < 0x110000 else escape[0]


class Grammars:
    """Compiles grammars for the tokens of one model, and keeps those that were used last.

    tokenizer: transformers'. vocabulary: how many tokens the model knows; the tokenizer may have fewer. end_tokens: one
    of them ends a text that is complete. Making this takes about a second, in which no other Python thread runs.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, end_tokens: Collection[int]) -> None:
        self._tokens = token_table(tokenizer, vocabulary, end_tokens)
        self._executor = LLExecutor()
        self._ends = _bits(end_tokens, vocabulary)
        self._kept: OrderedDict[str, LLMatcher] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, grammar: str) -> Callable[[], GrammarState]:
        """Makes the state of a sequence at its beginning. Any thread may call both.

        Raises: GrammarError, which says what is wrong with the grammar.
        """
        matcher = self._found(grammar) or self._made(grammar)

        def state() -> GrammarState:
            with self._lock:
                return GrammarState(matcher.deep_copy(), self._executor, self._ends)

        return state

    def _found(self, grammar: str) -> LLMatcher | None:
        with self._lock:
            if grammar not in self._kept:
                return None
            self._kept.move_to_end(grammar)
            return self._kept[grammar]

    def _made(self, grammar: str) -> LLMatcher:
        _check_length(grammar)
        _check_multiples(grammar)
        matcher = LLMatcher(self._tokens, grammar, log_level=0, limits=_LIMITS)
        if not matcher.is_error():
            matcher.compute_bitmask()  # what it finds out the copies know
        if matcher.is_error():
            raise GrammarError(reason(matcher))
        with self._lock:
            self._kept[grammar] = matcher
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return matcher
