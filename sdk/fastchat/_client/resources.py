"""The resources of the API: each makes calls of its parameters and hands them to a transport.

A resource is generic in what sending gives: a result (`W`) or a stream of events (`S`) for a blocking transport, and
coroutines of them for one that is awaited. So each signature stands once, with what `stream=True` does to its result.

Source: OpenAI's API reference (https://platform.openai.com/docs/api-reference).
"""

# `timeout` is of the server's silence; asyncio.timeout is of the whole call

import functools
import inspect
import urllib.parse
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar, overload

from fastchat import api
from fastchat._client.protocol import Call
from fastchat._client.stream import AsyncStream
from fastchat._client.transport import AsyncTransport, Transport
from fastchat._client.vectors import read_embeddings

# The table's paths, as a test has it: the table itself has every type of every route, which take their time to import.
CHAT_COMPLETIONS = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
MODELS = "/v1/models"
RERANK = "/v1/rerank"
SCORE = "/v1/score"

W = TypeVar("W")
S = TypeVar("S")
L = TypeVar("L")
C = TypeVar("C", bound=type)
T = TypeVar("T")
Awaited = Coroutine[Any, Any, T]


class Array(Protocol):
    """A numpy array, a pandas Series, a torch tensor."""

    def tolist(self) -> Any: ...


Messages = Sequence[Mapping[str, Any] | api.ChatMessage]
"""A conversation. The message of a response can be put back into it as it is."""
Texts = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]] | Array
"""One text or several, each also as token ids."""


class ChatCompletions(Generic[W, S]):
    """`POST /v1/chat/completions`: the model's next turn in a conversation."""

    def __init__(
        self, request: Callable[[Call[api.ChatCompletion]], W], stream: Callable[[Call[api.ChatCompletionChunk]], S]
    ) -> None:
        self._request = request
        self._stream = stream

    @overload
    def create(
        self,
        *,
        model: str,
        messages: Messages,
        stream: Literal[False] | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> W: ...

    @overload
    def create(
        self, *, model: str, messages: Messages, stream: Literal[True], timeout: float | None = None, **params: Any
    ) -> S: ...

    @overload
    def create(
        self, *, model: str, messages: Messages, stream: bool | None, timeout: float | None = None, **params: Any
    ) -> W | S: ...

    def create(
        self,
        *,
        model: str,
        messages: Messages,
        stream: bool | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> W | S:
        """Let the model continue a conversation.

        Args:
            model: name or alias of a served model.
            messages: the turns so far, each with `role` ("system", "user", "assistant") and `content`.
            stream: give the text as it is generated: an iterator of chunks, whose
                `choices[0].delta.content` is what came since the last one.
            timeout: seconds the server may be silent, instead of the client's.
            params: `max_tokens`, `temperature` (0 to 2), `top_p`, `n`, `stop`, `seed`, … as the server knows them.

        Returns:
            The completion; `choices` holds `n` of them, each with `message` and `finish_reason` ("stop", "length").

        Raises:
            fastchat.errors.FastChatError: see there for the kinds.
            TypeError, ValueError: a parameter that JSON cannot carry.
        """
        path, body = CHAT_COMPLETIONS, {"model": model, "messages": messages, **params}
        if stream:
            chunks = Call(path, api.ChatCompletionChunk.model_validate_json, {**body, "stream": True}, timeout)
            return self._stream(chunks)
        return self._request(Call(path, api.ChatCompletion.model_validate_json, body, timeout))


class Chat(Generic[W, S]):
    """What is below `/v1/chat/`."""

    def __init__(self, completions: ChatCompletions[W, S]) -> None:
        self.completions = completions


class Completions(Generic[W, S]):
    """`POST /v1/completions`: text that goes on from a prompt."""

    def __init__(
        self, request: Callable[[Call[api.Completion]], W], stream: Callable[[Call[api.Completion]], S]
    ) -> None:
        self._request = request
        self._stream = stream

    @overload
    def create(
        self,
        *,
        model: str,
        prompt: Texts,
        stream: Literal[False] | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> W: ...

    @overload
    def create(
        self, *, model: str, prompt: Texts, stream: Literal[True], timeout: float | None = None, **params: Any
    ) -> S: ...

    @overload
    def create(
        self, *, model: str, prompt: Texts, stream: bool | None, timeout: float | None = None, **params: Any
    ) -> W | S: ...

    def create(
        self,
        *,
        model: str,
        prompt: Texts,
        stream: bool | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> W | S:
        """Let the model go on from each prompt.

        Args:
            model: name or alias of a served model.
            prompt: one or several, as text or as token ids.
            stream: give the text as it is generated: an iterator of completions, whose `choices[0].text` is what
                came since the last one.
            timeout: seconds the server may be silent, instead of the client's.
            params: `max_tokens`, `temperature` (0 to 2), `top_p`, `n`, `stop`, `echo`, … as the server knows them.

        Returns:
            The completion; `choices` holds `n` per prompt, in the prompts' order, each with `text` and
            `finish_reason`.

        Raises:
            fastchat.errors.FastChatError: see there for the kinds.
            TypeError, ValueError: a parameter that JSON cannot carry.
        """
        path, body = COMPLETIONS, {"model": model, "prompt": prompt, **params}
        if stream:
            return self._stream(Call(path, api.Completion.model_validate_json, {**body, "stream": True}, timeout))
        return self._request(Call(path, api.Completion.model_validate_json, body, timeout))


class Embeddings(Generic[W]):
    """`POST /v1/embeddings`: texts as vectors."""

    def __init__(self, request: Callable[[Call[api.EmbeddingResponse]], W]) -> None:
        self._request = request

    def create(
        self,
        *,
        model: str,
        input: Texts,  # noqa: A002  # the wire's name
        encoding_format: Literal["float", "base64"] | None = None,
        timeout: float | None = None,
        **params: Any,
    ) -> W:
        """Embed texts.

        Args:
            model: name or alias of a served model.
            input: one or several, as text or as token ids; an array or a Series of them will do.
            encoding_format: how the vectors are sent and given back. None: sent as base64, which is a quarter of the
                size, and given back as floats; "base64" gives them as little-endian float32 in base64.
            timeout: seconds the server may be silent, instead of the client's.
            params: `dimensions`, `user`, … as the server knows them.

        Returns:
            The embeddings; `data[i].embedding` is the vector of text i, as long as the model has dimensions.

        Raises:
            fastchat.errors.FastChatError: see there for the kinds.
            TypeError, ValueError: a parameter that JSON cannot carry.
        """
        body = {"model": model, "input": input, "encoding_format": encoding_format or "base64", **params}
        read = api.EmbeddingResponse.model_validate_json if encoding_format else read_embeddings
        return self._request(Call(EMBEDDINGS, read, body, timeout))


class Rerank(Generic[W]):
    """`POST /v1/rerank`: documents by how well they match a query."""

    def __init__(self, request: Callable[[Call[api.RerankResponse]], W]) -> None:
        self._request = request

    def create(
        self,
        *,
        model: str,
        query: str,
        documents: Sequence[str | Mapping[str, Any]],
        timeout: float | None = None,
        **params: Any,
    ) -> W:
        """Sort documents by how well they match a query.

        Args:
            model: name or alias of a cross-encoder, or of a model that embeds texts.
            query: what is asked.
            documents: what may answer it, each a text or `{"text": …}`.
            timeout: seconds the server may be silent, instead of the client's.
            params: `top_n`, `return_documents`, … as the server knows them.

        Returns:
            The ranking; `results` has the best first, each with `index` (in `documents`) and `relevance_score`.

        Raises:
            fastchat.errors.FastChatError: see there for the kinds.
            TypeError, ValueError: a parameter that JSON cannot carry.
        """
        body = {"model": model, "query": query, "documents": documents, **params}
        return self._request(Call(RERANK, api.RerankResponse.model_validate_json, body, timeout))


class Scores(Generic[W]):
    """`POST /v1/score`: how well two texts match."""

    def __init__(self, request: Callable[[Call[api.ScoreResponse]], W]) -> None:
        self._request = request

    def create(
        self,
        *,
        model: str,
        text_1: str | Sequence[str],
        text_2: str | Sequence[str],
        timeout: float | None = None,
        **params: Any,
    ) -> W:
        """Say how well texts match, for each pair of them.

        Args:
            model: name or alias of a cross-encoder, or of a model that embeds texts.
            text_1: one text for all of `text_2`, or one for each.
            text_2: one or several.
            timeout: seconds the server may be silent, instead of the client's.
            params: `truncate_prompt_tokens`, … as the server knows them.

        Returns:
            The scores; `data[i].score` is that of pair i, a higher one better.

        Raises:
            fastchat.errors.FastChatError: see there for the kinds.
            TypeError, ValueError: a parameter that JSON cannot carry.
        """
        body = {"model": model, "text_1": text_1, "text_2": text_2, **params}
        return self._request(Call(SCORE, api.ScoreResponse.model_validate_json, body, timeout))


class Models(Generic[L, W]):
    """`GET /v1/models`: what is served."""

    def __init__(
        self, request_list: Callable[[Call[api.ModelList]], L], request: Callable[[Call[api.ModelCard]], W]
    ) -> None:
        self._request_list = request_list
        self._request = request

    def list(self) -> L:
        """The served models and aliases; `data[i].id` is the name to call one by.

        Raises:
            fastchat.errors.FastChatError: see there for the kinds.
        """
        return self._request_list(Call(MODELS, api.ModelList.model_validate_json))

    def retrieve(self, model: str) -> W:
        """One served model, by its name or an alias.

        Raises:
            fastchat.errors.NotFoundError: it is not served here.
            fastchat.errors.FastChatError: see there for the other kinds.
            ValueError: the name is empty.
        """
        if not model:
            raise ValueError("Invalid model name '': Model.list() gives the names.")
        path = f"{MODELS}/{urllib.parse.quote(model, safe='')}"
        return self._request(Call(path, api.ModelCard.model_validate_json))


def _awaited(resource: C) -> C:
    """The class with its public methods as coroutine functions, by which decorators and frameworks know them."""
    for name, method in inspect.getmembers(resource, inspect.isfunction):
        if not name.startswith("_"):
            setattr(resource, name, _coroutine_function(method))
    return resource


def _coroutine_function(method: Callable[..., Awaited[Any]]) -> Callable[..., Awaited[Any]]:
    @functools.wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:
        return await method(*args, **kwargs)

    return call


@_awaited
class AsyncChatCompletions(ChatCompletions[Awaited[api.ChatCompletion], Awaited[AsyncStream[api.ChatCompletionChunk]]]):
    """`ChatCompletions`, to be awaited; the iterator of a stream is asynchronous."""


@_awaited
class AsyncCompletions(Completions[Awaited[api.Completion], Awaited[AsyncStream[api.Completion]]]):
    """`Completions`, to be awaited; the iterator of a stream is asynchronous."""


@_awaited
class AsyncEmbeddings(Embeddings[Awaited[api.EmbeddingResponse]]):
    """`Embeddings`, to be awaited."""


@_awaited
class AsyncRerank(Rerank[Awaited[api.RerankResponse]]):
    """`Rerank`, to be awaited."""


@_awaited
class AsyncScores(Scores[Awaited[api.ScoreResponse]]):
    """`Scores`, to be awaited."""


@_awaited
class AsyncModels(Models[Awaited[api.ModelList], Awaited[api.ModelCard]]):
    """`Models`, to be awaited."""


class Resources:
    """All resources through one blocking transport."""

    def __init__(self, transport: Transport) -> None:
        self.chat = Chat(ChatCompletions(transport.request, transport.stream))
        self.completions = Completions(transport.request, transport.stream)
        self.embeddings = Embeddings(transport.request)
        self.rerank = Rerank(transport.request)
        self.score = Scores(transport.request)
        self.models = Models(transport.request, transport.request)


class AsyncResources:
    """All resources through one transport that is awaited."""

    def __init__(self, transport: AsyncTransport) -> None:
        self.chat = Chat(AsyncChatCompletions(transport.request, transport.stream))
        self.completions = AsyncCompletions(transport.request, transport.stream)
        self.embeddings = AsyncEmbeddings(transport.request)
        self.rerank = AsyncRerank(transport.request)
        self.score = AsyncScores(transport.request)
        self.models = AsyncModels(transport.request, transport.request)
