"""The form that a request wants its completion to have, as a grammar."""

import json
from typing import Any

from fastchat.api.formats import Formatted, JsonObjectFormat, JsonSchemaFormat
from fastchat_worker.errors import RequestError, bad_request
from fastchat_worker.sampling import grammar
from fastchat_worker.sampling.grammar_state import GrammarError


def grammar_of(request: Formatted) -> str | None:
    """The grammar of the one form that the request names; None where any text will do.

    Raises: RequestError 400 for what is no schema and no grammar.
    """
    if request.form is None:
        return None
    name, value = request.form
    try:
        return _grammar(name.removeprefix("structured_outputs.").removeprefix("guided_"), value)
    except GrammarError as error:
        raise invalid_grammar(error, request) from None


def invalid_grammar(error: GrammarError | str, request: Formatted) -> RequestError:
    """400 that names the field which says the form."""
    param = request.form[0] if request.form else "tools"
    return bad_request(f"{param} cannot be kept: {error}.", param, "invalid_grammar")


def _grammar(kind: str, value: Any) -> str:
    match kind, value:
        case "json", str():
            return grammar.json_schema(_parsed(value))
        case "json", _:
            return grammar.json_schema(value)
        case "json_object", _:
            return grammar.json_object()
        case "regex", _:
            return grammar.regex(value)
        case "choice", _:
            return grammar.choice(value)
        case "grammar", _:
            return grammar.lark_or_gbnf(value)
        case _, JsonSchemaFormat():
            return grammar.json_schema(value.json_schema.schema_)
        case _, JsonObjectFormat():
            return grammar.json_object()
    raise AssertionError(kind)


def _parsed(text: str) -> dict[str, Any] | bool:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GrammarError(f"the schema is no JSON: {error}") from None
    if not isinstance(schema, dict | bool):
        raise GrammarError("the schema is neither an object nor true")
    return schema
