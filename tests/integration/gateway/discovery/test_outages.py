"""Serving goes on while the Kubernetes API does not answer, and what was missed is caught up with."""

import asyncio
import re
import time

import pytest
from support.eventually import eventually_async as eventually


async def seconds_until(check):
    started = time.monotonic()
    await eventually(check)
    return time.monotonic() - started


@pytest.fixture
async def served(gateway, team, worker):
    """The gateway, which serves `m` by one worker."""
    await team.deploy()
    await team.place(team.at(worker.host))

    async def there():
        return await gateway.metric("endpoints_ready", model="m") == 1

    await eventually(there)
    return gateway


async def names(gateway):
    return {card["id"] for card in (await gateway.client.get("/v1/models")).json()["data"]}


async def ready(gateway):
    return (await gateway.client.get("/ready")).status_code == 200


async def connected(gateway):
    return await gateway.metric("discovery_connected") == 1


async def disconnected(gateway):
    return await gateway.metric("discovery_connected") == 0


async def replace_models(team):
    """What is there afterwards differs in every respect from what was there before."""
    await team.delete("m")
    await team.displace()
    await team.deploy("other")


async def has_other(gateway):
    return await names(gateway) == {"other"}


async def test_before_it_has_heard_of_all_models_a_gateway_lives_but_is_not_ready(launch, relay, team) -> None:
    await team.deploy()
    await relay.cut()
    gateway = await launch()
    assert (await gateway.client.get("/health")).status_code == 200
    answer = await gateway.client.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "starting")
    assert answer.json()["discovery"].startswith("no word from the Kubernetes API for")
    early = await gateway.chat()
    assert (early.status_code, early.json()["error"]["code"]) == (503, "model_unknown")
    await relay.open()
    await eventually(lambda: ready(gateway))
    assert (await gateway.client.get("/ready")).json() == {"status": "ok"}
    assert await names(gateway) == {"m"}


async def test_while_the_api_server_is_stopped_serving_goes_on_and_afterwards_it_is_followed_again(
    served, api_server, team
) -> None:
    api_server.stop()
    try:
        await eventually(lambda: disconnected(served))
        await asyncio.sleep(1)
        assert (await served.chat()).status_code == 200
        answer = await served.client.get("/ready")
        assert answer.status_code == 200
        assert re.fullmatch(r"no word from the Kubernetes API for \d+ s", answer.json()["discovery"])
        assert await served.metric("discovery_silent_seconds") > 1
    finally:
        api_server.start()  # not in another thread: its processes would end with that
    seconds = await seconds_until(lambda: connected(served))
    print(f"followed again {seconds:.1f} s after the API server was ready")

    async def written():
        try:
            return await team.deploy("other")
        except AssertionError:  # it is ready before it knows its own resources
            return False

    await eventually(written)
    await eventually(lambda: knows_both(served))
    assert (await served.chat()).status_code == 200


async def knows_both(gateway):
    return await names(gateway) == {"m", "other"}


async def test_while_the_api_server_hangs_serving_goes_on_and_nothing_is_lost(served, api_server, team) -> None:
    api_server.pause()
    try:
        for _ in range(10):
            assert (await served.chat()).status_code == 200
            await asyncio.sleep(0.2)
    finally:
        api_server.resume()
    await replace_models(team)
    await eventually(lambda: has_other(served))


async def test_what_was_deleted_while_the_connection_was_cut_is_gone_afterwards(served, relay, team) -> None:
    await relay.cut()
    await replace_models(team)
    assert (await served.chat()).status_code == 200
    await relay.open()
    seconds = await seconds_until(lambda: has_other(served))
    print(f"caught up {seconds:.1f} s after the connection could be made again")
    assert (await served.chat()).status_code == 404


async def test_after_50_silent_seconds_the_gateway_catches_up(served, relay, team) -> None:
    """Nothing is closed or refused: packets get lost. Longer silence than a watch ever keeps must be noticed."""
    relay.freeze()
    frozen = time.monotonic()
    await replace_models(team)
    while time.monotonic() < frozen + 50:
        assert (await served.chat()).status_code == 200
        assert await ready(served)
        await asyncio.sleep(0.5)
    assert await disconnected(served)
    assert await served.metric("discovery_silent_seconds") > 45
    relay.thaw()
    seconds = await seconds_until(lambda: has_other(served))
    print(f"caught up {seconds:.1f} s after the silence")


async def test_rights_that_are_missing_are_named_and_used_once_they_are_there(launch, team, caplog) -> None:
    await team.deploy()
    await team.allow("get")
    gateway = await launch()

    async def complained():
        return sum("cannot list" in record.getMessage() for record in caplog.records) == 3

    await eventually(complained)
    await asyncio.sleep(1)
    assert await complained()  # not again and again
    assert 'cannot list resource "modeldeployments" in API group "fastchat.io"' in caplog.text
    assert 'cannot list resource "endpointslices" in API group "discovery.k8s.io"' in caplog.text
    assert "must allow get, list and watch" in caplog.text
    assert not await ready(gateway)
    await team.allow("get", "list", "watch")
    await eventually(lambda: ready(gateway))
    assert await names(gateway) == {"m"}


@pytest.mark.parametrize("readable", ["modeldeployments", "endpointslices"])
async def test_a_gateway_that_has_heard_of_half_of_it_is_not_ready(launch, team, caplog, readable) -> None:
    caplog.set_level("INFO")
    await team.allow("get", "list", "watch", resources=[readable])
    gateway = await launch()

    async def heard():
        return f"following {readable}" in caplog.text

    await eventually(heard)
    await asyncio.sleep(0.2)
    assert not await ready(gateway)
    assert (await gateway.chat()).status_code == 503


async def test_a_crd_that_is_missing_is_named_and_used_once_it_is_there(
    launch, team, api_server, install_crd, caplog
) -> None:
    await asyncio.to_thread(api_server.kubectl, "delete", "crd", "modeldeployments.fastchat.io")
    try:
        gateway = await launch()

        async def complained():
            return "cannot list modeldeployments.fastchat.io/v1alpha1: 404" in caplog.text

        await eventually(complained)
        assert "its CRD is not installed" in caplog.text
        assert not await ready(gateway)
    finally:
        await asyncio.to_thread(install_crd)
    await eventually(lambda: ready(gateway))


@pytest.fixture
async def meddled_with(launch_behind_meddler, team, worker):
    """A gateway that reads through the meddler, and serves `m`."""
    await team.deploy()
    await team.place(team.at(worker.host))
    gateway = await launch_behind_meddler()
    await eventually(lambda: ready(gateway))
    return gateway


async def test_a_watch_from_a_time_that_the_api_server_has_forgotten_becomes_a_listing(
    meddled_with, meddler, team, caplog
) -> None:
    meddler.version = "1"

    async def told():
        meddler.end_watches()  # again: one may only just be beginning
        await asyncio.sleep(0.2)
        return "too old resource version: 1" in caplog.text

    await eventually(told)
    meddler.version = None
    await replace_models(team)
    await eventually(lambda: has_other(meddled_with))


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense\n",
        b"[]\n",
        b'{"type": "ADDED", "object": {"metadata": {}}}\n',
        b'{"type": "RENAMED", "object": {"metadata": {"name": "m", "resourceVersion": "1"}}}\n',
        b'{"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "etcd is on fire"}}\n',
    ],
)
async def test_after_an_event_that_makes_no_sense_all_is_listed_again(meddled_with, meddler, team, line) -> None:
    meddler.says = line
    before = meddler.lists
    meddler.end_watches()

    async def listed_again():
        return meddler.lists > before + 2

    await eventually(listed_again)
    assert (await meddled_with.chat()).status_code == 200
    meddler.says = b""
    await replace_models(team)
    await eventually(lambda: has_other(meddled_with))


async def test_a_listing_is_renewed_after_a_while_even_if_all_seems_well(
    monkeypatch, launch_behind_meddler, team, meddler
) -> None:
    monkeypatch.setattr("fastchat._kube.reflector.LIST_SECONDS", 1)
    monkeypatch.setattr("fastchat._kube.reflector.WATCH_SECONDS", (1, 1))
    await team.deploy()
    gateway = await launch_behind_meddler()
    await eventually(lambda: ready(gateway))
    meddler.deaf = True  # events are lost, and watches end as if nothing had happened
    await team.place()  # for its being replaced
    await replace_models(team)
    await eventually(lambda: has_other(gateway))
    assert await connected(gateway)
