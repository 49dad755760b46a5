"""A worker that costs next to nothing: answers OpenAI calls at once or token by token, without a model.

python benchmarks/simulator.py PORT [--tokens 32] [--interval 0]

It keeps the worker contract of docs/design.md, so that it is an engine of type Custom in a cluster too.
"""

import argparse
import asyncio
import signal
from typing import cast

import httptools
import msgspec
import uvloop

MODEL = "sim"
_CARDS = b'{"object":"list","data":[{"id":"%s","object":"model","created":1}]}' % MODEL.encode()
_COMPLETION = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"%s","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
) % MODEL.encode()
_CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"%s","choices":[{"index":0,'
    b'"delta":{"content":" token"},"finish_reason":null}]}\n\n'
) % MODEL.encode()
_LEAVING = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Drain:
    """SIGTERM: what is in flight finishes, what is new is turned away."""

    def __init__(self) -> None:
        self.leaving = False
        self.in_flight = 0
        self.done = asyncio.Event()

    def begin(self) -> None:
        self.leaving = True
        self.leave(0)

    def leave(self, requests: int = 1) -> None:
        self.in_flight -= requests
        if self.leaving and not self.in_flight:
            self.done.set()


class Worker(asyncio.Protocol):
    """One connection."""

    def __init__(self, drain: Drain, tokens: int, delay: float, interval: float) -> None:
        self._drain = drain
        self._tokens = tokens
        self._delay = delay
        self._interval = interval
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._url = self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._url == b"/v1/models":
            self._transport.write(_whole(_CARDS))
        elif self._drain.leaving and self._url != b"/health":
            self._transport.write(_LEAVING)
        elif not self._body:
            self._transport.write(_whole(b"{}"))
        else:
            self._drain.in_flight += 1
            answer = self._stream if msgspec.json.decode(self._body).get("stream") else self._complete
            asyncio.get_running_loop().call_later(self._delay, answer)

    def _complete(self) -> None:
        self._transport.write(_whole(_COMPLETION))
        self._drain.leave()

    def _stream(self) -> None:
        self._transport.write(_STREAM_HEAD)
        self._token(self._tokens)

    def _token(self, left: int) -> None:
        """Each token is a write of its own, as a model's are."""
        if self._transport.is_closing():
            self._drain.leave()
            return
        if not left:
            self._transport.write(_chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            self._drain.leave()
            return
        self._transport.write(_chunked(_CHUNK))
        asyncio.get_running_loop().call_later(self._interval, self._token, left - 1)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds to the first token")
    parser.add_argument("--interval", type=float, default=0.0, help="seconds between tokens")
    args = parser.parse_args()
    loop = asyncio.get_running_loop()
    drain = Drain()
    loop.add_signal_handler(signal.SIGTERM, drain.begin)
    await loop.create_server(lambda: Worker(drain, args.tokens, args.delay, args.interval), args.host, args.port)
    await drain.done.wait()


if __name__ == "__main__":
    uvloop.run(main())
