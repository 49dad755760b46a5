"""Forms that a completion must keep: JSON, a schema, a regular expression, a choice, a grammar."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from fastchat.api.common import Request

Schema = dict[str, Any] | bool
"""A JSON schema; `true` is that of any value."""
Pattern = Annotated[str, Field(min_length=1, max_length=8192)]
Choices = Annotated[list[Annotated[str, Field(min_length=1, max_length=4096)]], Field(min_length=1, max_length=1024)]
GrammarText = Annotated[str, Field(min_length=1, max_length=65_536)]


class TextFormat(Request):
    """Any text."""

    type: Literal["text"]


class JsonObjectFormat(Request):
    """Any JSON object."""

    type: Literal["json_object"]


class JsonSchema(Request):
    """A schema with the name that the caller gave it. `strict` changes nothing: the schema is always kept."""

    name: str = Field("response", min_length=1, max_length=64)
    description: str | None = None
    schema_: Schema = Field(True, alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(Request):
    """A JSON document that the schema takes."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]


class StructuredOutputs(Request):
    """vLLM's field of that name; one of its members says the form."""

    json_: Schema | str | None = Field(None, alias="json")
    json_object: bool | None = None
    regex: Pattern | None = None
    choice: Choices | None = None
    grammar: GrammarText | None = Field(None, description="Lark's or GBNF's notation.")


class Formatted(Request):
    """Every field by which a request says the form of its completion; one at a time."""

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: Schema | str | None = None
    guided_regex: Pattern | None = None
    guided_choice: Choices | None = None
    guided_grammar: GrammarText | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = self._given()
        if len(given) > 1:
            raise PydanticCustomError(
                "structured_outputs",
                "{first} and {second} both say the form: leave one out",
                {"first": given[0], "second": given[1], "param": given[1]},
            )
        return self

    @property
    def form(self) -> tuple[str, Any] | None:
        """The field that says the form, and its value; None where any text will do."""
        return next(((name, self._forms()[name]) for name in self._given()), None)

    def _given(self) -> list[str]:
        return [name for name, value in self._forms().items() if value is not None and value is not False]

    def _forms(self) -> dict[str, Any]:
        outputs = self.structured_outputs or StructuredOutputs()
        plain = self.response_format is None or self.response_format.type == "text"
        return {
            "response_format": None if plain else self.response_format,
            "structured_outputs.json": outputs.json_,
            "structured_outputs.json_object": outputs.json_object,
            "structured_outputs.regex": outputs.regex,
            "structured_outputs.choice": outputs.choice,
            "structured_outputs.grammar": outputs.grammar,
            "guided_json": self.guided_json,
            "guided_regex": self.guided_regex,
            "guided_choice": self.guided_choice,
            "guided_grammar": self.guided_grammar,
        }
