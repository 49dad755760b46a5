import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from support.eventually import PATIENCE_SECONDS

from fastchat import client, errors

Serve = Callable[..., str]


class Responses:
    """Sends one response after the other, the last for ever."""

    def __init__(self, *responses: Response) -> None:
        self.responses = list(responses)
        self.called = 0

    async def respond(self, request: Request) -> Response:
        self.called += 1
        return self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]


def app(responses: Responses) -> Starlette:
    return Starlette(routes=[Route("/v1/models", responses.respond)])


def busy(status: int = 503, **headers: str) -> Response:
    error = {"message": "No worker is ready.", "type": "service_unavailable_error", "param": None, "code": None}
    return JSONResponse({"error": error}, status, headers={name.replace("_", "-"): v for name, v in headers.items()})


LIST = JSONResponse({"object": "list", "data": [{"id": "m"}]})


@contextmanager
def raw_server(*responses: bytes) -> Iterator[str]:
    """Takes one connection per response, reads a little, writes the response and closes."""

    def run() -> None:
        for response in responses:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(response)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread.join(PATIENCE_SECONDS)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_is_called_again_when_it_says_so(serve: Serve, status: int) -> None:
    blocking, awaited = (Responses(busy(status, retry_after="0"), LIST) for _ in range(2))
    serve(app(blocking))
    assert client.Model.list().data[0].id == "m"
    serve(app(awaited))
    assert (await client.Model.alist()).data[0].id == "m"
    assert (blocking.called, awaited.called) == (2, 2)


async def test_the_servers_time_is_waited_for(serve: Serve) -> None:
    serve(app(Responses(busy(retry_after="1"), LIST)))
    start = time.monotonic()
    await client.Model.alist()
    assert time.monotonic() - start > 1.2


async def test_after_the_retries_the_servers_error_is_raised(serve: Serve) -> None:
    blocking, awaited = (Responses(busy(retry_after="0", x_request_id="r-1")) for _ in range(2))
    client.set_max_retries(1)
    serve(app(blocking))
    with pytest.raises(errors.ServiceUnavailableError, match=r"503: No worker is ready. \(request r-1\)") as caught:
        client.Model.list()
    serve(app(awaited))
    with pytest.raises(errors.ServiceUnavailableError):
        await client.Model.alist()
    assert (caught.value.retry_after, blocking.called, awaited.called) == (0, 2, 2)


@pytest.mark.parametrize("response", [busy(), busy(500, retry_after="0"), busy(retry_after="3600")])
def test_other_errors_are_raised_at_once(serve: Serve, response: Response) -> None:
    responses = Responses(response)
    serve(app(responses))
    with pytest.raises(errors.InternalServerError):
        client.Model.list()
    assert responses.called == 1


async def test_a_busy_server_is_called_again_for_a_stream(serve: Serve) -> None:
    done = PlainTextResponse("data: {}\n\ndata: [DONE]\n\n", media_type="text/event-stream")
    responses = Responses(busy(retry_after="0"), done)
    serve(Starlette(routes=[Route("/v1/completions", responses.respond, methods=["POST"])]))
    assert len(list(client.Completion.create(model="m", prompt="p", stream=True))) == 1
    responses.responses.insert(0, busy(retry_after="0"))
    stream = await client.Completion.acreate(model="m", prompt="p", stream=True)
    assert len([event async for event in stream]) == 1
    assert responses.called == 4


async def test_a_server_that_is_not_there_yet_is_tried_again(serve: Serve, free_port: int) -> None:
    def listen_late() -> None:
        time.sleep(0.15)
        with socket.create_server(("127.0.0.1", free_port)) as listener:
            for _ in range(2):
                connection, _address = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")

    client.set_max_retries(20)
    client.set_baseurl(f"http://127.0.0.1:{free_port}")
    thread = threading.Thread(target=listen_late, daemon=True)
    thread.start()
    assert client.Model.list().object == "list"
    assert (await client.Model.alist()).object == "list"
    thread.join(PATIENCE_SECONDS)


async def test_nobody_there_says_what_to_do(free_port: int) -> None:
    client.set_max_retries(0)
    client.set_baseurl(f"http://localhost:{free_port}")
    words = f"Cannot reach http://localhost:{free_port}: connection refused. Is the gateway running?"
    with pytest.raises(errors.APIConnectionError, match=words) as caught:
        client.Model.list()
    assert caught.value.__cause__ is not None
    with pytest.raises(errors.APIConnectionError, match=words):
        await client.Model.alist()


async def test_a_silent_server_is_a_timeout(serve: Serve) -> None:
    async def silent(request: Request) -> Response:
        await asyncio.sleep(600)
        return LIST

    serve(Starlette(routes=[Route("/v1/models", silent), Route("/v1/embeddings", silent, methods=["POST"])]))
    client.set_timeout(0.5)
    with pytest.raises(errors.APITimeoutError, match=r"was silent for 0\.5 s\. Allow more with client\.set_timeout"):
        client.Model.list()
    with pytest.raises(errors.APITimeoutError):
        await client.Model.alist()
    client.set_timeout(600)
    with pytest.raises(errors.APITimeoutError):
        client.Embedding.create(model="m", input="a", timeout=0.5)


@pytest.mark.parametrize(
    "response",
    [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", b"not http\r\n\r\n", b"HTTP/1.1 429 Too\r\n"],
    ids=["no response", "half a response", "no HTTP", "half a head"],
)
async def test_a_response_that_breaks_is_an_error_and_is_not_requested_again(response: bytes) -> None:
    with raw_server(response, response) as url:
        client.set_baseurl(url)
        with pytest.raises(errors.APIConnectionError, match="broke before the response was complete"):
            client.Model.list()
        with pytest.raises(errors.APIConnectionError, match="broke before the response was complete"):
            await client.Model.alist()


def test_a_busy_response_that_breaks_is_not_requested_again() -> None:
    with raw_server(b"HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 100\r\n\r\n{") as url:
        client.set_baseurl(url)
        with pytest.raises(errors.APIConnectionError, match="broke before the response was complete"):
            client.Completion.create(model="m", prompt="p", stream=True)


def test_a_response_that_is_not_what_its_encoding_says_is_an_error() -> None:
    with raw_server(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}") as url:
        client.set_baseurl(url)
        with pytest.raises(errors.APIResponseError, match="did not respond as the API describes"):
            client.Model.list()


def test_a_web_page_is_not_a_response(serve: Serve) -> None:
    serve(app(Responses(PlainTextResponse("<html>Welcome to nginx!</html>"))))
    with pytest.raises(errors.APIResponseError, match="Is that an OpenAI-compatible server") as caught:
        client.Model.list()
    assert caught.value.body == "<html>Welcome to nginx!</html>"


def test_a_redirect_is_not_followed_but_shown(serve: Serve) -> None:
    serve(app(Responses(Response(status_code=308, headers={"location": "https://gateway/v1/models"}))))
    with pytest.raises(errors.APIStatusError, match="redirects to https://gateway/v1/models"):
        client.Model.list()
