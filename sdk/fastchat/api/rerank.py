"""`/v1/rerank`, in the shape of Jina's and Cohere's, and `/v1/score`, in that of vLLM's."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from fastchat.api.common import Name, Request, Response, Text, Usage

_Many = Field(fail_fast=True, min_length=1, max_length=2048)
_KEEP = "Cut each pair to so many tokens (-1: what the model takes), not refuse it."


class RerankDocument(Request):
    """A document as an object."""

    text: Text


def _document_shape(value: Any) -> str:
    """With blanks, for a word by itself would be taken for a field's name (`request_error`)."""
    return "an object" if isinstance(value, dict) else "a text"


Document = Annotated[
    Annotated[Text, Tag("a text")] | Annotated[RerankDocument, Tag("an object")], Discriminator(_document_shape)
]


class RerankRequest(Request):
    """`POST /v1/rerank`: how well does each document match the query?"""

    model: Name
    query: Text
    documents: list[Document] = _Many
    top_n: int | None = Field(None, ge=0, lt=2**31, description="Only the best so many; 0: all. Default: all.")
    return_documents: bool | None = Field(None, description="Repeat the documents in the response. Default true.")
    truncate_prompt_tokens: int | None = Field(
        None, ge=-1, lt=2**31, description="Cut each pair to so many tokens. Default -1: what the model takes."
    )
    user: str | None = None

    @property
    def texts(self) -> list[str]:
        return [document if isinstance(document, str) else document.text for document in self.documents]


class RerankResult(Response):
    """A document's place among all."""

    index: int = 0
    relevance_score: float = 0.0
    document: dict[str, Any] | None = None


class RerankResponse(Response):
    """Response of `POST /v1/rerank`: the best document first."""

    id: str = ""
    model: str = ""
    results: list[RerankResult] = Field(default_factory=list)
    usage: Usage | None = None


def _shape(value: Any) -> str:
    return "a list of texts" if isinstance(value, list) else "a text"


Side = Annotated[
    Annotated[Text, Tag("a text")] | Annotated[list[Text], _Many, Tag("a list of texts")], Discriminator(_shape)
]
"""One side of pairs: one text for all, or one for each."""


class ScoreRequest(Request):
    """`POST /v1/score`: how well do two texts match, for each pair?"""

    model: Name
    text_1: Side | None = None
    text_2: Side | None = None
    queries: Side | None = Field(None, description="Another name of text_1.")
    documents: Side | None = Field(None, description="Another name of text_2.")
    truncate_prompt_tokens: int | None = Field(None, ge=-1, lt=2**31, description=_KEEP)
    user: str | None = None

    @model_validator(mode="after")
    def _of_two_sides(self) -> "ScoreRequest":
        given = [name for name in ("text_1", "text_2", "queries", "documents") if getattr(self, name) is not None]
        if given not in (["text_1", "text_2"], ["queries", "documents"]):
            raise PydanticCustomError("score_sides", "give 'text_1' and 'text_2', or 'queries' and 'documents'")
        left, right = map(_length, (self.left, self.right))
        if left != right and left != 1:
            words = "'{one}' has {left} texts and '{other}' {right}: as many, or one text in '{one}'"
            about = {"one": given[0], "other": given[1], "left": left, "right": right, "param": given[0]}
            raise PydanticCustomError("score_sides", words, about)
        return self

    @property
    def names(self) -> tuple[str, str]:
        """The fields in which the two sides were given."""
        return ("queries", "documents") if self.text_1 is None else ("text_1", "text_2")

    @property
    def left(self) -> str | list[str]:
        side: str | list[str] = getattr(self, self.names[0])
        return side

    @property
    def right(self) -> str | list[str]:
        side: str | list[str] = getattr(self, self.names[1])
        return side


def _length(side: str | list[str]) -> int:
    return 1 if isinstance(side, str) else len(side)


class Score(Response):
    """What one pair got."""

    index: int = 0
    object: Literal["score"] = "score"
    score: float = 0.0


class ScoreResponse(Response):
    """Response of `POST /v1/score`: a score for each pair, in their order."""

    id: str = ""
    object: str = "list"
    created: int = 0
    model: str = ""
    data: list[Score] = Field(default_factory=list)
    usage: Usage | None = None
