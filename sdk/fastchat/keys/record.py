"""An API key of a gateway, and what is kept of it: the contract between `fastchat keys` and the gateway."""

import hashlib
import secrets
from typing import Annotated

from pydantic import AwareDatetime, Field

from fastchat.v1alpha1.primitives import Part

Limit = Annotated[int, Field(ge=1, le=2**53)]


class KeyRecord(Part):
    """One entry of the Secret `fastchat-keys`, or one file of a folder, as JSON; left out: no limit.

    A field that is not known here may be a limit, so that an entry with one is not taken for less than it says.
    """

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of the key, in hex."""
    models: Annotated[list[str], Field(min_length=1)] | None = None
    """Names of the models that it may use; a model's own name stands for its aliases too."""
    requests_per_minute: Limit | None = None
    tokens_per_minute: Limit | None = None
    max_concurrent: Limit | None = None
    """Requests at the same time."""
    expires: Annotated[AwareDatetime, Field(strict=False)] | None = None
    """From then on it opens nothing."""
    operator: bool | None = None
    """It may see what operators see: all models, workers, keys and metrics."""


def new_key() -> str:
    """A key with 256 bits of randomness: its hash needs neither salt nor stretching."""
    return f"fck_{secrets.token_urlsafe(32)}"


def digest(key: bytes) -> bytes:
    """What is kept of a key: its SHA-256."""
    return hashlib.sha256(key).digest()
