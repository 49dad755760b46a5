import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from support.eventually import PATIENCE_SECONDS

from fastchat import client, errors

Serve = Callable[..., str]
HELLO = [{"role": "user", "content": "Hello!"}]


def chat_event(text: str) -> str:
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': text}}]})}\n\n"


def text_event(text: str) -> str:
    return f"data: {json.dumps({'choices': [{'index': 0, 'text': text}]})}\n\n"


def streaming(*parts: str) -> Starlette:
    """Answers every POST with these parts of a stream."""

    async def respond(request: Request) -> StreamingResponse:
        assert (await request.json())["stream"] is True
        return StreamingResponse(pieces(), media_type="text/event-stream")

    async def pieces() -> AsyncIterator[str]:
        for part in parts:
            yield part
            await asyncio.sleep(0.01)

    return Starlette(routes=[Route("/v1/{path:path}", respond, methods=["POST"])])


class Endless:
    """Streams an event for ever, and knows when its client has gone."""

    def __init__(self, event: str = chat_event("a")) -> None:
        self.event = event.encode()
        self.began = threading.Event()
        self.left = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        gone = asyncio.create_task(self._gone(receive))
        while not gone.done():
            await send({"type": "http.response.body", "body": self.event, "more_body": True})
            self.began.set()
            await asyncio.sleep(0.01)
        self.left.set()

    async def _gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


def test_a_chat_comes_as_chunks(serve: Serve) -> None:
    serve(streaming(": waiting\n\n", chat_event("Hel"), chat_event("lo"), "data: [DONE]\n\n"))
    chunks = list(client.ChatCompletion.create(model="m", messages=HELLO, stream=True))
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["Hel", "lo"]


def test_a_completion_comes_as_completions(serve: Serve) -> None:
    serve(streaming(text_event("Hel"), text_event("lo"), "data: [DONE]\n\n"))
    events = list(client.Completion.create(model="m", prompt="p", stream=True))
    assert [event["choices"][0]["text"] for event in events] == ["Hel", "lo"]


async def test_an_awaited_chat_comes_as_chunks(serve: Serve) -> None:
    serve(streaming(chat_event("Hel"), chat_event("lo"), "data: [DONE]\n\n"))
    stream = await client.ChatCompletion.acreate(model="m", messages=HELLO, stream=True)
    assert [chunk.choices[0].delta.content async for chunk in stream] == ["Hel", "lo"]


async def test_an_awaited_completion_comes_as_completions(serve: Serve) -> None:
    serve(streaming(text_event("Hel"), text_event("lo"), "data: [DONE]\n\n"))
    stream = await client.Completion.acreate(model="m", prompt="p", stream=True)
    assert [event.choices[0].text async for event in stream] == ["Hel", "lo"]


def test_an_event_is_given_before_the_next_is_generated(serve: Serve) -> None:
    proceed = threading.Event()

    async def respond(request: Request) -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            yield chat_event("first")
            assert await asyncio.to_thread(proceed.wait, PATIENCE_SECONDS)
            yield chat_event("second") + "data: [DONE]\n\n"

        return StreamingResponse(pieces(), media_type="text/event-stream")

    serve(Starlette(routes=[Route("/v1/chat/completions", respond, methods=["POST"])]))
    stream = client.ChatCompletion.create(model="m", messages=HELLO, stream=True)
    assert next(stream).choices[0].delta.content == "first"
    proceed.set()
    assert next(stream).choices[0].delta.content == "second"
    assert list(stream) == []


def test_breaking_off_a_loop_closes_the_connection(serve: Serve) -> None:
    server = Endless()
    serve(server)
    stream = client.ChatCompletion.create(model="m", messages=HELLO, stream=True)
    for _chunk in stream:
        break
    assert server.left.wait(PATIENCE_SECONDS)
    assert list(stream) == []


async def test_breaking_off_an_async_loop_closes_the_connection(serve: Serve) -> None:
    server = Endless()
    serve(server)
    stream = await client.ChatCompletion.acreate(model="m", messages=HELLO, stream=True)
    async for _chunk in stream:
        break
    assert await asyncio.to_thread(server.left.wait, PATIENCE_SECONDS)
    assert [chunk async for chunk in stream] == []


def test_an_error_of_the_caller_closes_the_connection(serve: Serve) -> None:
    server = Endless()
    serve(server)
    stream = client.ChatCompletion.create(model="m", messages=HELLO, stream=True)
    with pytest.raises(ZeroDivisionError), stream:
        raise ZeroDivisionError(next(stream))
    assert server.left.wait(PATIENCE_SECONDS)


async def test_an_error_of_the_awaiting_caller_closes_the_connection(serve: Serve) -> None:
    server = Endless()
    serve(server)
    stream = await client.ChatCompletion.acreate(model="m", messages=HELLO, stream=True)
    with pytest.raises(ZeroDivisionError):
        async with stream:
            raise ZeroDivisionError(await anext(stream))
    assert await asyncio.to_thread(server.left.wait, PATIENCE_SECONDS)


def test_a_stream_that_is_let_go_unread_closes_the_connection(serve: Serve) -> None:
    server = Endless()
    serve(server)
    client.ChatCompletion.create(model="m", messages=HELLO, stream=True)
    assert server.left.wait(PATIENCE_SECONDS)


async def test_an_async_stream_that_is_let_go_unread_closes_the_connection(serve: Serve) -> None:
    server = Endless()
    serve(server)
    await client.ChatCompletion.acreate(model="m", messages=HELLO, stream=True)
    assert await asyncio.to_thread(server.left.wait, PATIENCE_SECONDS)


async def test_a_cancelled_task_closes_the_connection(serve: Serve) -> None:
    server = Endless()
    serve(server)

    async def consume() -> None:
        async for _ in await client.ChatCompletion.acreate(model="m", messages=HELLO, stream=True):
            pass

    task = asyncio.create_task(consume())
    await asyncio.to_thread(server.began.wait, PATIENCE_SECONDS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(server.left.wait, PATIENCE_SECONDS)


async def test_another_task_can_end_a_stream_that_waits(serve: Serve) -> None:
    async def respond(request: Request) -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            yield chat_event("first")
            await asyncio.sleep(600)

        return StreamingResponse(pieces(), media_type="text/event-stream")

    serve(Starlette(routes=[Route("/v1/chat/completions", respond, methods=["POST"])]))
    stream = await client.ChatCompletion.acreate(model="m", messages=HELLO, stream=True)

    async def consume() -> list[str | None]:
        return [chunk.choices[0].delta.content async for chunk in stream]

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.1)
    await stream.aclose()
    assert await asyncio.wait_for(task, PATIENCE_SECONDS) == ["first"]


def test_a_stream_read_to_its_end_leaves_its_connection_to_the_next_call(serve: Serve) -> None:
    peers: list[int] = []
    app = streaming(chat_event("a"), "data: [DONE]\n\n")

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        peers.append(scope["client"][1])
        await app(scope, receive, send)

    serve(counting)
    for _ in range(2):
        list(client.ChatCompletion.create(model="m", messages=HELLO, stream=True))
    assert peers[0] == peers[1]


def test_a_stream_that_ends_without_done_is_an_error_after_its_events(serve: Serve) -> None:
    serve(streaming(chat_event("a")))
    stream = client.ChatCompletion.create(model="m", messages=HELLO, stream=True)
    assert next(stream).choices[0].delta.content == "a"
    with pytest.raises(errors.APIConnectionError, match=r"ended without \[DONE\]"):
        next(stream)


async def test_an_async_stream_that_ends_without_done_is_an_error_after_its_events(serve: Serve) -> None:
    serve(streaming(chat_event("a")))
    stream = await client.ChatCompletion.acreate(model="m", messages=HELLO, stream=True)
    assert (await anext(stream)).choices[0].delta.content == "a"
    with pytest.raises(errors.APIConnectionError, match=r"ended without \[DONE\]"):
        await anext(stream)


class Dying:
    """Breaks the connection within a stream."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream"), (b"content-length", b"10000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in self.parts:
            await send({"type": "http.response.body", "body": part.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@pytest.mark.filterwarnings("ignore")  # uvicorn's thread says what this server does wrong
def test_a_connection_that_breaks_within_a_stream_is_an_error(serve: Serve) -> None:
    serve(Dying(chat_event("a")))
    stream = client.ChatCompletion.create(model="m", messages=HELLO, stream=True)
    assert next(stream).choices[0].delta.content == "a"
    with pytest.raises(errors.APIConnectionError, match="broke before the response was complete"):
        next(stream)


async def test_a_connection_that_breaks_within_an_async_stream_is_an_error(serve: Serve) -> None:
    serve(Dying(chat_event("a")))
    stream = await client.ChatCompletion.acreate(model="m", messages=HELLO, stream=True)
    assert (await anext(stream)).choices[0].delta.content == "a"
    with pytest.raises(errors.APIConnectionError, match="broke before the response was complete"):
        await anext(stream)


async def test_a_connection_that_breaks_after_done_is_none(serve: Serve) -> None:
    serve(Dying(chat_event("a"), "data: [DONE]\n\n"))
    assert len(list(client.ChatCompletion.create(model="m", messages=HELLO, stream=True))) == 1
    stream = await client.ChatCompletion.acreate(model="m", messages=HELLO, stream=True)
    assert len([chunk async for chunk in stream]) == 1


async def test_an_error_event_is_raised(serve: Serve) -> None:
    gone = {"error": {"message": "The worker is gone.", "type": "server_error", "param": None, "code": None}}
    serve(streaming(chat_event("a"), f"data: {json.dumps(gone)}\n\n"))
    with pytest.raises(errors.InternalServerError, match="The worker is gone"):
        list(client.ChatCompletion.create(model="m", messages=HELLO, stream=True))
    stream = await client.ChatCompletion.acreate(model="m", messages=HELLO, stream=True)
    with pytest.raises(errors.InternalServerError, match="The worker is gone"):
        async for _ in stream:
            pass


def test_an_error_event_closes_the_connection(serve: Serve) -> None:
    server = Endless('data: {"error": {"message": "gone"}}\n\n')
    serve(server)
    stream = client.ChatCompletion.create(model="m", messages=HELLO, stream=True)
    with pytest.raises(errors.InternalServerError, match="gone"):
        next(stream)
    assert server.left.wait(PATIENCE_SECONDS)
    assert list(stream) == []


async def test_an_error_event_closes_the_connection_of_an_async_stream(serve: Serve) -> None:
    server = Endless('data: {"error": {"message": "gone"}}\n\n')
    serve(server)
    stream = await client.ChatCompletion.acreate(model="m", messages=HELLO, stream=True)
    with pytest.raises(errors.InternalServerError, match="gone"):
        await anext(stream)
    assert await asyncio.to_thread(server.left.wait, PATIENCE_SECONDS)
    assert [chunk async for chunk in stream] == []


async def test_a_refused_stream_raises_before_it_begins(serve: Serve) -> None:
    async def refuse(request: Request) -> JSONResponse:
        return JSONResponse({"error": {"message": "No model x.", "code": "model_not_found"}}, 404)

    serve(Starlette(routes=[Route("/v1/chat/completions", refuse, methods=["POST"])]))
    with pytest.raises(errors.NotFoundError, match=r"No model x\."):
        client.ChatCompletion.create(model="x", messages=HELLO, stream=True)
    with pytest.raises(errors.NotFoundError, match=r"No model x\."):
        await client.ChatCompletion.acreate(model="x", messages=HELLO, stream=True)


async def test_a_server_that_does_not_stream_is_an_error(serve: Serve) -> None:
    async def respond(request: Request) -> JSONResponse:
        return JSONResponse({"choices": []})

    serve(Starlette(routes=[Route("/v1/chat/completions", respond, methods=["POST"])]))
    with pytest.raises(errors.APIResponseError, match="a stream of events was requested"):
        client.ChatCompletion.create(model="m", messages=HELLO, stream=True)
    with pytest.raises(errors.APIResponseError, match="a stream of events was requested"):
        await client.ChatCompletion.acreate(model="m", messages=HELLO, stream=True)
