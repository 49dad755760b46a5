import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

SNIPPET = """\
import os
from fastchat import client
client.set_baseurl(os.getenv("FASTCHAT_BASEURL"))
completion = client.ChatCompletion.create(
  model="vicuna-7b-v1.1",
  messages=[
    {"role": "user", "content": "Hello!"}
  ]
)
print(completion.choices[0].message)
"""


async def chat(request: Request) -> JSONResponse:
    received = await request.json()
    message = {"role": "assistant", "content": f"{received['model']} was told {received['messages'][0]['content']}"}
    return JSONResponse({"id": "chatcmpl-1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


APP = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])


def run(script: str, url: str | None) -> subprocess.CompletedProcess[str]:
    """Runs a script with every warning of Python shown: of a socket left open, of a coroutine never awaited."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FASTCHAT_")}
    command = [sys.executable, "-W", "always", "-c", script]
    return subprocess.run(
        command, env=env | ({"FASTCHAT_BASEURL": url} if url else {}), capture_output=True, text=True, timeout=60
    )


def test_the_snippet_runs_as_it_is(serve: Callable[..., str]) -> None:
    done = run(SNIPPET, serve(APP))
    assert done.stdout == '{"role":"assistant","content":"vicuna-7b-v1.1 was told Hello!"}\n'
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_gateway_the_snippet_says_what_to_do(free_port: int) -> None:
    done = run(SNIPPET, f"http://127.0.0.1:{free_port}")
    assert done.returncode == 1
    assert done.stderr.endswith(
        f"fastchat.errors.APIConnectionError: Cannot reach http://127.0.0.1:{free_port}: connection refused. "
        "Is the gateway running? Set the address with base_url=..., client.set_baseurl(...) or FASTCHAT_BASEURL.\n"
    )


AWAITED = """\
import asyncio
from fastchat import client

async def main():
    completion = await client.ChatCompletion.acreate(model="m", messages=[{"role": "user", "content": "Hello!"}])
    return completion.choices[0].message.content

print(asyncio.run(main()), asyncio.run(main()))
"""


def test_asyncio_run_twice_leaves_nothing_open(serve: Callable[..., str]) -> None:
    done = run(AWAITED, serve(APP))
    assert (done.returncode, done.stdout, done.stderr) == (0, "m was told Hello! m was told Hello!\n", "")


UNCLOSED = """\
import asyncio, fastchat

def call():
    return fastchat.Client().chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello!"}])

async def acall():
    mine = fastchat.AsyncClient()
    return await mine.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello!"}])

kept = fastchat.Client()
kept.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello!"}])
print(call().choices[0].message.content, asyncio.run(acall()).choices[0].message.content)
"""


def test_a_client_that_nobody_closes_leaves_nothing_open(serve: Callable[..., str]) -> None:
    done = run(UNCLOSED, serve(APP))
    assert (done.returncode, done.stdout, done.stderr) == (0, "m was told Hello! m was told Hello!\n", "")


EARLY = """\
import asyncio
from fastchat import client

async def main():
    stream = await client.Completion.acreate(model="m", prompt="p", stream=True)
    async for event in stream:
        break

async def never_read():
    await client.Completion.acreate(model="m", prompt="p", stream=True)

asyncio.run(main())
asyncio.run(never_read())
"""


def test_a_program_that_ends_within_a_stream_leaves_nothing_open(serve: Callable[..., str]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    done = run(EARLY, serve(app))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_does_not_use_its_parents_connection(serve: Callable[..., str]) -> None:
    peers: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        peers.append(scope["client"][1])
        await JSONResponse({"object": "list", "data": []})(scope, receive, send)

    script = """\
import os
from fastchat import client
client.Model.list()
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
    client.Model.list()
else:
    client.Model.list()
"""
    assert run(script, serve(app)).returncode == 0
    parent, child, parent_again = peers
    assert parent == parent_again != child
