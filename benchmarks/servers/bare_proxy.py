"""Yardstick: the least that a proxy of plain ASGI and aiohttp does. No retry, no limits, no metrics.

WORKERS=http://127.0.0.1:9001,… uvicorn --app-dir benchmarks servers.bare_proxy:app --no-access-log
"""

import itertools
import json
import os
from typing import Any

import aiohttp

workers = itertools.cycle(os.environ["WORKERS"].split(","))
session: aiohttp.ClientSession


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    json.loads(body)["model"]
    headers = {"content-type": "application/json"}
    async with session.post(next(workers) + scope["path"], data=body, headers=headers) as answer:
        kind = answer.headers["content-type"].encode()
        await send({"type": "http.response.start", "status": answer.status, "headers": [(b"content-type", kind)]})
        async for part in answer.content.iter_any():
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def lifespan(receive: Any, send: Any) -> None:
    global session
    await receive()
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await session.close()
    await send({"type": "lifespan.shutdown.complete"})
