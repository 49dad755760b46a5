"""Call a FastChat gateway, or any OpenAI-compatible server.

    from fastchat import client

    completion = client.ChatCompletion.create(
        model="vicuna-7b-v1.5",
        messages=[{"role": "user", "content": "Hello!"}],
    )
    print(completion.choices[0].message.content)

`create` blocks, and works in a notebook too; `acreate` is awaited. With `stream=True` they give an iterator of events.
Results are used by attribute or like a dict (`fastchat.api`); everything raised is in `fastchat.errors`.
Parameters beyond the named ones go to the server as they are.

Source: OpenAI's API reference (https://platform.openai.com/docs/api-reference).
"""

# ruff: noqa: ASYNC109  # `timeout` is of the server's silence; asyncio.timeout is of the whole call

import os
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, overload

from fastchat import api
from fastchat._client import transport
from fastchat._client.protocol import Call
from fastchat._client.settings import Settings, parse_api_key, parse_base_url, timeouts
from fastchat._client.transport import AsyncStream, Stream
from fastchat._client.vectors import read_embeddings

__all__ = [
    "AsyncStream",
    "ChatCompletion",
    "Completion",
    "Embedding",
    "Model",
    "Stream",
    "set_api_key",
    "set_baseurl",
    "set_max_retries",
    "set_timeout",
]


class Array(Protocol):
    """A numpy array, a pandas Series, a torch tensor."""

    def tolist(self) -> Any: ...


Messages = Sequence[Mapping[str, Any] | api.ChatMessage]
"""A conversation. The message of an answer can be put back into it as it is."""
Texts = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]] | Array
"""One text or several, each also as token ids."""

_base_url: str | None = None
_api_key: str | None = None
_timeout = Settings.timeout
_max_retries = Settings.max_retries


def set_baseurl(url: str | None) -> None:
    """Send calls to this server, `http://host:port`, with or without `/v1`.

    None (or empty): the environment's FASTCHAT_BASEURL, or without it http://localhost:8000.

    Raises:
        ValueError: not an http or https address.
    """
    global _base_url
    _base_url = parse_base_url(url) if url else None


def set_api_key(key: str | None) -> None:
    """Send this key as a bearer token. None (or empty): the environment's FASTCHAT_API_KEY, or without it none.

    OPENAI_API_KEY is not read: that key is for another host.

    Raises:
        ValueError: an HTTP header cannot carry it.
    """
    global _api_key
    _api_key = parse_api_key(key) if key else None


def set_timeout(seconds: float) -> None:
    """Give up when the server is silent for so many seconds: 660 if never set, `math.inf` waits for ever.

    A connection has to be there within 10 s, or within `seconds` if that is less.

    Raises:
        ValueError: not above 0.
    """
    global _timeout
    timeouts(seconds)
    _timeout = seconds


def set_max_retries(count: int) -> None:
    """Try again so many times: 2 if never set, 0 never.

    Tried again are calls that reached no server, and a 429 or 503 that says when to come back, within a minute.
    Nothing is sent twice once a part of its answer was read.

    Raises:
        ValueError: below 0.
    """
    global _max_retries
    if count < 0:
        raise ValueError(f"Invalid number of retries {count!r}: it is 0 or more.")
    _max_retries = count


def _settings() -> Settings:
    key = os.environ.get("FASTCHAT_API_KEY")
    return Settings(
        base_url=_base_url or parse_base_url(os.environ.get("FASTCHAT_BASEURL") or "http://localhost:8000"),
        api_key=_api_key or (parse_api_key(key) if key else None),
        timeout=_timeout,
        max_retries=_max_retries,
    )


class ChatCompletion:
    """`POST /v1/chat/completions`: the model's next turn in a conversation."""

    @overload
    @staticmethod
    def create(
        *,
        model: str,
        messages: Messages,
        stream: Literal[False] | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> api.ChatCompletion: ...

    @overload
    @staticmethod
    def create(
        *, model: str, messages: Messages, stream: Literal[True], timeout: float | None = None, **params: Any
    ) -> Stream[api.ChatCompletionChunk]: ...

    @overload
    @staticmethod
    def create(
        *, model: str, messages: Messages, stream: bool | None, timeout: float | None = None, **params: Any
    ) -> api.ChatCompletion | Stream[api.ChatCompletionChunk]: ...

    @staticmethod
    def create(
        *,
        model: str,
        messages: Messages,
        stream: bool | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> api.ChatCompletion | Stream[api.ChatCompletionChunk]:
        """Let the model answer a conversation.

        Args:
            model: name or alias of a served model.
            messages: the turns so far, each with `role` ("system", "user", "assistant") and `content`.
            stream: give the answer as it is generated: an iterator of chunks, whose
                `choices[0].delta.content` is what came since the last one.
            timeout: seconds the server may be silent, instead of `set_timeout`'s.
            params: `max_tokens`, `temperature` (0 to 2), `top_p`, `n`, `stop`, `seed`, … as the server knows them.

        Returns:
            The answer; `choices` holds `n` of them, each with `message` and `finish_reason` ("stop", "length").

        Raises:
            fastchat.errors.FastChatError: see there for the kinds.
            TypeError, ValueError: a parameter that JSON cannot carry.
        """
        body = {"model": model, "messages": messages, **params}
        if stream:
            return transport.stream(_settings(), _chat_stream(body, timeout))
        return transport.request(_settings(), _chat(body, timeout))

    @overload
    @staticmethod
    async def acreate(
        *,
        model: str,
        messages: Messages,
        stream: Literal[False] | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> api.ChatCompletion: ...

    @overload
    @staticmethod
    async def acreate(
        *, model: str, messages: Messages, stream: Literal[True], timeout: float | None = None, **params: Any
    ) -> AsyncStream[api.ChatCompletionChunk]: ...

    @overload
    @staticmethod
    async def acreate(
        *, model: str, messages: Messages, stream: bool | None, timeout: float | None = None, **params: Any
    ) -> api.ChatCompletion | AsyncStream[api.ChatCompletionChunk]: ...

    @staticmethod
    async def acreate(
        *,
        model: str,
        messages: Messages,
        stream: bool | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> api.ChatCompletion | AsyncStream[api.ChatCompletionChunk]:
        """`create`, to be awaited; the iterator of a stream is asynchronous."""
        body = {"model": model, "messages": messages, **params}
        if stream:
            return await transport.astream(_settings(), _chat_stream(body, timeout))
        return await transport.arequest(_settings(), _chat(body, timeout))


class Completion:
    """`POST /v1/completions`: text that goes on from a prompt."""

    @overload
    @staticmethod
    def create(
        *,
        model: str,
        prompt: Texts,
        stream: Literal[False] | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> api.Completion: ...

    @overload
    @staticmethod
    def create(
        *, model: str, prompt: Texts, stream: Literal[True], timeout: float | None = None, **params: Any
    ) -> Stream[api.Completion]: ...

    @overload
    @staticmethod
    def create(
        *, model: str, prompt: Texts, stream: bool | None, timeout: float | None = None, **params: Any
    ) -> api.Completion | Stream[api.Completion]: ...

    @staticmethod
    def create(
        *,
        model: str,
        prompt: Texts,
        stream: bool | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> api.Completion | Stream[api.Completion]:
        """Let the model go on from each prompt.

        Args:
            model: name or alias of a served model.
            prompt: one or several, as text or as token ids.
            stream: give the text as it is generated: an iterator of completions, whose `choices[0].text` is what
                came since the last one.
            timeout: seconds the server may be silent, instead of `set_timeout`'s.
            params: `max_tokens`, `temperature` (0 to 2), `top_p`, `n`, `stop`, `echo`, … as the server knows them.

        Returns:
            The answer; `choices` holds `n` per prompt, in the prompts' order, each with `text` and `finish_reason`.

        Raises:
            fastchat.errors.FastChatError: see there for the kinds.
            TypeError, ValueError: a parameter that JSON cannot carry.
        """
        body = {"model": model, "prompt": prompt, **params}
        if stream:
            return transport.stream(_settings(), _completion({**body, "stream": True}, timeout))
        return transport.request(_settings(), _completion(body, timeout))

    @overload
    @staticmethod
    async def acreate(
        *,
        model: str,
        prompt: Texts,
        stream: Literal[False] | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> api.Completion: ...

    @overload
    @staticmethod
    async def acreate(
        *, model: str, prompt: Texts, stream: Literal[True], timeout: float | None = None, **params: Any
    ) -> AsyncStream[api.Completion]: ...

    @overload
    @staticmethod
    async def acreate(
        *, model: str, prompt: Texts, stream: bool | None, timeout: float | None = None, **params: Any
    ) -> api.Completion | AsyncStream[api.Completion]: ...

    @staticmethod
    async def acreate(
        *,
        model: str,
        prompt: Texts,
        stream: bool | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> api.Completion | AsyncStream[api.Completion]:
        """`create`, to be awaited; the iterator of a stream is asynchronous."""
        body = {"model": model, "prompt": prompt, **params}
        if stream:
            return await transport.astream(_settings(), _completion({**body, "stream": True}, timeout))
        return await transport.arequest(_settings(), _completion(body, timeout))


class Embedding:
    """`POST /v1/embeddings`: texts as vectors."""

    @staticmethod
    def create(
        *,
        model: str,
        input: Texts,  # noqa: A002  # the wire's name
        encoding_format: Literal["float", "base64"] | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> api.EmbeddingResponse:
        """Embed texts.

        Args:
            model: name or alias of a served model.
            input: one or several, as text or as token ids; an array or a Series of them will do.
            encoding_format: how the vectors are sent and given back. None: sent as base64, which is a quarter of the
                size, and given back as floats; "base64" gives them as little-endian float32 in base64.
            timeout: seconds the server may be silent, instead of `set_timeout`'s.
            params: `dimensions`, `user`, … as the server knows them.

        Returns:
            The answer; `data[i].embedding` is the vector of text i, as long as the model has dimensions.

        Raises:
            fastchat.errors.FastChatError: see there for the kinds.
            TypeError, ValueError: a parameter that JSON cannot carry.
        """
        return transport.request(_settings(), _embedding(model, input, encoding_format, timeout, params))

    @staticmethod
    async def acreate(
        *,
        model: str,
        input: Texts,  # noqa: A002
        encoding_format: Literal["float", "base64"] | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> api.EmbeddingResponse:
        """`create`, to be awaited."""
        return await transport.arequest(_settings(), _embedding(model, input, encoding_format, timeout, params))


class Model:
    """`GET /v1/models`: what is served."""

    @staticmethod
    def list() -> api.ModelList:
        """The served models and aliases; `data[i].id` is the name to call one by.

        Raises:
            fastchat.errors.FastChatError: see there for the kinds.
        """
        return transport.request(_settings(), _MODELS)

    @staticmethod
    async def alist() -> api.ModelList:
        """`list`, to be awaited."""
        return await transport.arequest(_settings(), _MODELS)

    @staticmethod
    def retrieve(model: str) -> api.ModelCard:
        """One served model, by its name or an alias.

        Raises:
            fastchat.errors.NotFoundError: it is not served here.
            fastchat.errors.FastChatError: see there for the other kinds.
            ValueError: the name is empty.
        """
        return transport.request(_settings(), _model(model))

    @staticmethod
    async def aretrieve(model: str) -> api.ModelCard:
        """`retrieve`, to be awaited."""
        return await transport.arequest(_settings(), _model(model))


_MODELS = Call("models", api.ModelList.model_validate_json)


def _chat(body: Mapping[str, Any], timeout: float | None) -> Call[api.ChatCompletion]:
    return Call("chat/completions", api.ChatCompletion.model_validate_json, body, timeout)


def _chat_stream(body: Mapping[str, Any], timeout: float | None) -> Call[api.ChatCompletionChunk]:
    read = api.ChatCompletionChunk.model_validate_json
    return Call("chat/completions", read, {**body, "stream": True}, timeout)


def _completion(body: Mapping[str, Any], timeout: float | None) -> Call[api.Completion]:
    return Call("completions", api.Completion.model_validate_json, body, timeout)


def _embedding(
    model: str, texts: Texts, encoding_format: str | None, timeout: float | None, params: Mapping[str, Any]
) -> Call[api.EmbeddingResponse]:
    body = {"model": model, "input": texts, "encoding_format": encoding_format or "base64", **params}
    read = api.EmbeddingResponse.model_validate_json if encoding_format else read_embeddings
    return Call("embeddings", read, body, timeout)


def _model(name: str) -> Call[api.ModelCard]:
    if not name:
        raise ValueError("Invalid model name '': Model.list() gives the names.")
    return Call(f"models/{urllib.parse.quote(name, safe='')}", api.ModelCard.model_validate_json)
