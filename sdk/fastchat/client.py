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

`set_baseurl` and the others set what all of these calls share; `Client` and `AsyncClient` have settings of their own.
"""

from fastchat._client.clients import AsyncClient, Client
from fastchat._client.resources import Array, AsyncResources, Messages, Resources, Texts
from fastchat._client.settings import Settings, parse_api_key, parse_base_url, parse_max_retries, resolve, timeouts
from fastchat._client.stream import AsyncStream, Stream
from fastchat._client.transport import AsyncTransport, Transport

__all__ = [
    "Array",
    "AsyncClient",
    "AsyncStream",
    "ChatCompletion",
    "Client",
    "Completion",
    "Embedding",
    "Messages",
    "Model",
    "Stream",
    "Texts",
    "set_api_key",
    "set_baseurl",
    "set_max_retries",
    "set_timeout",
]

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
    Nothing is sent twice once a part of its response was read.

    Raises:
        ValueError: below 0.
    """
    global _max_retries
    _max_retries = parse_max_retries(count)


def _settings() -> Settings:
    return resolve(_base_url, _api_key or None, _timeout, _max_retries)


_blocking = Resources(Transport(_settings))
_awaited = AsyncResources(AsyncTransport(_settings))


class ChatCompletion:
    """`POST /v1/chat/completions`: the model's next turn in a conversation."""

    create = _blocking.chat.completions.create
    acreate = _awaited.chat.completions.create


class Completion:
    """`POST /v1/completions`: text that goes on from a prompt."""

    create = _blocking.completions.create
    acreate = _awaited.completions.create


class Embedding:
    """`POST /v1/embeddings`: texts as vectors."""

    create = _blocking.embeddings.create
    acreate = _awaited.embeddings.create


class Model:
    """`GET /v1/models`: what is served."""

    list = _blocking.models.list
    alist = _awaited.models.list
    retrieve = _blocking.models.retrieve
    aretrieve = _awaited.models.retrieve
