"""`/v1/embeddings`."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from fastchat.api.common import Name, Request, Response, Texts, Usage, as_list


class EmbeddingRequest(Request):
    """`POST /v1/embeddings`, and `/v1/create_embeddings`, FastChat's first name for it."""

    model: Name
    input: Texts
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="base64: little-endian float32. Default float."
    )
    dimensions: int | None = Field(
        None, ge=1, lt=2**31, description="Only the model's own number of dimensions is served."
    )
    truncate_prompt_tokens: int | None = Field(
        None, ge=-1, lt=2**31, description="Cut inputs to so many tokens (-1: what the model takes), not refuse them."
    )
    user: str | None = None

    @property
    def inputs(self) -> Sequence[str | list[int]]:
        return as_list(self.input)


class EmbeddingData(Response):
    """The vector of one input: floats, or base64 of little-endian float32."""

    object: str = "embedding"
    index: int = 0
    embedding: list[float] | str = Field(default_factory=list)


class EmbeddingResponse(Response):
    """Response of `POST /v1/embeddings`."""

    object: str = "list"
    data: list[EmbeddingData] = Field(default_factory=list)
    model: str = ""
    usage: Usage | None = None
