"""What a key is charged and what /metrics counts: one number, and the worker's own."""

import asyncio
import contextlib
import math
import re
from typing import Any

import httpx
import pytest
from integration.gateway.proxy.said import (
    ANSWER,
    CACHED_USAGE,
    COMPLETED,
    COUNT,
    DONE,
    ENDED,
    ENDED_SHORT,
    HUGE,
    INPUT_USAGE,
    LAST,
    LONG,
    MESSAGES,
    PIECES,
    PROMPT,
    RESPONDED,
    RESPONSES,
    SAID_HELLO,
    STOP,
    TOOLS,
    TRICKY,
    USAGE,
    event,
    piece,
    streamed,
    whole,
)
from support.eventually import eventually_async as eventually

from fastchat.keys.record import KeyRecord, digest
from fastchat.keys.store import Folder, create

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
NULLS = [event(piece(f" {number}", usage=None)) for number in range(5)]
PLAIN = [event(each) for each in PIECES]
SAID = event(LAST)
CHOICES = [{"index": index, "message": {"role": "assistant", "content": f"a {TRICKY}"}} for index in range(3)]
VECTORS = [{"object": "embedding", "index": index, "embedding": [0.5] * 8} for index in range(3)]
WHOLE = {
    "a chat": (CHAT, {}, whole({"choices": CHOICES[:1], "usage": USAGE})),
    "n answers": (CHAT, {"n": 3}, whole({"choices": CHOICES, "usage": USAGE})),
    "a batch of prompts": (
        COMPLETIONS, {"prompt": ["a", "b"]}, whole({"choices": [{"text": TRICKY}] * 2, "usage": USAGE})
    ),
    "embeddings": (EMBEDDINGS, {"input": ["a"] * 3}, whole({"data": VECTORS, "usage": USAGE})),
    "documents to rerank": (
        "/v1/rerank", {"query": "q", "documents": ["a"]}, whole({"results": [], "usage": USAGE})
    ),
    "usage before everything else": (CHAT, {}, whole({"usage": USAGE, "choices": CHOICES, "x": "y" * 9000})),
    "usage in the middle": (CHAT, {}, whole({"x": "y" * 9000, "usage": USAGE, "z": TRICKY * 90})),
    "another usage deeper": (CHAT, {}, whole({"usage": USAGE, "x": {"usage": {"prompt_tokens": 9}}})),
    "over 1 MiB": (CHAT, {}, whole({"choices": [HUGE], "usage": USAGE})),
    "over 1 MiB, usage first": (EMBEDDINGS, {"input": ["a"]}, whole({"usage": USAGE, "data": [HUGE]})),
    "a stream without a client that asks": (CHAT, {"stream": True}, streamed(PLAIN, [SAID])),
    "a stream whose client asks": (
        CHAT, {"stream": True, "stream_options": {"include_usage": True}}, streamed(PLAIN, [SAID])
    ),
    "null in the other events": (CHAT, {"stream": True}, streamed(NULLS, [SAID])),
    "null in the other events, asked for": (
        CHAT, {"stream": True, "stream_options": {"include_usage": True}}, streamed(NULLS, [SAID])
    ),
    "all at once": (CHAT, {"stream": True}, streamed(PLAIN, [SAID], at_once=True)),
    "merged deltas": (CHAT, {"stream": True}, streamed(PLAIN, [SAID], merged=True)),
    "usage with the last delta": (CHAT, {"stream": True}, streamed(PLAIN, [event(piece("x", usage=USAGE))])),
    "a piece after usage": (
        CHAT, {"stream": True}, streamed(PLAIN, [SAID], (event(piece("late")), ": ping\n\n", DONE))
    ),
    "no [DONE]": (COMPLETIONS, {"stream": True, "prompt": "a"}, streamed(PLAIN, [SAID], ())),
    "in pieces of three bytes": (CHAT, {"stream": True}, streamed(PLAIN, [SAID], cut=3)),
    "CRLF": (
        CHAT, {"stream": True}, streamed([event(each, "\r\n\r\n") for each in PIECES], [event(LAST, "\r\n\r\n")])
    ),
    "usage so far in each": (
        CHAT,
        {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}},
        streamed([event(piece("a", usage={**USAGE, "completion_tokens": each})) for each in range(3)], [SAID]),
    ),
    "an event over 64 KiB that comes in pieces": (
        CHAT, {"stream": True}, streamed([event(piece("y" * 199_000, usage=USAGE, more="z" * 200))], [], cut=16_600)
    ),
    "a response": (RESPONSES, {"input": [{}] * 9}, whole({"output": [], "tools": TOOLS, "usage": INPUT_USAGE})),
    "a response's stream": (RESPONSES, {"stream": True}, streamed([*RESPONDED, COMPLETED], [], ())),
    "a response's stream in pieces": (RESPONSES, {"stream": True}, streamed([*RESPONDED, COMPLETED], [], (), cut=5)),
    "a response whose end is over 64 KiB": (
        RESPONSES, {"stream": True}, streamed([*RESPONDED, LONG], [], (), cut=16_600)
    ),
    "a message": (MESSAGES, {}, whole({"content": [], "usage": {**CACHED_USAGE, "output_tokens": ANSWER}})),
    "a message's stream": (MESSAGES, {"stream": True}, streamed([*SAID_HELLO, ENDED, STOP], [], ())),
    "a message's stream at once": (
        MESSAGES, {"stream": True}, streamed([*SAID_HELLO, ENDED, STOP], [], (), merged=True)
    ),
    "a message whose end tells of the completion only": (
        MESSAGES, {"stream": True}, streamed([*SAID_HELLO, ENDED_SHORT, STOP], [], ())
    ),
    "an event over 64 KiB": (
        CHAT, {"stream": True}, streamed([event(piece("y" * 99_000, usage=USAGE))], [])
    ),
}  # fmt: skip


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key or 'nobody'}"}


async def charged(gateway, key: str) -> int:
    """Tokens that a key with one a minute was charged, by what it has to wait until it has its one again."""
    answer = await gateway.client.post(CHAT, json={"model": "m"}, headers=bearer(key))
    if answer.status_code != 429:
        return 0
    minutes = sum(
        float(number) * {"m": 1, "s": 1 / 60, "ms": 1 / 60_000}[unit]
        for number, unit in re.findall(r"([\d.]+)(ms|m|s)", answer.headers["x-ratelimit-reset-tokens"])
    )
    return math.ceil(minutes - 1e-6)


async def counted(gateway, key: str) -> tuple[int, int]:
    """What /metrics says that it used; it is told a tenth of a second after an answer."""
    await eventually(lambda: gateway.metric("requests_total", key=key))
    tokens = [int(await gateway.metric("tokens_total", key=key, direction=way)) for way in ("in", "out")]
    return tokens[0], tokens[1]


@pytest.fixture
async def start_with_keys(start_gateway, tmp_path):
    async def start(*workers, keys: list[str], **settings: Any):
        for key in keys:
            create(
                Folder(tmp_path), key, KeyRecord(sha256=digest(key.encode()).hex(), tokens_per_minute=1), replace=True
            )
        return await start_gateway(*workers, keys_dir=tmp_path, open_metrics=True, **settings)

    return start


async def test_a_key_is_charged_what_the_worker_used_to_the_token_whatever_the_shape(start_with_keys, worker) -> None:
    names = {f"k{number}": title for number, title in enumerate(WHOLE)}
    gateway = await start_with_keys(worker, keys=list(names))
    for key, title in names.items():
        path, fields, worker.behaviour = WHOLE[title]
        answer = await gateway.client.post(path, json={"model": "m", **fields}, headers=bearer(key))
        assert answer.status_code == 200, title
        assert await charged(gateway, key) == PROMPT + ANSWER, title
    for key, title in names.items():
        assert await counted(gateway, key) == (PROMPT, ANSWER), title


async def raw(gateway, key: str, fields: dict[str, Any]) -> bytes:
    return (await gateway.client.post(CHAT, json={"model": "m", "stream": True, **fields}, headers=bearer(key))).content


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("how", [{}, {"at_once": True}, {"cut": 1}, {"cut": 7}, {"cut": 1001}])
async def test_a_client_that_did_not_ask_for_usage_gets_the_bytes_without_it(gateway, worker, how, merged) -> None:
    worker.behaviour = streamed([*PLAIN, *NULLS], [SAID], merged=merged, **how)
    without = "".join([*PLAIN, *(each.replace(', "usage": null', "") for each in NULLS), DONE])
    assert (await raw(gateway, "", {})).decode() == without
    asked = {"stream_options": {"include_usage": True}}
    assert (await raw(gateway, "", asked)).decode() == "".join([*PLAIN, *NULLS, SAID, DONE])


ASKS = b'{"stream_options":{"include_usage":true},'


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (b' { "model":"m", "stream":true, "x": 1.10}', ASKS + b' "model":"m", "stream":true, "x": 1.10}'),
        (b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}', None),
        (b'{"model":"m","stream":true,"stream_options":7}', None),
        (b'{"model":"m","stream":false}', None),
    ],
)  # fmt: skip
async def test_the_worker_is_asked_for_usage_where_the_client_did_not(gateway, worker, sent, seen) -> None:
    await gateway.client.post(CHAT, content=sent)
    assert worker.requests[0].body == (seen or sent)


@pytest.mark.parametrize("given", [None, {}, {"include_usage": False}, {"include_usage": None, "other": [1]}])
async def test_a_clients_own_stream_options_go_along(gateway, worker, given) -> None:
    await gateway.chat(stream=True, stream_options=given, x={"stream_options": 1})
    assert worker.requests[0].json["stream_options"] == {**(given or {}), "include_usage": True}
    assert worker.requests[0].json["x"] == {"stream_options": 1}


async def test_a_worker_that_does_not_know_stream_options_is_asked_without_from_then_on(
    start_with_keys, worker
) -> None:
    async def strict(connection) -> None:
        if "stream_options" in connection.request.json:
            connection.answer(400, {"error": {"message": "unknown field"}})
        else:
            await streamed(PLAIN, [])(connection)

    worker.behaviour = strict
    gateway = await start_with_keys(worker, keys=["alice", "bob"])
    for key in ("alice", "bob"):
        assert (await raw(gateway, key, {})).decode() == "".join([*PLAIN, DONE])
    assert ["stream_options" in request.json for request in worker.requests] == [True, False, False]
    assert await charged(gateway, "bob") == sum(await counted(gateway, "bob")) > len(PLAIN)


async def test_a_request_that_is_wrong_anyway_hears_so(gateway, worker) -> None:
    worker.behaviour = worker.says(400, {"error": {"message": "no such role"}})
    answer = await gateway.chat(stream=True)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "no such role")
    worker.behaviour = streamed(PLAIN, [SAID])
    assert (await raw(gateway, "", {})).decode() == "".join([*PLAIN, DONE])
    assert "stream_options" in worker.requests[-1].json


@pytest.mark.parametrize("number", ["9" * 400, "-5", "1.5", "1e300", "true", '"7"', "null", "[1]"])
@pytest.mark.parametrize("stream", [False, True])
async def test_numbers_that_make_no_sense_are_as_if_nothing_was_said(start_with_keys, worker, number, stream) -> None:
    said = f'{{"choices": [], "usage": {{"prompt_tokens": {number}, "completion_tokens": {number}}}}}'
    worker.behaviour = (
        streamed([event(piece("four"))] * 3, [f"data: {said}\n\n"]) if stream else worker.says(200, said.encode())
    )
    gateway = await start_with_keys(worker, keys=["alice"])
    assert (await gateway.client.post(CHAT, json={"model": "m", "stream": stream}, headers=bearer("alice"))).is_success
    assert 0 < await charged(gateway, "alice") == sum(await counted(gateway, "alice")) < 200


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
async def test_tokens_that_are_only_counted_cost_nothing(start_with_keys, worker, path) -> None:
    gateway = await start_with_keys(worker, keys=["k"])
    worker.behaviour = worker.says(200, {"count": 3, "tokens": [1, 2, 3]})
    answer = await gateway.client.post(path, json={"model": "m", "prompt": "x" * 999}, headers=bearer("k"))
    assert answer.status_code == 200
    assert await counted(gateway, "k") == (0, 0)
    assert await charged(gateway, "k") == 0


@pytest.mark.parametrize("path", [EMBEDDINGS, "/v1/rerank", "/v1/score", "/v1/engines/m/embeddings"])
async def test_what_has_no_completion_is_charged_none_where_the_worker_says_nothing(
    start_with_keys, worker, path
) -> None:
    gateway = await start_with_keys(worker, keys=["k"])
    worker.behaviour = worker.says(200, {"data": ["x" * 9999]})
    await gateway.client.post(path, json={"model": "m", "input": "x" * 400, "documents": ["x"]}, headers=bearer("k"))
    read, generated = await counted(gateway, "k")
    assert read > 50
    assert generated == 0


async def test_what_the_worker_refuses_costs_nothing(start_with_keys, worker) -> None:
    gateway = await start_with_keys(worker, keys=["alice"])
    for status in (400, 404, 422, 500, 503):
        worker.behaviour = worker.says(status, {"error": {"message": "no"}, "usage": USAGE})
        await gateway.client.post(CHAT, json={"model": "m", "stream": True}, headers=bearer("alice"))
    assert await counted(gateway, "alice") == (0, 0)
    assert await charged(gateway, "alice") == 0


TEN = [event(piece(f" {number:03}")) for number in range(10)]


async def leaves(gateway, key: str, fields: dict[str, Any], *, after: int) -> None:
    """A client that closes its connection after so many events."""
    with contextlib.suppress(httpx.HTTPError):
        async with gateway.client.stream("POST", CHAT, json={"model": "m", **fields}, headers=bearer(key)) as answer:
            seen = 0
            async for line in answer.aiter_lines():
                seen += bool(line)
                if seen >= after:
                    break


async def test_a_client_that_leaves_is_charged_the_prompt_and_what_it_got(start_with_keys, worker) -> None:
    worker.behaviour = worker.streams(*TEN, then=worker.hangs)
    gateway = await start_with_keys(worker, keys=["alice"])
    prompt = "word " * 400
    await leaves(gateway, "alice", {"stream": True, "messages": [{"role": "user", "content": prompt}]}, after=10)
    told, answer = await counted(gateway, "alice")
    assert 500 <= told <= 550
    assert answer == 10
    assert await charged(gateway, "alice") == told + answer


async def test_a_client_that_leaves_before_the_answer_is_charged_the_prompt(start_with_keys, worker) -> None:
    worker.behaviour = worker.hangs
    gateway = await start_with_keys(worker, keys=["alice"])
    asking = asyncio.create_task(
        gateway.client.post(CHAT, json={"model": "m", "messages": "word " * 400}, headers=bearer("alice"))
    )
    await worker.arrived.wait()
    asking.cancel()
    told, answer = await counted(gateway, "alice")
    assert (500 <= told <= 550, answer) == (True, 0)
    assert await charged(gateway, "alice") == told


async def test_a_client_that_leaves_while_no_worker_has_its_request_is_charged_nothing(
    start_with_keys, start_worker
) -> None:
    gateway = await start_with_keys(await start_worker(ready_status=503), keys=["alice"], comment_seconds=0.1)
    await leaves(gateway, "alice", {"stream": True}, after=1)
    assert await counted(gateway, "alice") == (0, 0)


async def test_a_stream_whose_worker_is_lost_is_charged_what_was_delivered(start_with_keys, worker) -> None:
    worker.behaviour = worker.streams(*TEN, then=worker.resets)
    gateway = await start_with_keys(worker, keys=["alice"])
    assert b"worker_lost" in await raw(gateway, "alice", {})
    told, answer = await counted(gateway, "alice")
    assert answer == 10
    assert await charged(gateway, "alice") == told + answer


async def test_merged_deltas_without_usage_are_estimated_by_their_text_and_not_by_their_number(
    start_with_keys, worker
) -> None:
    worker.behaviour = streamed([event(piece("four" * 25)) for _ in range(4)], [])
    gateway = await start_with_keys(worker, keys=["alice"])
    await raw(gateway, "alice", {})
    assert 100 <= (await counted(gateway, "alice"))[1] <= 120


async def test_a_stream_of_named_events_that_tells_no_usage_is_charged_a_token_an_event(
    start_with_keys, worker
) -> None:
    worker.behaviour = streamed([*SAID_HELLO, *SAID_HELLO[2:] * 20], [], ())
    gateway = await start_with_keys(worker, keys=["alice"])
    fields = {"model": "m", "stream": True}
    answer = await gateway.client.post(MESSAGES, json=fields, headers={"x-api-key": "alice"})
    assert answer.is_success
    told, completion = await counted(gateway, "alice")
    assert 40 <= completion <= 46
    assert await charged(gateway, "alice") == told + completion


async def test_to_count_tokens_costs_none(start_with_keys, worker) -> None:
    worker.behaviour = whole({"input_tokens": 1234})
    gateway = await start_with_keys(worker, keys=["alice"])
    assert (await gateway.client.post(COUNT, json={"model": "m"}, headers=bearer("alice"))).is_success
    assert await counted(gateway, "alice") == (0, 0)
    assert await charged(gateway, "alice") == 0


@pytest.mark.parametrize("path", [RESPONSES, MESSAGES])
async def test_a_stream_whose_style_tells_usage_unasked_passes_as_it_is(gateway, worker, path) -> None:
    events = [*RESPONDED, COMPLETED] if path == RESPONSES else [*SAID_HELLO, ENDED, STOP]
    worker.behaviour = streamed(events, [], ())
    sent = b'{"model":"m","stream":true}'
    assert (await gateway.client.post(path, content=sent)).text == "".join(events)
    assert worker.requests[0].body == sent
