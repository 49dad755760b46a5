"""`/v1/embeddings`."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import Discriminator, Field, Tag

from fastchat import _notebook
from fastchat.api.common import Name, Request, Response, Text, Tokens, Usage, as_list

InputType = Literal["query", "search_query", "document", "passage", "search_document", "classification", "clustering"]
"""What a text is embedded for, in the words of Voyage, NVIDIA and Cohere."""
INPUT_TYPES: tuple[InputType, ...] = get_args(InputType)

_Many = Field(fail_fast=True, min_length=1, max_length=2048)


def _shape(value: Any) -> str:
    """Which branch of `Inputs` a value is meant to be, so that an error is about that branch alone.

    With blanks, for a word by itself would be taken for a field's name (`request_error`).
    """
    if not isinstance(value, list):
        return "a text"
    first = value[0] if value else ""
    if isinstance(first, list):
        return "lists of tokens"
    return "a list of tokens" if isinstance(first, int) else "a list of texts"


Inputs = Annotated[
    Annotated[Text, Tag("a text")]
    | Annotated[Tokens, Tag("a list of tokens")]
    | Annotated[list[Text], _Many, Tag("a list of texts")]
    | Annotated[list[Tokens], _Many, Tag("lists of tokens")],
    Discriminator(_shape),
]
"""One text or several, each also as token ids."""


class EmbeddingInputs(Request):
    """What to embed and how, whatever names the model."""

    input: Inputs
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="base64: little-endian float32. Default float."
    )
    dimensions: int | None = Field(
        None,
        ge=1,
        lt=2**31,
        description="Cut the vectors to so many numbers; for models that were trained for it (Matryoshka).",
    )
    input_type: InputType | None = Field(
        None,
        description="What the texts are embedded for: the model's prompt for it is put before them, and a model of "
        "two halves takes the one for queries or for documents.",
    )
    prompt_name: str | None = Field(
        None, min_length=1, max_length=256, description="The model's prompt of this name is put before the texts."
    )
    truncate_prompt_tokens: int | None = Field(
        None, ge=-1, lt=2**31, description="Cut inputs to so many tokens (-1: what the model takes), not refuse them."
    )
    truncate: Literal["NONE", "END"] | None = Field(
        None, description="END, as NVIDIA's clients say it: cut inputs to what the model takes. NONE: refuse them."
    )
    user: str | None = None

    @property
    def inputs(self) -> Sequence[str | list[int]]:
        return as_list(self.input)

    @property
    def keep(self) -> int | None:
        """To how many tokens an input may be cut: -1 for what the model takes, None to refuse a longer one."""
        if self.truncate_prompt_tokens is None and self.truncate == "END":
            return -1
        return self.truncate_prompt_tokens


class EmbeddingRequest(EmbeddingInputs):
    """`POST /v1/embeddings`, and `/v1/create_embeddings`, FastChat's first name for it."""

    model: Name


class EngineEmbeddingRequest(EmbeddingInputs):
    """`POST /v1/engines/{model}/embeddings`, as the first clients of OpenAI's had it."""

    model: Name | None = Field(None, description="Default: the one in the path.")


class EmbeddingData(Response):
    """The vector of one input: floats, or base64 of little-endian float32."""

    object: str = "embedding"
    index: int = 0
    embedding: list[float] | str = Field(default_factory=list)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        yield "index", self.index
        yield "embedding", _notebook.Plain(_shown(self.embedding))


class EmbeddingResponse(Response):
    """Response of `POST /v1/embeddings`."""

    object: str = "list"
    data: list[EmbeddingData] = Field(default_factory=list)
    model: str = ""
    usage: Usage | None = None

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        yield "model", self.model
        yield "data", _notebook.Plain(f"[{_count(len(self.data), 'vector')}]")
        yield "usage", self.usage

    def _repr_html_(self) -> str:
        """For notebooks."""
        rows = [(each.index, _shown(each.embedding)) for each in self.data[:_ROWS]]
        more = [("…", f"{len(self.data) - _ROWS} more")] if len(self.data) > _ROWS else []
        return _notebook.table(("index", f"vector of {self.model}"), [*rows, *more])


_ROWS = 10
"""Of a table in a notebook."""


def _shown(embedding: list[float] | str) -> str:
    return f"base64, {len(embedding)} characters" if isinstance(embedding, str) else _notebook.numbers(embedding)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
