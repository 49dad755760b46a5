"""What the SDK costs beside the `openai` package: per call, and to import.

    python benchmarks/clients/sdk.py [--calls 200] [--rounds 5] [--imports 9] [--json FILE]

A server in a process of its own says the same to both. CPU time of the client's process, medians of the rounds, in
which they take turns.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from results.charts import Chart, Panel, Results, add_option, write

OURS, THEIRS = "fastchat", "openai"
MOST_PER_CALL = 1.0
MOST_IMPORT = 0.5
EVENTS = 100
MESSAGES = [{"role": "user", "content": "Name a colour."}]
TEXTS = ["a text"] * 16
IMPORT = "import time; before = time.process_time(); from {} import {}; print(time.process_time() - before)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--imports", type=int, default=9)
    add_option(parser)
    args = parser.parse_args()
    panels = [compare_imports(args.imports), *compare_calls(args.calls, args.rounds)]
    title, unit = "fastchat.Client beside the openai package", "milliseconds of CPU time"
    measured = f"{os.cpu_count()} cores; {args.rounds} rounds in turn, {date.today()}"
    write(args.json, Results(measured, [Chart("sdk", title, unit, OURS, panels, less_is_better=True)]))


def compare_imports(count: int) -> Panel:
    ours, theirs = [], []
    for _ in range(count):
        ours.append(imported("fastchat", "Client"))
        theirs.append(imported("openai", "OpenAI"))
    return tell("import", statistics.median(ours), statistics.median(theirs), MOST_IMPORT)


def imported(package: str, name: str) -> float:
    """Seconds of CPU time in a new interpreter."""
    script = IMPORT.format(package, name)
    return float(subprocess.check_output([sys.executable, "-c", script], text=True))


def compare_calls(calls: int, rounds: int) -> list[Panel]:
    import openai

    import fastchat

    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(there,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{here.recv()}"
    ours = fastchat.Client(base_url=url, api_key="")
    theirs = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    panels = []
    for name, call in CALLS.items():
        count = calls if name != "stream" else max(calls // 10, 1)
        seconds: dict[int, list[float]] = {0: [], 1: []}
        for client in (ours, theirs):
            timed(call, client, 5)  # warm
        for _ in range(rounds):
            for number, client in enumerate((ours, theirs)):
                seconds[number].append(timed(call, client, count))
        panels.append(tell(name, statistics.median(seconds[0]), statistics.median(seconds[1]), MOST_PER_CALL))
    server.kill()
    return panels


def chat(client) -> None:
    completion = client.chat.completions.create(model="m", messages=MESSAGES)
    assert completion.choices[0].message.content


def stream(client) -> None:
    chunks = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    assert sum(bool(chunk.choices[0].delta.content) for chunk in chunks) == EVENTS


def embeddings(client) -> None:
    response = client.embeddings.create(model="m", input=TEXTS)
    assert len(response.data[-1].embedding) == 384


CALLS: dict[str, Callable] = {"chat": chat, "stream": stream, "embeddings": embeddings}


def timed(call: Callable, client, count: int) -> float:
    """CPU seconds of one call."""
    before = time.process_time()
    for _ in range(count):
        call(client)
    return (time.process_time() - before) / count


def tell(name: str, ours: float, theirs: float, most: float) -> Panel:
    """Prints the seconds of both."""
    ratio = ours / theirs
    print(f"{name:12} {ours * 1000:8.3f} ms, openai {theirs * 1000:8.3f} ms: {ratio:.2f}x", end="; ")
    print(f"at most {most:.2f}x: {'reached' if ratio <= most else 'MISSED'}", flush=True)
    return Panel(name, {THEIRS: theirs * 1000, OURS: ours * 1000}, {THEIRS: ratio})


def serve(port: Connection) -> None:
    """Says the same to everyone who asks for a route; the port goes into the pipe."""

    async def run() -> None:
        server = await asyncio.start_server(respond, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):  # the client's end of it
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.lower().split(b"\r\n")
            length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
            body = json.loads(await reader.readexactly(length))
            writer.write(STREAM if body.get("stream") else EMBEDDINGS if "input" in body else CHAT)
            await writer.drain()
    writer.close()


def whole(value: dict) -> bytes:
    data = json.dumps(value).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data) + data


def event(delta: dict, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m"}
    data = b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


USAGE = {"prompt_tokens": 12, "completion_tokens": 30, "total_tokens": 42}
MESSAGE = {"role": "assistant", "content": "Blue is a colour. " * 8}
CHAT = whole(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "m",
        "choices": [{"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
    }
)
VECTOR = base64.b64encode(np.linspace(-1, 1, 384, dtype=np.float32).tobytes()).decode()
EMBEDDINGS = whole(
    {
        "object": "list",
        "data": [{"object": "embedding", "index": number, "embedding": VECTOR} for number in range(len(TEXTS))],
        "model": "m",
        "usage": {"prompt_tokens": 48, "total_tokens": 48},
    }
)
STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    + b"".join(event({"content": " blue"}) for _ in range(EVENTS))
    + event({}, "stop")
    + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
)


if __name__ == "__main__":
    main()
