"""How far a response has come: what one worker hands over and another one goes on from."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, FailFast, Field, StringConstraints, ValidationError

from fastchat_worker.errors import RequestError, bad_request, cannot_resume
from fastchat_worker.serving.resuming.identity import Identity
from fastchat_worker.sources.digest import differences

MOST_BYTES = 8 * 2**20
"""Of a document: about a million tokens."""
_MOST_CHOICES = 4096
_SEED = "^[0-9a-f]{16}$"
_MODEL = r"^[0-9a-f.]{1,128}$"

_Token = Annotated[int, Field(ge=0, lt=2**31)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ChoiceProgress(_Part):
    """The tokens that a choice has. cached: of its prompt, those that the first worker found in its cache."""

    tokens: Annotated[list[_Token], FailFast()]
    cached: Annotated[int, Field(ge=0, lt=2**31)] = 0
    ended: bool = False


class Progress(_Part):
    """All that it takes beside the request. seed: that of its `Identity`, in hex. model: digest of what generates."""

    created: Annotated[int, Field(ge=0, lt=2**53)]
    seed: Annotated[str, StringConstraints(pattern=_SEED)]
    model: Annotated[str, StringConstraints(pattern=_MODEL)]
    choices: Annotated[list[ChoiceProgress], FailFast(), Field(max_length=_MOST_CHOICES)]

    def check_model(self, ours: str) -> None:
        """Raises: RequestError 409 where it is not of this model."""
        if self.model != ours:
            raise cannot_resume(differences(ours, self.model))

    def to_json(self) -> bytes:
        return self.model_dump_json().encode()


@dataclass(frozen=True)
class Resumption:
    """What a gateway says of a request. offered: its response may go on elsewhere. progress: from where it goes on."""

    offered: bool = False
    progress: Progress | None = None

    @property
    def identity(self) -> Identity:
        """That of the response: a new one where it begins here."""
        return Identity(int(self.progress.seed, 16), self.progress.created) if self.progress else Identity()


NONE = Resumption()


def parsed(document: bytes) -> Progress:
    """The document as one. Raises: RequestError 400, which names the first thing that is wrong with it."""
    try:
        return Progress.model_validate_json(document)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_context=False, include_input=False)[0]
        raise wrong(f"{'.'.join(map(str, first['loc'][:4])) or 'it'}: {first['msg']}") from None


def wrong(what: str) -> RequestError:
    """400 for a document that no worker has written."""
    return bad_request(f"What was generated elsewhere cannot be read: {what}.", code="invalid_progress")
