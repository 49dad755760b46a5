"""OpenAI's wire types, shared by client, gateway and worker.

Requests refuse what they do not know: a field that is dropped in silence changes an answer without a word.
Lists stop at their first error (`fail_fast`): an error for each of a hundred thousand elements would take seconds.
What else may be wrong is bounded by `fastchat.api.structure`, which is to be asked first.
Responses keep what they do not know, so that another engine's additions reach the caller.
Source: OpenAI's API reference (chat completions, completions, embeddings, models) and FastChat's `token_check`.
"""

import time
import uuid
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from dataclasses import dataclass
from itertools import takewhile
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

# --------------------------------------------------------------------------------------------------------------------
# Errors
# --------------------------------------------------------------------------------------------------------------------


class Error(BaseModel):
    """What went wrong, in OpenAI's shape."""

    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None


class ErrorResponse(BaseModel):
    """Body of every answer that is not 2xx, and of the SSE event that ends a broken stream."""

    error: Error


_LONGEST_PARAM = 256
"""Characters: it may be a name that the caller chose."""
_CODES = {
    "missing": "missing_required_parameter",
    "extra_forbidden": "unknown_parameter",
    "unsupported_parameter": "unsupported_parameter",
    "json_invalid": "invalid_json",
}


def request_error(invalid: ValidationError) -> Error:
    """The first thing wrong with a request, naming the field the way OpenAI does (`messages[0].role`)."""
    first = _most_telling(invalid)
    kind, loc = first["type"], first["loc"]
    # What is unknown has a name of the caller's choice, whatever that looks like.
    param = _param([*_fields(loc[:-1]), str(loc[-1])] if kind == "extra_forbidden" else _fields(loc))
    if kind == "json_invalid":
        reason = first.get("ctx", {}).get("error", first["msg"])
        return Error(message=f"The body is not valid JSON: {reason}.", code="invalid_json")
    if kind == "missing":
        message = f"Missing required parameter: '{param}'."
    elif kind == "extra_forbidden":
        message = f"Unrecognized request argument supplied: {param}."
    elif param is None:
        message = f"Invalid request: {_sentence(first['msg'])}"
    else:
        message = f"Invalid value for '{param}': {_sentence(first['msg'])}"
    return Error(message=message, param=param, code=_CODES.get(kind, "invalid_value"))


def _most_telling(invalid: ValidationError) -> Mapping[str, Any]:
    """Of the errors of a union's branches, the one that got furthest: it is about the branch the caller meant."""
    errors = invalid.errors(include_url=False, include_input=False)
    head = _fields(errors[0]["loc"])[:1]
    return max(takewhile(lambda error: _fields(error["loc"])[:1] == head, errors), key=_how_far)


def _how_far(error: Mapping[str, Any]) -> tuple[bool, int, list[int]]:
    """Past all elements where there are too many, else by depth, then by place."""
    fields = _fields(error["loc"])
    return error["type"] == "too_long", len(fields), [part for part in fields if isinstance(part, int)]


def _fields(loc: tuple[int | str, ...]) -> list[int | str]:
    """A location without the names of union branches that pydantic puts in (`str`, `list[TextPart]`)."""
    return [
        part for part in loc if isinstance(part, int) or (part.isidentifier() and part not in ("str", "int", "float"))
    ]


def _param(fields: Iterable[int | str]) -> str | None:
    path = ""
    for part in fields:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path[:_LONGEST_PARAM] or None


def _sentence(text: str) -> str:
    text = text[:1].lower() + text[1:]
    return text if text.endswith(".") else text + "."


# --------------------------------------------------------------------------------------------------------------------
# Requests
# --------------------------------------------------------------------------------------------------------------------


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


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


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


class StreamOptions(_Request):
    """How a stream ends."""

    include_usage: bool | None = Field(None, description="Send a last chunk with the token counts.")
    include_obfuscation: Annotated[None, Refused((False,))] = None


class _Sampling(_Request):
    """What both kinds of completion share."""

    model: Name
    temperature: float | None = Field(None, ge=0, le=2, description="0 takes the likeliest token. Default 1.")
    top_p: float | None = Field(
        None, gt=0, le=1, description="Sample from the likeliest tokens of this total probability."
    )
    top_k: int | None = Field(None, ge=-1, lt=2**31, description="Sample from this many tokens; 0 and -1: from all.")
    n: int | None = Field(None, ge=1, le=128, description="Answers per prompt. Default 1.")
    max_tokens: int | None = Field(None, ge=1, lt=2**31, description="Longest answer, in tokens.")
    stop: StopText | Annotated[list[StopText], Field(fail_fast=True, max_length=16)] | None = Field(
        None, description="Texts that end the answer."
    )
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, description="The same seed and request give the same answer.")
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = Field(
        None, max_length=1024, description="Added to the logits of these token ids."
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None

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
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or [])


class TextPart(_Request):
    """One part of a message; text is the only kind served."""

    type: Literal["text"]
    text: str


class Message(_Request):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(fail_fast=True, min_length=1)]
    name: str | None = None
    refusal: str | None = None
    tool_calls: Annotated[None, Refused(([],))] = None
    function_call: Annotated[None, Refused()] = None
    audio: Annotated[None, Refused()] = None
    annotations: Annotated[None, Refused(([],))] = None

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatCompletionRequest(_Sampling):
    """`POST /v1/chat/completions`."""

    messages: list[Message] = Field(fail_fast=True, min_length=1, max_length=4096)
    max_completion_tokens: int | None = Field(None, ge=1, lt=2**31, description="OpenAI's newer name of max_tokens.")
    # Change nothing in the answer.
    store: bool | None = None
    metadata: dict[str, str] | None = Field(None, max_length=16)
    service_tier: str | None = None
    parallel_tool_calls: bool | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prediction: dict[str, Any] | None = None
    # Would change the answer.
    tools: Annotated[None, Refused(([],))] = None
    tool_choice: Annotated[None, Refused(("none", "auto"))] = None
    functions: Annotated[None, Refused(([],))] = None
    function_call: Annotated[None, Refused(("none", "auto"))] = None
    response_format: Annotated[None, Refused(({"type": "text"},))] = None
    logprobs: Annotated[None, Refused((False,))] = None
    top_logprobs: Annotated[None, Refused((0,))] = None
    modalities: Annotated[None, Refused((["text"],))] = None
    audio: Annotated[None, Refused()] = None
    reasoning_effort: Annotated[None, Refused(("none",))] = None
    verbosity: Annotated[None, Refused(("medium",))] = None
    web_search_options: Annotated[None, Refused()] = None

    @property
    def limit(self) -> int | None:
        """Longest answer in tokens, by either name; None: up to the end of the context."""
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(_Sampling):
    """`POST /v1/completions`."""

    prompt: Texts
    echo: bool | None = Field(None, description="Begin the answer with the prompt.")
    # Would change the answer.
    best_of: Annotated[None, Refused((1,))] = None
    logprobs: Annotated[None, Refused()] = None
    suffix: Annotated[None, Refused(("",))] = None

    @property
    def prompts(self) -> Sequence[str | list[int]]:
        return _as_list(self.prompt)


class EmbeddingRequest(_Request):
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
        return _as_list(self.input)


def _as_list(texts: str | list[int] | list[str] | list[list[int]]) -> Sequence[str | list[int]]:
    """One text, or one text's tokens, as a list of one."""
    if isinstance(texts, str):
        return [texts]
    if isinstance(texts[0], int):
        return [texts]
    return texts


class TokenCheckItem(_Request):
    """One prompt to be measured."""

    model: Name
    prompt: str
    max_tokens: int = Field(0, ge=0, lt=2**31)


class TokenCheckRequest(_Request):
    """`POST /api/v1/token_check`: do these prompts and their answers fit the models' context?"""

    prompts: list[TokenCheckItem] = Field(fail_fast=True, min_length=1, max_length=2048)


# --------------------------------------------------------------------------------------------------------------------
# Responses
# --------------------------------------------------------------------------------------------------------------------


class Response(BaseModel):
    """An answer, usable by attribute and like a dict: `answer.id`, `answer["id"]`, `dict(answer)`, `"id" in answer`.

    Its keys are what goes over the wire: every field but those that are null because nobody set them.
    """

    model_config = ConfigDict(extra="allow", protected_namespaces=())
    _always_sent: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        cls._always_sent = frozenset(name for name, field in cls.model_fields.items() if field.default is not None)

    def model_post_init(self, _context: Any, /) -> None:
        self.__pydantic_fields_set__.update(self._always_sent)

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain dicts and lists; `json.dumps` takes it."""
        return self.model_dump(mode="json", exclude_unset=True)

    def to_json(self) -> bytes:
        """The answer as it goes over the wire."""
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


def new_id(prefix: str) -> str:
    """A request id as OpenAI forms them: `chatcmpl-…`, `cmpl-…`."""
    return f"{prefix}-{uuid.uuid4().hex}"


def now() -> int:
    """Unix time in whole seconds, as `created` holds it."""
    return int(time.time())


FinishReason = Literal["stop", "length"]


class Usage(Response):
    """Tokens of one request; a prompt counts once, however many answers it got."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class ChatMessage(Response):
    """The model's turn."""

    role: str | None = None
    content: str | None = None


class ChatChoice(Response):
    """One of `n` answers."""

    index: int = 0
    message: ChatMessage = Field(default_factory=ChatMessage)
    finish_reason: str | None = None


class ChatCompletion(Response):
    """Answer of `POST /v1/chat/completions`."""

    id: str = ""
    object: str = "chat.completion"
    created: int = 0
    model: str = ""
    choices: list[ChatChoice] = Field(default_factory=list)
    usage: Usage | None = None


class ChatChunkChoice(Response):
    """What one answer gained."""

    index: int = 0
    delta: ChatMessage = Field(default_factory=ChatMessage)
    finish_reason: str | None = None


class ChatCompletionChunk(Response):
    """One event of a chat stream."""

    id: str = ""
    object: str = "chat.completion.chunk"
    created: int = 0
    model: str = ""
    choices: list[ChatChunkChoice] = Field(default_factory=list)
    usage: Usage | None = None


class CompletionChoice(Response):
    """One of `n` answers to one of the prompts, or in a stream what it gained."""

    index: int = 0
    text: str = ""
    logprobs: Any = None
    finish_reason: str | None = None


class Completion(Response):
    """Answer of `POST /v1/completions`, and one event of its stream."""

    id: str = ""
    object: str = "text_completion"
    created: int = 0
    model: str = ""
    choices: list[CompletionChoice] = Field(default_factory=list)
    usage: Usage | None = None


class EmbeddingData(Response):
    """The vector of one input: floats, or base64 of little-endian float32."""

    object: str = "embedding"
    index: int = 0
    embedding: list[float] | str = Field(default_factory=list)


class EmbeddingResponse(Response):
    """Answer of `POST /v1/embeddings`."""

    object: str = "list"
    data: list[EmbeddingData] = Field(default_factory=list)
    model: str = ""
    usage: Usage | None = None


Task = Literal["Generate", "Embed"]


class ModelCard(Response):
    """One entry of `GET /v1/models`."""

    id: str = ""
    object: str = "model"
    created: int = 0
    owned_by: str = "fastchat"
    root: str | None = Field(None, description="The model's own name where `id` is an alias.")
    task: Task | None = Field(None, description="What the model is served for.")
    max_model_len: int | None = Field(None, description="Context length in tokens, prompt and answer together.")


class ModelList(Response):
    """Answer of `GET /v1/models`."""

    object: str = "list"
    data: list[ModelCard] = Field(default_factory=list)


class TokenCheckResult(Response):
    """One measured prompt, in FastChat's spelling."""

    fits: bool = False
    tokenCount: int = 0
    contextLength: int = 0


class TokenCheckResponse(Response):
    """Answer of `POST /api/v1/token_check`."""

    prompts: list[TokenCheckResult] = Field(default_factory=list)
