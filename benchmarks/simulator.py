"""A worker that costs next to nothing: answers OpenAI calls at once or token by token, without a model.

python benchmarks/simulator.py PORT [--load 0] [--tokens 32] [--interval 0] [--fault error] …

Tokens are numbers, so that a lost one is missed. GET /engine tells its requests and its cache's hits. A stream that is
asked to be resumable is (docs/decisions/resumable-streams.md): it goes on with the number after the last one.
It keeps the worker contract of docs/architecture/worker.md, so that it is an engine of type Custom in a cluster too.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

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
    b'data: {"id":ID,"object":"chat.completion.chunk","created":1,"model":"%s","choices":[{"index":0,'
    b'"delta":{"content":" %%d"},"finish_reason":null}]}\n\n'
) % MODEL.encode()
_USAGE = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"%s","choices":[],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":%%d,"total_tokens":%%d}}\n\n'
) % MODEL.encode()
_LEAVING = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_GONE_TO_OTHERS = b"HTTP/1.1 204 No Content\r\n\r\n"
_NOT_LEAVING = b"HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n"
_STATE = b'{"digest":"sim"}'
_NOT_READY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: %d\r\n\r\n%b" % (len(_STATE), _STATE)
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_RESUMABLE_HEAD = _STREAM_HEAD[:-2] + b"x-fastchat-resumable: 1\r\n\r\n"
_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_FAULTS = {"error": _ERROR, "reset": b"", "torn": _STREAM_HEAD + b"a\r\ndata: {}\n\n\r\n"}
_ORIGIN = b":r 1 0000000000000001 sim\n\n"
_HANDED_OVER = b":h\n\n"


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


class Slots:
    """So many requests at a time; the others wait their turn."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self, begin: Callable[[], None]) -> None:
        """`begin` is called when there is a slot."""
        if self._free:
            self._free -= 1
            begin()
        else:
            self._waiting.append(begin)

    def release(self) -> None:
        if self._waiting:
            self._waiting.popleft()()
        else:
            self._free += 1


class Cache:
    """The conversations whose prompts need not be read again, by what the user said first; the oldest is dropped."""

    def __init__(self, conversations: int) -> None:
        self._conversations = conversations
        self._lengths: dict[str, int] = {}
        self.hits = self.misses = 0

    def unread(self, messages: list["Message"]) -> int:
        """Characters of a prompt that are not in the cache; now they are."""
        length = sum(len(str(message.content)) for message in messages)
        first = next((str(message.content) for message in messages if message.role == "user"), "")
        known = self._lengths.pop(first, 0)
        self.hits += known > 0
        self.misses += known == 0
        self._lengths[first] = length
        if len(self._lengths) > self._conversations:
            del self._lengths[next(iter(self._lengths))]
        return max(0, length - known)


class Pace:
    """Writes the next token of all streams at once, as a model's batch does, with one timer for all.

    Without an interval a stream is written to its end, as fast as the connection takes it.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._streams: set[Answer] = set()

    def add(self, stream: "Answer") -> None:
        if not self._streams:
            self._due = asyncio.get_running_loop().time()
            self._wait()
        self._streams.add(stream)

    def hand_over(self) -> None:
        """Ends the streams that others can go on with."""
        self._streams = {stream for stream in self._streams if not stream.hand_over()}

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = max(self._due + self._interval, loop.time())
        if self._interval:
            loop.call_at(self._due, self._step)
        else:
            loop.call_soon(self._step)

    def _step(self) -> None:
        self._streams.difference_update([stream for stream in tuple(self._streams) if not self._goes_on(stream)])
        if self._streams:
            self._wait()

    def _goes_on(self, stream: "Answer") -> bool:
        more = stream.step()
        while more and not self._interval and not stream.is_stuck:
            more = stream.step()
        return more


class Message(msgspec.Struct):
    role: str = ""
    content: Any = ""


class Request(msgspec.Struct):
    """What of a request matters here. `user` comes back as the id of every token."""

    stream: bool | None = None
    max_tokens: int | None = None
    user: str | None = None
    messages: list[Message] | None = None
    stream_options: dict[str, Any] | None = None


class Choice(msgspec.Struct):
    tokens: list[int]


class Progress(msgspec.Struct):
    """What another worker has generated."""

    choices: list[Choice]


_decode = msgspec.json.Decoder(Request).decode
_progress = msgspec.json.Decoder(Progress).decode


@dataclass(frozen=True)
class Engine:
    """What answers share."""

    drain: Drain
    slots: Slots
    cache: Cache
    pace: Pace
    tokens: int
    delay: float
    prefill: float
    fault: str = ""

    def state(self) -> bytes:
        state = {"outstanding": self.drain.in_flight, "hits": self.cache.hits, "misses": self.cache.misses}
        return msgspec.json.encode(state)


class Answer:
    """A request's way: it waits for a slot, its prompt is read, its tokens are written."""

    def __init__(
        self, engine: Engine, connection: "Connection", request: Request, *, resumable: bool, begun: int | None
    ) -> None:
        """`begun`: it goes on behind so many tokens; None: it is a new one."""
        self._engine = engine
        self._connection = connection
        self._request = request
        self._resumable = resumable
        self._is_new = begun is None
        self._number = begun or 0
        engine.drain.in_flight += 1
        engine.slots.take(self._prefill)

    def _prefill(self) -> None:
        unread = self._engine.cache.unread(self._request.messages or [])
        seconds = self._engine.delay + self._engine.prefill * unread / 1000
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        if self._connection.gone:
            self._end()
        elif self._request.stream:
            self._connection.write(_RESUMABLE_HEAD if self._resumable else _STREAM_HEAD)
            if self._resumable and self._is_new:
                self._connection.write(_chunked(_ORIGIN))
            self._chunk = _CHUNK.replace(b"ID", msgspec.json.encode(self._request.user or "c").replace(b"%", b"%%"))
            self._last = self._request.max_tokens or self._engine.tokens
            if self.step():
                self._engine.pace.add(self)
        else:
            self._connection.write(_whole(_COMPLETION))
            self._end()

    @property
    def is_stuck(self) -> bool:
        """The client takes no more for now."""
        return self._connection.full

    def step(self) -> bool:
        """Write a token, each by itself, as a model's are; whether there is more to come."""
        if self._connection.gone:
            self._end()
            return False
        if self._connection.full:
            return True
        if self._number >= self._last:
            self._connection.write(self._usage() + _chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            self._end()
            return False
        unit = self._chunk % self._number
        if self._resumable:
            unit += b":t 0 %d%b\n\n" % (self._number, b" ." if self._number + 1 == self._last else b"")
        self._connection.write_by_itself(_chunked(unit))
        self._number += 1
        return True

    def hand_over(self) -> bool:
        """Whether another worker has it from here on."""
        if self._resumable:
            self._connection.write(_chunked(_HANDED_OVER) + b"0\r\n\r\n")
            self._end()
        return self._resumable

    def _usage(self) -> bytes:
        """The chunk that says it, where it is asked for."""
        if not (self._request.stream_options or {}).get("include_usage"):
            return b""
        return _chunked(_USAGE % (self._number, self._number + 1))

    def _end(self) -> None:
        self._engine.slots.release()
        self._engine.drain.leave()


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._parser = httptools.HttpRequestParser(self)
        self.full = self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._fd: int = transport.get_extra_info("socket").fileno()
        self.write = self._transport.write

    def connection_lost(self, _: Exception | None) -> None:
        self.gone = True

    def write_by_itself(self, data: bytes) -> None:
        """Now: uvloop would send all that is written in one turn of its loop together."""
        sent = 0
        if not self._transport.get_write_buffer_size():
            with contextlib.suppress(OSError):  # it is full, or gone; the transport will see to that
                sent = os.write(self._fd, data)
        if sent < len(data):
            self.write(data[sent:])

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._url = self._body = b""
        self._resumable, self._resume = False, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if name == b"x-fastchat-resumable":
            self._resumable = True
        elif name == b"x-fastchat-resume":
            self._resume = int(value)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._url == b"/v1/models":
            self.write(_whole(_CARDS))
        elif self._url == b"/engine":
            self.write(_whole(self._engine.state()))
        elif self._url == b"/ready":
            self.write(_NOT_READY if self._engine.drain.leaving else _whole(_STATE))
        elif self._url == b"/internal/handover":
            self._hand_over()
        elif self._engine.drain.leaving and self._url != b"/health":
            self.write(_LEAVING)
        elif not self._body:
            self.write(_whole(b"{}"))
        elif self._engine.fault:
            self._fail()
        else:
            self._answer()

    def _hand_over(self) -> None:
        if self._engine.drain.leaving:
            self._engine.pace.hand_over()
        self.write(_GONE_TO_OTHERS if self._engine.drain.leaving else _NOT_LEAVING)

    def _fail(self) -> None:
        if self._engine.fault == "reset":
            forget = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, forget)
        self.write(_FAULTS[self._engine.fault])
        self._transport.close()

    def _answer(self) -> None:
        request, begun = _decode(self._body[self._resume :]), None
        if self._resume:
            begun = len(_progress(self._body[: self._resume]).choices[0].tokens)
        Answer(self._engine, self, request, resumable=self._resumable, begun=begun)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--load", type=float, default=0.0, help="seconds until it listens")
    parser.add_argument("--tokens", type=int, default=32, help="where a request has no max_tokens")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds to the first token")
    parser.add_argument("--interval", type=float, default=0.0, help="seconds between tokens")
    parser.add_argument("--slots", type=int, default=2**31, help="requests at a time")
    parser.add_argument("--prefill", type=float, default=0.0, help="seconds to read 1,000 characters of a prompt")
    parser.add_argument("--cache", type=int, default=0, help="conversations whose prompts need not be read again")
    parser.add_argument("--fault", choices=_FAULTS, default="", help="how every request fails")
    args, loop, drain = parser.parse_args(), asyncio.get_running_loop(), Drain()
    slots, cache, pace = Slots(args.slots), Cache(args.cache), Pace(args.interval)
    engine = Engine(drain, slots, cache, pace, args.tokens, args.delay, args.prefill, args.fault)
    loop.add_signal_handler(signal.SIGTERM, drain.begin)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(drain.done.wait(), args.load)
        return
    await loop.create_server(lambda: Connection(engine), args.host, args.port)
    await drain.done.wait()


if __name__ == "__main__":
    uvloop.run(main())
