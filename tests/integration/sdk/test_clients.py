import asyncio
import gc
import inspect
import json
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from support.eventually import PATIENCE_SECONDS, eventually_async

import fastchat
from fastchat import AsyncClient, Client, client, errors

Serve = Callable[..., str]
HELLO = [{"role": "user", "content": "Hello!"}]


async def echo(request: Request) -> Response:
    """Answers with what it was sent, after `delay` seconds; streams it where that is requested."""
    sent = await request.json() if request.method == "POST" else {}
    await asyncio.sleep(sent.get("delay", 0))
    body = {
        "sent": sent,
        "url": str(request.url),
        "authorization": request.headers.get("authorization"),
        "headers": dict(request.headers),
        "peer": request.scope["client"][1],
    }
    if sent.get("stream"):
        return StreamingResponse(events(body), media_type="text/event-stream")
    return JSONResponse(body)


async def events(body: object) -> AsyncIterator[str]:
    for _ in range(2):
        yield f"data: {json.dumps(body)}\n\n"
        await asyncio.sleep(0.01)
    yield "data: [DONE]\n\n"


ECHO = Starlette(routes=[Route("/v1/{path:path}", echo, methods=["GET", "POST"])])


class Busy:
    """Says 503 and when to come back, and counts how often it was called."""

    def __init__(self) -> None:
        self.called = 0
        self.app = Starlette(routes=[Route("/v1/models", self.refuse)])

    async def refuse(self, request: Request) -> Response:
        self.called += 1
        return JSONResponse({"error": {"message": "No worker."}}, 503, headers={"retry-after": "0"})


def test_the_clients_are_exported() -> None:
    assert fastchat.Client is client.Client
    assert fastchat.AsyncClient is client.AsyncClient


def test_a_client_has_every_resource(serve: Serve) -> None:
    with Client(base_url=serve(ECHO), api_key="sk-1") as mine:
        responses = [
            mine.chat.completions.create(model="m", messages=HELLO, top_k=5),
            mine.completions.create(model="m", prompt="p"),
            mine.embeddings.create(model="m", input="a"),
            mine.models.list(),
            mine.models.retrieve("m"),
        ]
    paths = [response["url"].partition("/v1/")[2] for response in responses]
    assert paths == ["chat/completions", "completions", "embeddings", "models", "models/m"]
    assert responses[0]["sent"] == {"model": "m", "messages": HELLO, "top_k": 5}
    assert {response["authorization"] for response in responses} == {"Bearer sk-1"}


async def test_an_async_client_has_every_resource(serve: Serve) -> None:
    async with AsyncClient(base_url=serve(ECHO), api_key="sk-1") as mine:
        responses = await asyncio.gather(
            mine.chat.completions.create(model="m", messages=HELLO, top_k=5),
            mine.completions.create(model="m", prompt="p"),
            mine.embeddings.create(model="m", input="a"),
            mine.models.list(),
            mine.models.retrieve("m"),
        )
    paths = [response["url"].partition("/v1/")[2] for response in responses]
    assert paths == ["chat/completions", "completions", "embeddings", "models", "models/m"]
    assert responses[0]["sent"] == {"model": "m", "messages": HELLO, "top_k": 5}
    assert {response["authorization"] for response in responses} == {"Bearer sk-1"}


async def test_a_stream_comes_as_events(serve: Serve) -> None:
    url = serve(ECHO)
    with Client(base_url=url) as mine:
        assert len(list(mine.chat.completions.create(model="m", messages=HELLO, stream=True))) == 2
        assert len(list(mine.completions.create(model="m", prompt="p", stream=True))) == 2
    async with AsyncClient(base_url=url) as mine:
        chunks = await mine.chat.completions.create(model="m", messages=HELLO, stream=True)
        assert len([chunk async for chunk in chunks]) == 2
        completions = await mine.completions.create(model="m", prompt="p", stream=True)
        assert len([event async for event in completions]) == 2


def test_every_call_of_an_async_client_is_a_coroutine_function() -> None:
    mine = AsyncClient()
    for resource in (mine.chat.completions, mine.completions, mine.embeddings, mine.models):
        calls = [call for name, call in inspect.getmembers(resource, inspect.ismethod) if name[0] != "_"]
        assert calls
        assert all(inspect.iscoroutinefunction(call) for call in calls)


# Settings of one's own


def test_what_is_not_given_comes_from_the_environment(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCHAT_BASEURL", serve(ECHO) + "/v1")
    monkeypatch.setenv("FASTCHAT_API_KEY", "sk-environment\n")
    with Client() as mine, Client(api_key="sk-1") as other, Client(api_key="") as nobody:
        assert [each.models.list()["authorization"] for each in (mine, other, nobody)] == [
            "Bearer sk-environment",
            "Bearer sk-1",
            None,
        ]


def test_a_client_keeps_the_environment_that_it_was_made_in(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCHAT_API_KEY", "sk-1")
    with Client(base_url=serve(ECHO)) as mine:
        monkeypatch.setenv("FASTCHAT_API_KEY", "sk-2")
        assert mine.models.list()["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"base_url": "localhost:8000"}, "Invalid base URL 'localhost:8000'"),
        ({"api_key": "schlüssel"}, "Invalid API key"),
        ({"timeout": 0}, "Invalid timeout 0"),
        ({"max_retries": -1}, "Invalid number of retries -1"),
    ],
)
def test_a_setting_that_can_never_work_is_refused_at_once(kind: type, setting: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        kind(**setting)


def test_what_is_set_for_the_module_is_not_set_for_a_client(serve: Serve) -> None:
    url = serve(ECHO)
    with Client(base_url=url) as mine:
        client.set_api_key("sk-module")
        client.set_baseurl("http://127.0.0.1:1")
        assert mine.models.list()["authorization"] is None
        client.set_baseurl(url)
        assert client.Model.list()["authorization"] == "Bearer sk-module"


def test_clients_in_threads_do_not_share_settings(serve: Serve) -> None:
    urls = [serve(ECHO), serve(ECHO)]
    first, second = Client(base_url=urls[0], api_key="sk-1"), Client(base_url=urls[1], api_key="sk-2")
    hasty = Client(base_url=urls[1], api_key="sk-3", timeout=0.05, max_retries=0)
    client.set_api_key("sk-module")

    def send(index: int) -> None:
        if index % 3 == 2:
            with pytest.raises(errors.APITimeoutError):
                hasty.completions.create(model="m", prompt="p", delay=600)
        else:
            response = (first, second)[index % 3].completions.create(model="m", prompt="p", delay=0.2)
            assert response["authorization"] == ("Bearer sk-1", "Bearer sk-2")[index % 3]
            assert response["url"] == f"{urls[index % 3]}/v1/completions"

    with first, second, hasty, ThreadPoolExecutor(12) as pool:
        list(pool.map(send, range(36)))


async def test_clients_in_one_event_loop_do_not_share_settings(serve: Serve) -> None:
    urls = [serve(ECHO), serve(ECHO)]
    client.set_api_key("sk-module")

    async def send(each: AsyncClient, url: str, key: str) -> None:
        response = await each.completions.create(model="m", prompt="p", delay=0.2)
        assert (response["authorization"], response["url"]) == (f"Bearer {key}", f"{url}/v1/completions")

    async def give_up(hasty: AsyncClient) -> None:
        with pytest.raises(errors.APITimeoutError):
            await hasty.completions.create(model="m", prompt="p", delay=600)

    async with (
        AsyncClient(base_url=urls[0], api_key="sk-1") as first,
        AsyncClient(base_url=urls[1], api_key="sk-2") as second,
        AsyncClient(base_url=urls[1], api_key="sk-3", timeout=0.05, max_retries=0) as hasty,
    ):
        calls = (send(first, urls[0], "sk-1"), send(second, urls[1], "sk-2"), give_up(hasty))
        await asyncio.gather(*calls, send(first, urls[0], "sk-1"), give_up(hasty), send(second, urls[1], "sk-2"))


@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_a_client_tries_again_as_often_as_it_is_told(serve: Serve, retries: int) -> None:
    blocking, awaited = Busy(), Busy()
    client.set_max_retries(2)
    with (
        Client(base_url=serve(blocking.app), max_retries=retries) as mine,
        pytest.raises(errors.ServiceUnavailableError),
    ):
        mine.models.list()
    async with AsyncClient(base_url=serve(awaited.app), max_retries=retries) as other:
        with pytest.raises(errors.ServiceUnavailableError):
            await other.models.list()
    assert (blocking.called, awaited.called) == (retries + 1, retries + 1)


def test_the_timeout_of_a_call_goes_before_the_clients(serve: Serve) -> None:
    with Client(base_url=serve(ECHO), timeout=600) as mine, pytest.raises(errors.APITimeoutError):
        mine.completions.create(model="m", prompt="p", delay=600, timeout=0.05)


# Connections of one's own, or of a client that was given


def test_each_client_has_connections_of_its_own_and_keeps_them(serve: Serve) -> None:
    url = serve(ECHO)
    with Client(base_url=url) as mine, Client(base_url=url) as other:
        peers = [each.models.list()["peer"] for each in (mine, other, mine, other)]
    assert peers[:2] == peers[2:]
    assert peers[0] != peers[1]


async def test_a_closed_client_refuses_calls(serve: Serve) -> None:
    url = serve(ECHO)
    with Client(base_url=url) as mine:
        mine.models.list()
    with pytest.raises(RuntimeError, match="This client is closed"):
        mine.models.list()
    async with AsyncClient(base_url=url) as other:
        await other.models.list()
    with pytest.raises(RuntimeError, match="This client is closed"):
        await other.models.list()


def connections(url: str) -> int:
    """How many connections this process has to a server."""
    port = int(url.rpartition(":")[2])
    found = psutil.Process().net_connections("tcp4")
    return sum(bool(each.raddr) and each.raddr.port == port and each.status == "ESTABLISHED" for each in found)


async def test_closing_closes_the_connections(serve: Serve) -> None:
    url = serve(ECHO)
    with Client(base_url=url) as mine:
        mine.models.list()
        assert connections(url) == 1
    assert connections(url) == 0
    async with AsyncClient(base_url=url) as other:
        await other.models.list()
        assert connections(url) == 1
    assert connections(url) == 0


async def test_a_client_that_is_let_go_closes_its_connections(serve: Serve) -> None:
    url = serve(ECHO)
    Client(base_url=url).models.list()
    await AsyncClient(base_url=url).models.list()
    gc.collect()
    await eventually_async(lambda: connections(url) == 0)


async def test_a_stream_outlives_the_client_that_was_let_go(serve: Serve) -> None:
    url = serve(ECHO)
    stream = Client(base_url=url).completions.create(model="m", prompt="p", stream=True)
    awaited = await AsyncClient(base_url=url).completions.create(model="m", prompt="p", stream=True)
    gc.collect()
    await asyncio.sleep(0)
    assert len(list(stream)) == 2
    assert len([event async for event in awaited]) == 2


def test_an_async_client_can_be_used_in_loop_after_loop(serve: Serve) -> None:
    mine = AsyncClient(base_url=serve(ECHO), api_key="sk-1")

    async def ask() -> str:
        return str((await mine.models.list())["authorization"])

    assert [asyncio.run(ask()) for _ in range(3)] == ["Bearer sk-1"] * 3


def test_an_async_client_can_be_used_in_loops_of_several_threads(serve: Serve) -> None:
    mine = AsyncClient(base_url=serve(ECHO))
    together = threading.Barrier(8)

    async def ask() -> int:
        return int((await mine.models.list())["peer"])

    def run(_: int) -> int:
        together.wait(PATIENCE_SECONDS)
        return asyncio.run(ask())

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(run, range(8)))) == 8


def test_a_client_that_was_given_sends_the_requests_and_stays_open(serve: Serve) -> None:
    url, seen = serve(ECHO), []
    hooks = {"request": [lambda request: seen.append(request.url.path)]}
    with httpx.Client(headers={"x-team": "a"}, event_hooks=hooks) as given:
        with Client(base_url=url, api_key="sk-1", http_client=given) as mine:
            response = mine.models.list()
        assert given.get(url + "/v1/still-open").status_code == 200
    assert (response["headers"]["x-team"], response["authorization"]) == ("a", "Bearer sk-1")
    assert response["headers"]["user-agent"].startswith("fastchat-python/")
    assert seen == ["/v1/models", "/v1/still-open"]


async def test_an_async_client_that_was_given_sends_the_requests_and_stays_open(serve: Serve) -> None:
    url = serve(ECHO)
    async with httpx.AsyncClient(headers={"x-team": "a"}) as given:
        async with AsyncClient(base_url=url, http_client=given) as mine:
            response = await mine.chat.completions.create(model="m", messages=HELLO)
        assert (await given.get(url + "/v1/still-open")).status_code == 200
    assert (response["headers"]["x-team"], response["sent"]) == ("a", {"model": "m", "messages": HELLO})


def test_the_timeout_of_a_client_that_was_given_is_not_used(serve: Serve) -> None:
    with httpx.Client(timeout=0.05) as given, Client(base_url=serve(ECHO), http_client=given) as mine:
        assert mine.completions.create(model="m", prompt="p", delay=0.3)["sent"]["model"] == "m"


def test_a_given_client_of_the_other_kind_is_refused() -> None:
    with pytest.raises(TypeError, match=r"a Client takes an httpx\.Client"):
        Client(http_client=httpx.AsyncClient())  # type: ignore[arg-type]
    with httpx.Client() as blocking, pytest.raises(TypeError, match=r"an AsyncClient takes an httpx\.AsyncClient"):
        AsyncClient(http_client=blocking)  # type: ignore[arg-type]


def test_a_client_that_is_let_go_leaves_nothing_behind(serve: Serve) -> None:
    mine = Client(base_url=serve(ECHO))
    mine.models.list()
    transport = weakref.ref(mine._transport)
    del mine
    gc.collect()
    assert transport() is None
