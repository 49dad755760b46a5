"""A gateway that is killed cuts no stream of our own client's: it goes on at the next one."""

import asyncio
import signal

import pytest
from integration.resuming.requests import QUESTION
from support.eventually import eventually_async
from support.gateways import GatewayProcess

import fastchat

SAMPLING = {"temperature": 1.0, "seed": 7, "max_tokens": 150, "n": 2, "ignore_eos": True}


def read(url: str, progress: list[int]) -> list[str]:
    """The texts of all choices."""
    texts = ["", ""]
    with fastchat.Client(base_url=url, max_retries=10) as client:
        for chunk in client.chat.completions.create(model="small", messages=QUESTION, stream=True, **SAMPLING):
            progress[0] += 1
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
    return texts


async def aread(url: str, progress: list[int]) -> list[str]:
    texts = ["", ""]
    async with fastchat.AsyncClient(base_url=url, max_retries=10) as client:
        stream = await client.chat.completions.create(model="small", messages=QUESTION, stream=True, **SAMPLING)
        async for chunk in stream:
            progress[0] += 1
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
    return texts


@pytest.mark.parametrize("reads", [lambda *args: asyncio.to_thread(read, *args), aread], ids=["Client", "AsyncClient"])
async def test_a_killed_gateway_cuts_no_stream(start_worker, reads) -> None:
    worker = start_worker()
    arguments = [f"--worker={worker.url}", "--no-access-log"]
    gateway = await GatewayProcess(*arguments).ready()
    expected = await reads(gateway.url, [0])
    progress = [0]
    task = asyncio.create_task(reads(gateway.url, progress))
    await eventually_async(lambda: progress[0] >= 10)
    await gateway.stop(signal.SIGKILL)
    before = progress[0]
    assert not task.done()
    next_one = GatewayProcess(*arguments, f"--port={gateway.url.rpartition(':')[2]}")
    for found, whole in zip(await task, expected, strict=True):
        same = next((at for at, pair in enumerate(zip(found, whole, strict=False)) if pair[0] != pair[1]), None)
        assert found == whole, f"from character {same} of {len(whole)}"
    assert progress[0] > before
    next_one.popen.kill()
    next_one.popen.wait()
