"""`/v1/completions`."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from fastchat.api.common import Refused, Response, Sampling, Texts, Usage, as_list


class CompletionRequest(Sampling):
    """`POST /v1/completions`."""

    prompt: Texts
    echo: bool | None = Field(None, description="Begin the completion with the prompt.")
    # Would change the completion.
    best_of: Annotated[None, Refused((1,))] = None
    logprobs: Annotated[None, Refused()] = None
    suffix: Annotated[None, Refused(("",))] = None

    @property
    def prompts(self) -> Sequence[str | list[int]]:
        return as_list(self.prompt)


class CompletionChoice(Response):
    """One of `n` completions of one of the prompts, or in a stream what it gained."""

    index: int = 0
    text: str = ""
    logprobs: Any = None
    finish_reason: str | None = None


class Completion(Response):
    """Response of `POST /v1/completions`, and one event of its stream."""

    id: str = ""
    object: str = "text_completion"
    created: int = 0
    model: str = ""
    choices: list[CompletionChoice] = Field(default_factory=list)
    usage: Usage | None = None
