"""Bodies that are a lot of work to read: the gateway goes on answering others, and does not grow."""

import asyncio
import json
from collections.abc import AsyncIterator

import psutil
import pytest
from integration.gateway.access.test_keys import add, ask, bearer, code_of
from support.eventually import eventually_async as eventually
from support.gateways import GatewayProcess
from support.worst_bodies import CHAT, TOKEN_CHECK, at_gateway


@pytest.fixture
async def alone(worker) -> AsyncIterator[GatewayProcess]:
    """A gateway in a process of its own, so that its memory can be looked at."""
    process = GatewayProcess("--worker", worker.url, "--alias=alias=m", "--no-access-log")
    yield await process.ready()
    process.popen.kill()
    process.popen.wait()


class Watch:
    """Asks for /health without a pause, each time within a second; `most` is the most memory that was seen, in MiB."""

    def __init__(self, process: GatewayProcess) -> None:
        self._process = process
        self._about = psutil.Process(process.popen.pid)
        self.most = self.memory_mib()

    def memory_mib(self) -> float:
        return float(self._about.memory_info().rss) / 2**20

    async def until(self, over: asyncio.Event) -> None:
        async with self._process.client() as client:
            while not over.is_set():
                async with asyncio.timeout(10):
                    assert (await client.get("/health")).status_code == 200
                self.most = max(self.most, self.memory_mib())
                await asyncio.sleep(0.005)


async def test_a_gateway_answers_others_while_it_refuses_the_worst_bodies(alone, worker) -> None:
    watch, over = Watch(alone), asyncio.Event()
    before = watch.most
    watching = asyncio.create_task(watch.until(over))
    async with alone.client() as client:
        for name, (path, body) in at_gateway("m", "alias").items():
            answer = await client.post(path, content=body, timeout=60)
            assert (name, answer.status_code in {400, 404}) == (name, True)
            assert answer.json()["error"]["message"]
            assert (name, watching.done(), watch.most - before > 200) == (name, False, False)
    over.set()
    await watching
    assert worker.requests == []


@pytest.mark.parametrize("path", [CHAT, TOKEN_CHECK])
async def test_text_is_never_too_complex(start_gateway, worker, path) -> None:
    gateway = await start_gateway(worker, aliases={"alias": "m"}, load_balancing="PrefixHash")
    worker.behaviour = worker.says(200, {"prompts": [{"fits": True, "tokenCount": 1, "contextLength": 1}]})
    text = '{"a": [1, "b"]}, ' * 100_000
    body = {"model": "alias", "prompt": text}
    asked = body if path == CHAT else {"prompts": [body]}
    assert (await gateway.client.post(path, json=asked)).status_code == 200
    sent = worker.requests[0].json
    assert (sent if path == CHAT else sent["prompts"][0]) | {"max_tokens": 0} == {**body, "model": "m", "max_tokens": 0}


async def test_a_token_check_is_validated_for_those_who_may_ask_for_the_model(start_gateway, worker, tmp_path) -> None:
    add(tmp_path, "alice", models=["other"])
    gateway = await start_gateway(worker, keys_dir=tmp_path)
    wrong = {"prompts": [{"model": "m", "prompt": 7}]}
    answer = await gateway.client.post(TOKEN_CHECK, json=wrong, headers=bearer("alice"))
    assert (answer.status_code, code_of(answer)) == (403, "model_not_allowed")


async def test_a_token_check_that_is_wrong_counts_as_a_request_of_its_key(start_gateway, worker, tmp_path) -> None:
    add(tmp_path, "alice", requests_per_minute=2)
    gateway = await start_gateway(worker, keys_dir=tmp_path)
    for _ in range(2):
        wrong = await gateway.client.post(TOKEN_CHECK, json={"prompts": [{"model": "m"}]}, headers=bearer("alice"))
        assert wrong.status_code == 400
    assert (await ask(gateway, "alice")).status_code == 429


async def test_a_client_that_leaves_while_its_token_check_is_read_counts_no_longer(
    start_gateway, worker, tmp_path
) -> None:
    add(tmp_path, "alice", max_concurrent=1)
    gateway = await start_gateway(worker, keys_dir=tmp_path)
    body = json.dumps({"prompts": [{"model": "m", "prompt": ", " * 2**21}]}).encode()
    for _ in range(5):
        asking = asyncio.create_task(gateway.client.post(TOKEN_CHECK, content=body, headers=bearer("alice")))
        await asyncio.sleep(0.02)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    async def has_room() -> bool:
        return (await ask(gateway, "alice")).status_code == 200

    await eventually(has_room)
