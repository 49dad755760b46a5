"""Streams of every kind by a real model, while workers are killed, frozen and stopped: each ends as if undisturbed.

FASTCHAT_STREAMS (default: a few, and fewer workers): how many of them lose a worker at least.
"""

import asyncio
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import httpx
import pytest
from integration.resuming.faults import each_went_on, freeze, kill, stop, thaw
from integration.resuming.requests import KINDS, TOKENS, Kind, Received, ask, chat, check_equal
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.eventually import eventually_async
from support.gateways import Running
from support.workers import SMOLLM2, WorkerProcess

from fastchat_gateway.telemetry import tracing
from fastchat_gateway.telemetry.trace import Trace

STREAMS = int(os.environ.get("FASTCHAT_STREAMS", "8"))
WORKERS, AT_ONCE = (3, 60) if STREAMS > 100 else (2, 12)
SHORT, LONGEST = 32, 64
PATIENCE = 300
"""Seconds: so many streams at once take their time where others compute too."""
MOST_SECONDS = 1200
PATIENCE_SECONDS = 2.0
FAULTS = {"frozen": freeze, "killed": kill, "handed over": stop}
TEMPLATE = """{% if tools %}<|im_start|>system
Tools: {% for tool in tools %}{{ tool | tojson }}{% endfor %}<|im_end|>
{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content or "" }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if thinking %}<think>
{% endif %}{% endif %}"""


def shortened(kind: Kind) -> Kind:
    """Of fewer tokens; what is drawn is drawn from few, for no last digit of a float32 decides between those."""
    path, body = kind
    limits = [name for name in ("max_tokens", "max_output_tokens") if name in body]
    few = {name: SHORT if body[name] == TOKENS else LONGEST for name in limits}
    return path, body | few | ({"top_k": 8} if body["temperature"] else {})


SHORT_KINDS = {name: shortened(kind) for name, kind in KINDS.items()} | {
    "reasoning": shortened(chat(chat_template_kwargs={"thinking": True}, temperature=1, seed=41, ignore_eos=True)),
}


class Pauses:
    """Spans of a gateway, as far as they are pauses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        tracer = tracing.Tracer(partial(Trace, provider.get_tracer("fastchat_gateway")))
        monkeypatch.setattr(tracing, "start", lambda: tracer)

    def of_streams(self) -> dict[int, list[ReadableSpan]]:
        """By the number of the stream; those of what has ended since."""
        found: dict[int, list[ReadableSpan]] = {}
        for span in self._exporter.get_finished_spans():
            if span.name == "pause":
                found.setdefault(span.context.trace_id, []).append(span)
        return found


@dataclass(eq=False)
class Stream:
    """One that is under way."""

    number: int
    kind: str
    received: Received = field(default_factory=Received)

    @property
    def headers(self) -> dict[str, str]:
        """By which its spans are found."""
        return {"traceparent": f"00-{self.number:032x}-{1:016x}-01"}


class Disturbed:
    """Clients that read one stream after the other, while one worker after the other goes."""

    def __init__(self, gateway: Running, workers: list[WorkerProcess], start: Callable[..., WorkerProcess]) -> None:
        self.wrong: list[str] = []
        self.faults: list[tuple[int, str]] = []
        """When (nanoseconds since 1970), and which."""
        self.read = self.not_begun = 0
        self._gateway = gateway
        self._workers = workers
        self._start = start
        self._numbers = itertools.count(1)
        self._under_way: set[Stream] = set()
        self._random = random.Random(int(os.environ.get("FASTCHAT_SEED", "15")))

    async def run(self, expected: dict[str, Received], enough: Callable[[], bool]) -> None:
        """Until there are enough."""
        clients = [asyncio.create_task(self._read_on(expected, enough)) for _ in range(AT_ONCE)]
        disturbing = asyncio.create_task(self._disturb())
        await asyncio.wait([disturbing, asyncio.gather(*clients)], return_when=asyncio.FIRST_COMPLETED)
        for task in (disturbing, *clients):
            task.cancel()
        ended = await asyncio.gather(disturbing, *clients, return_exceptions=True)
        self.wrong += [repr(each) for each in ended if isinstance(each, Exception)]

    async def _read_on(self, expected: dict[str, Received], enough: Callable[[], bool]) -> None:
        kinds = list(expected)
        while not enough():
            stream = Stream(number := next(self._numbers), kinds[number % len(kinds)])
            self._under_way.add(stream)
            try:
                await self._read(stream, expected[stream.kind])
            except (AssertionError, httpx.HTTPError) as error:
                self.wrong.append(f"stream {number}: {error!r}"[:2000])
            self._under_way.discard(stream)
            self.read += 1

    async def _read(self, stream: Stream, expected: Received) -> None:
        """A request that its worker may have fallen silent of is not sent to another, so that its client asks again."""
        client = self._gateway.client
        try:
            await ask(client, stream.kind, stream.received, stream=True, kinds=SHORT_KINDS, headers=stream.headers)
        except AssertionError:
            if stream.received.status != 504 or '"worker_silent"' not in stream.received.text:
                raise
            self.not_begun += 1
            stream.received = Received()
            await self._read(stream, expected)
        else:
            check_equal(stream.received, expected, stream.kind)

    async def _disturb(self) -> None:
        for name in itertools.cycle(FAULTS):
            await self._at_a_random_token()
            worker = await asyncio.to_thread(self._a_busy_worker)
            self.faults.append((time.time_ns(), name))
            FAULTS[name](worker)
            await each_went_on(
                self._gateway, worker, lambda: {each: each.received.parts for each in self._under_way}, PATIENCE
            )
            if name == "frozen":
                thaw(worker)
            else:
                await asyncio.to_thread(worker.process.wait)
                self._workers[self._workers.index(worker)] = await asyncio.to_thread(self._again, worker.port)
            await self._gateway.reaches(WORKERS, "endpoints_ready", model="small")

    def _a_busy_worker(self) -> WorkerProcess:
        busy = [worker for worker in self._workers if worker.gauge("sequences_running")]
        return self._random.choice(busy or self._workers)

    def _again(self, port: int) -> WorkerProcess:
        return self._start(model=SMOLLM2, port=port)

    async def _at_a_random_token(self) -> None:
        """Of a random stream."""
        await eventually_async(lambda: self._under_way)
        stream = self._random.choice(list(self._under_way))
        parts = stream.received.parts + self._random.randint(1, SHORT // 2)
        await eventually_async(lambda: stream not in self._under_way or stream.received.parts >= parts, PATIENCE)


def report(disturbed: Disturbed, pauses: dict[int, list[ReadableSpan]], seconds: float) -> Iterator[str]:
    """What the run was: counted by streams, and seconds of pause by fault."""
    times: dict[str, list[float]] = {name: [] for name in FAULTS}
    for span in itertools.chain(*pauses.values()):
        name = [name for at, name in disturbed.faults if at <= span.start_time][-1]
        times[name].append((span.end_time - span.start_time) / 1e9)
    often = Counter(map(len, pauses.values()))
    yield f"{disturbed.read} streams in {seconds:.0f} s, {len(pauses)} of which lost a worker"
    yield f"{disturbed.not_begun} requests that a frozen worker had and had not begun with were asked again"
    yield f"so often: {dict(sorted(often.items()))}"
    for name, found in times.items():
        faults = sum(each == name for _, each in disturbed.faults)
        median = sorted(found)[len(found) // 2] if found else 0
        longest = max(found, default=0)
        yield f"{name:12}{faults:4} workers{len(found):5} pauses, median {median:.2f} s, longest {longest:.2f} s"


async def test_whatever_happens_to_its_workers_a_stream_is_that_of_an_undisturbed_run(
    start_worker, start_gateway, monkeypatch, tmp_path
) -> None:
    (tmp_path / "template.jinja").write_text(TEMPLATE)
    start = partial(
        start_worker, f"--chat-template={tmp_path / 'template.jinja'}", "--dtype=float32", "--max-batch-size=32"
    )
    pauses = Pauses(monkeypatch)
    workers = [await asyncio.to_thread(start, model=SMOLLM2) for _ in range(WORKERS)]
    gateway: Running = await start_gateway(*workers, patience=PATIENCE_SECONDS)
    expected = {kind: Received() for kind in SHORT_KINDS}
    asking = [ask(gateway.client, kind, each, stream=True, kinds=SHORT_KINDS) for kind, each in expected.items()]
    await asyncio.gather(*asking)
    disturbed = Disturbed(gateway, workers, start)
    began = time.monotonic()
    await disturbed.run(
        expected, lambda: len(pauses.of_streams()) >= STREAMS or time.monotonic() > began + MOST_SECONDS
    )
    print("", *report(disturbed, pauses.of_streams(), time.monotonic() - began), sep="\n")
    assert disturbed.wrong == []
    assert len(pauses.of_streams()) >= STREAMS
