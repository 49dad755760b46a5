"""What every request and every response of the API is, and what both kinds of completion share."""

import time
import uuid
from collections.abc import ItemsView, Iterator, KeysView, Sequence, ValuesView
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    field_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from fastchat import _notebook

_LONGEST_SHOWN = 300
"""Characters of a text in `repr`."""


@dataclass(frozen=True)
class Refused:
    """Marks a field of OpenAI's reference that is not served: only null and values that change nothing pass."""

    neutral: tuple[Any, ...] = ()

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"enum": [None, *self.neutral]}

    def _validate(self, value: object) -> None:
        if value is not None and not any(type(value) is type(ok) and value == ok for ok in self.neutral):
            raise PydanticCustomError("unsupported_parameter", "this server does not support it; leave it out")


class Request(BaseModel):
    """A request, or a part of one. It refuses numbers given as texts, and keeps apart fields that it does not know."""

    model_config = ConfigDict(
        extra="allow", strict=True, allow_inf_nan=False, protected_namespaces=(), defer_build=True
    )

    @property
    def unknown_fields(self) -> list[str]:
        """Paths of the fields that nobody knows, each once and without indices, such as `messages.cache_control`."""
        return list(dict.fromkeys(_unknown(self, "")))


def _unknown(request: Request, path: str) -> Iterator[str]:
    for name in request.__pydantic_extra__ or ():
        yield path + name
    for name, value in request.__dict__.items():
        if isinstance(value, Request):
            yield from _unknown(value, f"{path}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], Request):
            for each in value:
                if isinstance(each, Request):
                    yield from _unknown(each, f"{path}{name}.")


Name = Annotated[str, Field(min_length=1, max_length=256, description="Name or alias of a served model.")]
Tokens = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(fail_fast=True, min_length=1)]
Text = Annotated[str, Field(min_length=1)]
Texts = (
    Text
    | Tokens
    | Annotated[list[Text], Field(fail_fast=True, min_length=1, max_length=2048)]
    | Annotated[list[Tokens], Field(fail_fast=True, min_length=1, max_length=2048)]
)
StopText = Annotated[str, Field(min_length=1, max_length=1024)]
StopTexts = Annotated[str, Field(max_length=1024)] | Annotated[list[StopText], Field(fail_fast=True, max_length=16)]


def as_list(texts: str | list[int] | list[str] | list[list[int]]) -> Sequence[str | list[int]]:
    """One text, or one text's tokens, as a list of one."""
    if isinstance(texts, str):
        return [texts]
    if isinstance(texts[0], int):
        return [texts]
    return texts


class StreamOptions(Request):
    """How a stream ends."""

    include_usage: bool | None = Field(None, description="Send a last chunk with the token counts.")
    continuous_usage_stats: bool | None = Field(None, description="Send the token counts so far with every chunk.")
    include_obfuscation: Annotated[None, Refused((False,))] = None


class Sampling(Request):
    """The parameters that both kinds of completion share: OpenAI's, then those that vLLM adds."""

    model: Name
    temperature: float | None = Field(None, ge=0, le=2, description="0 takes the likeliest token. Default 1.")
    top_p: float | None = Field(
        None, ge=0, le=1, description="Sample from the likeliest tokens of this total probability; 0: the likeliest."
    )
    n: int | None = Field(None, ge=1, le=128, description="Completions per prompt. Default 1.")
    stop: (
        Annotated[str, Field(max_length=1024)] | Annotated[list[StopText], Field(fail_fast=True, max_length=16)] | None
    ) = Field(None, description="Texts that end the completion.")
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, description="Same seed, same request: same completion.")
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = Field(
        None, max_length=1024, description="Added to the logits of these token ids."
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    top_k: int | None = Field(None, ge=-1, lt=2**31, description="Sample from this many tokens; 0 and -1: from all.")
    min_p: float | None = Field(
        None, ge=0, le=1, description="Sample from tokens of at least this share of the likeliest one's probability."
    )
    repetition_penalty: float | None = Field(
        None, gt=0, le=10, description="Divides the logits of tokens of prompt and completion. Default 1."
    )
    min_tokens: int | None = Field(None, ge=0, lt=2**31, description="No end before so many tokens.")
    ignore_eos: bool | None = Field(None, description="The model's end tokens do not end the completion.")
    stop_token_ids: list[Annotated[int, Field(ge=0, lt=2**31)]] | None = Field(
        None, fail_fast=True, max_length=64, description="Tokens that end the completion like an end token."
    )
    include_stop_str_in_output: bool | None = Field(None, description="The stop text is part of the completion.")
    skip_special_tokens: bool | None = Field(None, description="Leave control tokens out of the text. Default true.")
    return_token_ids: bool | None = Field(None, description="Add the token ids of prompt and completion.")
    # Change nothing in the completion.
    service_tier: str | None = None
    metadata: dict[str, Any] | None = Field(None, max_length=64)
    store: bool | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    priority: int | None = None
    request_id: str | None = None
    cache_salt: str | None = Field(
        None, max_length=1024, description="Only requests with the same one find each other's prompts in the cache."
    )
    # Would change the completion.
    use_beam_search: Annotated[None, Refused((False,))] = None
    length_penalty: Annotated[None, Refused((1, 1.0))] = None
    prompt_logprobs: Annotated[None, Refused((0,))] = None
    bad_words: Annotated[None, Refused(([],))] = None
    allowed_token_ids: Annotated[None, Refused(([],))] = None
    logits_processors: Annotated[None, Refused(([],))] = None

    @field_validator("stream_options")
    @classmethod
    def _only_of_a_stream(cls, options: StreamOptions | None, info: ValidationInfo) -> StreamOptions | None:
        if options is not None and not info.data.get("stream"):
            raise PydanticCustomError("stream_options", "it is only allowed when 'stream' is true")
        return options

    @field_validator("logit_bias")
    @classmethod
    def _keyed_by_token(cls, bias: dict[str, float] | None) -> dict[str, float] | None:
        for token in bias or {}:
            if not (token.isascii() and token.isdigit() and len(token) < 10):
                raise PydanticCustomError("logit_bias", "keys are token ids, not {token}", {"token": repr(token[:64])})
        return bias

    @property
    def stops(self) -> list[str]:
        """Texts that end the completion; an empty one ends nothing, as at OpenAI."""
        return ([self.stop] if self.stop else []) if isinstance(self.stop, str) else list(self.stop or [])


class Response(BaseModel):
    """A response, or a part of one, usable by attribute and like a dict: `it.id`, `it["id"]`, `dict(it)`, `"id" in it`.

    Its keys are what goes over the wire: every field but those that are null because nobody set them.
    """

    model_config = ConfigDict(extra="allow", protected_namespaces=(), defer_build=True)
    _always_sent: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        cls._always_sent = frozenset(name for name, field in cls.model_fields.items() if field.default is not None)

    def model_post_init(self, _context: Any, /) -> None:
        self.__pydantic_fields_set__.update(self._always_sent)

    def to_dict(self) -> dict[str, Any]:
        """The response as plain dicts and lists; `json.dumps` takes it."""
        return self.model_dump(mode="json", exclude_unset=True)

    def to_json(self) -> bytes:
        """The response as it goes over the wire."""
        return self.__pydantic_serializer__.to_json(self, exclude_unset=True)

    def __getitem__(self, key: str) -> Any:
        if key in self.model_fields_set:
            return getattr(self, key)
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return key in self.model_fields_set

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # a dict iterates over its keys
        return iter(self._shallow())

    def __len__(self) -> int:
        return len(self.model_fields_set)

    def __str__(self) -> str:
        return self.to_json().decode()

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What `repr` shows: fields that are set, long texts by their beginning."""
        for name, value in self._shallow().items():
            yield name, _notebook.shortened(value, _LONGEST_SHOWN) if isinstance(value, str) else value

    def keys(self) -> KeysView[str]:
        return self._shallow().keys()

    def values(self) -> ValuesView[Any]:
        return self._shallow().values()

    def items(self) -> ItemsView[str, Any]:
        return self._shallow().items()

    def get(self, key: str, default: Any = None) -> Any:
        return self._shallow().get(key, default)

    def _shallow(self) -> dict[str, Any]:
        present = {**self.__dict__, **(self.__pydantic_extra__ or {})}
        return {key: value for key, value in present.items() if key in self.model_fields_set}


def new_id(prefix: str, joint: str = "-") -> str:
    """A request id as OpenAI forms them: `chatcmpl-…`, `cmpl-…`; newer ones have another joint: `resp_…`."""
    return f"{prefix}{joint}{uuid.uuid4().hex}"


def now() -> int:
    """Unix time in whole seconds, as `created` holds it."""
    return int(time.time())


FinishReason = Literal["stop", "length", "tool_calls", "function_call"]


class PromptTokensDetails(Response):
    """Of the prompt's tokens."""

    cached_tokens: int = 0


class CompletionTokensDetails(Response):
    """Of the completion's tokens."""

    reasoning_tokens: int = 0


class Usage(Response):
    """Tokens of one request; a prompt counts once, however many completions it got."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None

    def in_words(self) -> str:
        """For people: `12 tokens in, 34 out`."""
        return f"{self.prompt_tokens} tokens in, {self.completion_tokens} out"


def build_types() -> None:
    """Build the validators of all requests and responses that are imported.

    Otherwise each is built at its first use: a client starts in half the time, and uses a few. A server has them built
    before it listens, for together they take a third of a second.
    """
    kinds: list[type[BaseModel]] = [Request, Response]
    while kinds:
        kind = kinds.pop()
        kind.model_rebuild()
        kinds += kind.__subclasses__()
