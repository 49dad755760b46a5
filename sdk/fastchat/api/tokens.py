"""`/api/v1/token_check`, FastChat's own."""

from pydantic import Field

from fastchat.api.common import Name, Request, Response


class TokenCheckItem(Request):
    """One prompt to be measured."""

    model: Name
    prompt: str
    max_tokens: int = Field(0, ge=0, lt=2**31)


class TokenCheckRequest(Request):
    """`POST /api/v1/token_check`: do these prompts and their completions fit the models' context?"""

    prompts: list[TokenCheckItem] = Field(fail_fast=True, min_length=1, max_length=2048)


class TokenCheckResult(Response):
    """One measured prompt, in FastChat's spelling."""

    fits: bool = False
    tokenCount: int = 0
    contextLength: int = 0


class TokenCheckResponse(Response):
    """Response of `POST /api/v1/token_check`."""

    prompts: list[TokenCheckResult] = Field(default_factory=list)
