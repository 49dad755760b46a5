"""`/v1/completions`."""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from fastchat import _notebook
from fastchat.api.common import Refused, Response, Sampling, Texts, Usage, as_list
from fastchat.api.formats import Formatted
from fastchat.api.logprobs import CompletionLogprobs


class CompletionRequest(Sampling, Formatted):
    """`POST /v1/completions`."""

    prompt: Texts
    max_tokens: int | None = Field(None, ge=0, lt=2**31, description="Longest completion, in tokens. Default 16.")
    echo: bool | None = Field(None, description="Begin the completion with the prompt.")
    logprobs: int | None = Field(
        None, ge=0, le=20, description="Add the log probability of every token, and so many of the likeliest."
    )
    best_of: int | None = Field(None, ge=1, le=128, description="Generate so many and return the n likeliest.")
    add_special_tokens: bool | None = Field(None, description="What the model wants before a text. Default true.")
    # Would change the completion.
    suffix: Annotated[None, Refused(("",))] = None

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.max_tokens == 0 and not self.echo:
            raise PydanticCustomError("max_tokens", "'max_tokens': 0 needs 'echo': true", {"param": "max_tokens"})
        if self.best_of is not None and self.best_of < (self.n or 1):
            raise PydanticCustomError("best_of", "'best_of' must not be less than 'n'", {"param": "best_of"})
        if self.stream and (self.best_of or 1) > (self.n or 1):
            raise PydanticCustomError("best_of", "a stream cannot have 'best_of' above 'n'", {"param": "best_of"})
        return self

    @property
    def prompts(self) -> Sequence[str | list[int]]:
        return as_list(self.prompt)


class CompletionChoice(Response):
    """One of `n` completions of one of the prompts, or in a stream what it gained."""

    index: int = 0
    text: str = ""
    logprobs: CompletionLogprobs | None = None
    finish_reason: str | None = None
    token_ids: list[int] | None = None
    prompt_token_ids: list[int] | None = None


class Completion(Response):
    """Response of `POST /v1/completions`, and one event of its stream."""

    id: str = ""
    object: str = "text_completion"
    created: int = 0
    model: str = ""
    choices: list[CompletionChoice] = Field(default_factory=list)
    usage: Usage | None = None

    def _repr_html_(self) -> str:
        """For notebooks."""
        note = f"{self.model}, {self.usage.in_words()}" if self.usage else self.model
        if len(self.choices) == 1:
            return _notebook.text(self.choices[0].text, note)
        rows = [(each.index, each.text, each.finish_reason or "") for each in self.choices]
        return _notebook.table(("index", f"text of {note}", "ended by"), rows)
