import asyncio
import base64
import gc
import json
import struct
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from support.eventually import PATIENCE_SECONDS

from fastchat import client

Serve = Callable[..., str]
HELLO = [{"role": "user", "content": "Hello!"}]


async def echo(request: Request) -> JSONResponse:
    """Responds with what it received."""
    received = await request.json() if request.method == "POST" else None
    return JSONResponse(
        {
            "id": "chatcmpl-1",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
            "received": received,
            "path": request.scope["raw_path"].decode(),
            "authorization": request.headers.get("authorization"),
            "peer": request.scope["client"][1],
        }
    )


ECHO = Starlette(routes=[Route("/v1/{path:path}", echo, methods=["GET", "POST"])])


def test_a_result_works_by_attribute_and_like_a_dict(serve: Serve) -> None:
    serve(ECHO)
    completion = client.ChatCompletion.create(model="m", messages=HELLO)
    assert completion.choices[0].message.content == "Hi"
    assert completion["choices"][0]["message"]["content"] == "Hi"
    assert dict(completion)["id"] == "chatcmpl-1"
    assert json.loads(json.dumps(completion.to_dict()))["choices"][0]["finish_reason"] == "stop"


def test_parameters_are_sent_as_they_are(serve: Serve) -> None:
    serve(ECHO)
    completion = client.ChatCompletion.create(model="m", messages=HELLO, max_tokens=None, top_k=5, guided={"a": [1]})
    received = {"model": "m", "messages": HELLO, "max_tokens": None, "top_k": 5, "guided": {"a": [1]}}
    assert completion["received"] == received


def test_the_timeout_is_not_sent(serve: Serve) -> None:
    serve(ECHO)
    assert client.Completion.create(model="m", prompt="p", timeout=5)["received"] == {"model": "m", "prompt": "p"}


def test_a_conversation_goes_on_with_the_message_of_the_response(serve: Serve) -> None:
    serve(ECHO)
    first = client.ChatCompletion.create(model="m", messages=HELLO)
    second = client.ChatCompletion.create(model="m", messages=[*HELLO, first.choices[0].message])
    assert second["received"]["messages"] == [*HELLO, {"role": "assistant", "content": "Hi"}]


def test_the_key_is_sent_as_a_bearer_token(serve: Serve) -> None:
    serve(ECHO)
    client.set_api_key("sk-1")
    assert client.Model.list()["authorization"] == "Bearer sk-1"


def test_a_model_name_with_a_slash_is_one_part_of_the_path(serve: Serve) -> None:
    serve(ECHO)
    assert client.Model.retrieve("lmsys/vicuna")["path"] == "/v1/models/lmsys%2Fvicuna"


async def test_every_call_can_be_awaited(serve: Serve) -> None:
    serve(ECHO)
    chat, text, models, model = await asyncio.gather(
        client.ChatCompletion.acreate(model="m", messages=HELLO),
        client.Completion.acreate(model="m", prompt="p"),
        client.Model.alist(),
        client.Model.aretrieve("m"),
    )
    paths = [response["path"] for response in (chat, text, models, model)]
    assert paths == ["/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/models/m"]


def test_consecutive_calls_use_one_connection(serve: Serve) -> None:
    serve(ECHO)
    assert client.Model.list()["peer"] == client.Model.list()["peer"]


async def test_consecutive_awaited_calls_use_one_connection(serve: Serve) -> None:
    serve(ECHO)
    assert (await client.Model.alist())["peer"] == (await client.Model.alist())["peer"]


async def test_a_blocking_call_works_inside_a_running_loop(serve: Serve) -> None:
    serve(ECHO)
    assert client.ChatCompletion.create(model="m", messages=HELLO).choices[0].message.content == "Hi"


def test_loop_after_loop_can_be_used(serve: Serve) -> None:
    serve(ECHO)
    for _ in range(3):
        assert asyncio.run(client.ChatCompletion.acreate(model="m", messages=HELLO)).id == "chatcmpl-1"


def test_a_loop_that_was_closed_without_ado_does_not_disturb_the_next(serve: Serve) -> None:
    serve(ECHO)
    for _ in range(2):
        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(client.Model.alist()).object == "list"
        loop.close()


def test_loops_that_are_closed_are_let_go(serve: Serve) -> None:
    serve(ECHO)
    loops = []
    for _ in range(2):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(client.Model.alist())
        loop.close()
        loops.append(weakref.ref(loop))
    asyncio.run(client.Model.alist())
    del loop
    gc.collect()
    assert [loop() for loop in loops] == [None, None]


def rendezvous(count: int) -> Starlette:
    """Answers only when `count` requests are there at once."""
    barrier = asyncio.Barrier(count)

    async def models(request: Request) -> JSONResponse:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await barrier.wait()
        return JSONResponse({"object": "list", "data": []})

    return Starlette(routes=[Route("/v1/models", models)])


async def test_awaited_calls_run_at_the_same_time(serve: Serve) -> None:
    serve(rendezvous(120))
    responses = await asyncio.gather(*(client.Model.alist() for _ in range(120)))
    assert len(responses) == 120


def test_threads_share_the_blocking_client(serve: Serve) -> None:
    serve(rendezvous(16))
    with ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(lambda _: client.Model.list(), range(16)))) == 16


def test_loops_in_several_threads_do_not_meet(serve: Serve) -> None:
    serve(ECHO)
    together = threading.Barrier(8)

    def run(_: int) -> str:
        together.wait(PATIENCE_SECONDS)
        return asyncio.run(client.Model.alist()).object

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(8))) == ["list"] * 8


async def embed(request: Request) -> JSONResponse:
    """The length of each text, twice, as a vector."""
    body = await request.json()
    vectors = [[float(len(text)), 0.5] for text in body["input"]]
    encoded = [base64.b64encode(struct.pack("<2f", *vector)).decode() for vector in vectors]
    sent = encoded if body.get("encoding_format") == "base64" else vectors
    return JSONResponse(
        {"data": [{"index": i, "embedding": vector} for i, vector in enumerate(sent)], "received": body}
    )


EMBED = Starlette(routes=[Route("/v1/embeddings", embed, methods=["POST"])])


async def test_vectors_are_sent_as_base64_and_given_as_floats(serve: Serve) -> None:
    serve(EMBED)
    texts = np.array(["one", "three"])
    for response in (
        client.Embedding.create(model="m", input=texts),
        await client.Embedding.acreate(model="m", input=texts),
    ):
        assert response["received"] == {"model": "m", "input": ["one", "three"], "encoding_format": "base64"}
        assert [item.embedding for item in response.data] == [[3.0, 0.5], [5.0, 0.5]]


@pytest.mark.parametrize(("encoding", "kind"), [("float", list), ("base64", str)])
def test_a_format_that_was_requested_is_given(serve: Serve, encoding: str, kind: type) -> None:
    serve(EMBED)
    response = client.Embedding.create(model="m", input=["one"], encoding_format=encoding)  # type: ignore[arg-type]
    assert response["received"]["encoding_format"] == encoding
    assert isinstance(response.data[0].embedding, kind)
