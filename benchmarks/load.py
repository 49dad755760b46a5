"""A closed loop of clients: each sends its next request when it has the last answer. Prints one JSON line.

python benchmarks/load.py URL [--clients 32] [--seconds 5] [--stream]
"""

import argparse
import asyncio
import json
import time
from typing import cast
from urllib.parse import urlsplit

import httptools
import uvloop


class Client(asyncio.Protocol):
    """One connection that counts its answers."""

    def __init__(self, request: bytes, until: float, ending: bytes) -> None:
        self._request = request
        self._until = until
        self._ending = ending
        self.finished = asyncio.get_running_loop().create_future()
        self.seconds: list[float] = []
        self.failures = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, _: Exception | None) -> None:
        if not self.finished.done():
            self.failures += 1
            self.finished.set_result(None)

    def on_body(self, body: bytes) -> None:
        self._tail = body

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() == 200 and self._tail.endswith(self._ending):
            self.seconds.append(time.perf_counter() - self._started)
        else:
            self.failures += 1
        if time.perf_counter() < self._until:
            asyncio.get_running_loop().call_soon(self._send)
        else:
            self.finished.set_result(None)
            self._transport.close()

    def _send(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._tail = b""
        self._started = time.perf_counter()
        self._transport.write(self._request)


async def measure(url: str, clients: int, seconds: float, *, stream: bool) -> dict[str, float]:
    """Answers, failures and milliseconds per answer."""
    parts = urlsplit(url)
    body = json.dumps({"model": "sim", "stream": stream, "messages": [{"role": "user", "content": "x" * 200}]}).encode()
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    request = head.encode() + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    until = time.perf_counter() + seconds
    ending = b"data: [DONE]\n\n" if stream else b"}"
    loop = asyncio.get_running_loop()
    connected = [
        await loop.create_connection(lambda: Client(request, until, ending), parts.hostname or "", parts.port or 80)
        for _ in range(clients)
    ]
    await asyncio.wait_for(asyncio.gather(*[client.finished for _, client in connected]), seconds + 10)
    took = sorted(second for _, client in connected for second in client.seconds) or [0.0]
    return {
        "answers": len(took),
        "failures": sum(client.failures for _, client in connected),
        "p50_ms": round(took[len(took) // 2] * 1000, 2),
        "p95_ms": round(took[int(len(took) * 0.95)] * 1000, 2),
    }


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--stream", action="store_true")
    args = parser.parse_args()
    print(json.dumps(await measure(args.url, args.clients, args.seconds, stream=args.stream)))


if __name__ == "__main__":
    uvloop.run(main())
