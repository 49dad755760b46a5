"""Clients of two models, and workers that are killed meanwhile."""

import asyncio
import hashlib
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from support.workers import WorkerProcess

SECONDS = 150
CLIENTS = ((0, 3), (40, 14), (90, 6))
"""From which second on so many clients chat."""
KILLED = {60: 20, 110: 1}
"""At such a second a worker of the language model ends, and starts again so many seconds later; the encoder ends and
starts again at once, so that its requests are held."""
WORDS = ("the", "model", "reads", "what", "was", "said", "before", "and", "answers", "while", "others", "wait")


@dataclass(frozen=True)
class Key:
    secret: str

    @property
    def entry(self) -> dict[str, Any]:
        """What the gateway's folder of keys has of it."""
        return {"sha256": hashlib.sha256(self.secret.encode()).hexdigest(), "expires": "2099-01-01T00:00:00Z"}

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}


KEYS = {"web": Key("fck_" + "w" * 43), "batch": Key("fck_" + "b" * 43)}


@dataclass
class Fleet:
    """What is served: workers of a language model, one of an encoder, and the gateway's address."""

    chat: list[WorkerProcess]
    chat_options: list[str]
    folder: Path
    encoder_options: list[str]
    url: str = ""
    encoder: WorkerProcess = field(init=False)

    def start_encoder(self, port: int = 0) -> None:
        self.encoder = WorkerProcess(self.folder / "embed", *self.encoder_options, port=port)

    def start_chat(self, number: int, port: int) -> None:
        self.chat[number] = WorkerProcess(self.folder / f"chat-{number}", *self.chat_options, port=port)


async def traffic(fleet: Fleet) -> None:
    """Returns after SECONDS."""
    began = time.monotonic()
    until = began + SECONDS
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=fleet.url, timeout=60, limits=limits, trust_env=False) as http:
        chats = [
            chatting(http, number, began + _first(number), began + _last(number))
            for number in range(max(count for _, count in CLIENTS))
        ]
        await asyncio.gather(*chats, embedding(http, until), mistaken(http, until), breaking(fleet, began))


def _first(number: int) -> int:
    """The second from which on a client is among so many."""
    return min(second for second, count in CLIENTS if number < count)


def _last(number: int) -> int:
    return SECONDS if number < CLIENTS[-1][1] else CLIENTS[-1][0]


async def chatting(http: httpx.AsyncClient, number: int, first: float, last: float) -> None:
    chance, key = random.Random(number), KEYS["web" if number % 3 else "batch"]
    await asyncio.sleep(max(first - time.monotonic(), 0))
    while time.monotonic() < last:
        content = " ".join(chance.choices(WORDS, k=chance.randint(5, 120)))
        body = {"model": "smollm2", "stream": True, "max_tokens": chance.randint(16, 128)}
        body["messages"] = [{"role": "user", "content": content}]
        async with http.stream("POST", "/v1/chat/completions", json=body, headers=key.headers) as response:
            async for _ in response.aiter_bytes():
                pass
        await asyncio.sleep(chance.random())


async def embedding(http: httpx.AsyncClient, until: float) -> None:
    while time.monotonic() < until:
        body = {"model": "all-minilm-l6-v2", "input": [" ".join(WORDS)] * 8}
        await http.post("/v1/embeddings", json=body, headers=KEYS["batch"].headers)
        await asyncio.sleep(0.3)


async def mistaken(http: httpx.AsyncClient, until: float) -> None:
    """Some requests are wrong."""
    while time.monotonic() < until:
        body = {"model": "smollm2", "prompt": "x", "temperature": 9}
        await http.post("/v1/completions", json=body, headers=KEYS["web"].headers)
        await asyncio.sleep(3)


async def breaking(fleet: Fleet, began: float) -> None:
    for second, pause in KILLED.items():
        await asyncio.sleep(max(began + second - time.monotonic(), 0))
        worker, encoder = fleet.chat[1], fleet.encoder
        await asyncio.to_thread(worker.stop)
        await asyncio.to_thread(encoder.stop)
        fleet.start_encoder(encoder.port)
        await asyncio.sleep(pause)
        fleet.start_chat(1, worker.port)
