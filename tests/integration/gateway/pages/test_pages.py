"""Models, token check, metrics."""

import asyncio

import pytest


async def test_models_and_aliases_are_listed_with_what_the_worker_says(start_gateway, worker) -> None:
    gateway = await start_gateway(worker, aliases={"gpt": "m", "nobody": "nothing"})
    answer = (await gateway.client.get("/v1/models")).json()
    about = {"object": "model", "created": 0, "owned_by": "fastchat", "task": "Generate", "max_model_len": 64}
    assert answer == {"object": "list", "data": [about | {"id": "gpt", "root": "m"}, about | {"id": "m"}]}


async def test_a_model_is_listed_while_it_loads_and_while_its_worker_is_away(start_gateway, start_worker) -> None:
    worker = await start_worker(ready_status=503)
    gateway = await start_gateway(worker)
    assert (await gateway.client.get("/v1/models/m")).status_code == 200
    await worker.kill()
    await asyncio.sleep(0.3)
    assert (await gateway.client.get("/v1/models/m")).status_code == 200


async def test_a_worker_that_appears_later_is_found(start_gateway, start_worker) -> None:
    worker = await start_worker(cards=[])
    gateway = await start_gateway(worker)
    early = await gateway.chat()
    assert (early.status_code, early.json()["error"]["code"]) == (503, "model_unknown")
    assert early.headers["retry-after"]
    worker.cards = [{"id": "m"}]
    await asyncio.sleep(0.3)
    assert (await gateway.chat()).status_code == 200


async def test_while_a_worker_has_not_said_what_it_serves_no_name_is_denied(start_gateway, start_worker) -> None:
    known, silent = await start_worker(), await start_worker(cards=[])
    gateway = await start_gateway(known, silent)
    assert (await gateway.chat()).status_code == 200
    assert (await gateway.client.get("/v1/models/other")).status_code == 503
    silent.cards = [{"id": "n"}]
    await asyncio.sleep(0.3)
    assert (await gateway.client.get("/v1/models/other")).status_code == 404


async def test_two_workers_of_one_name_are_one_model(start_gateway, start_worker) -> None:
    gateway = await start_gateway(await start_worker(), await start_worker())
    assert [card["id"] for card in (await gateway.client.get("/v1/models")).json()["data"]] == ["m"]
    assert await gateway.metric("endpoints_ready", model="m") == 2


async def test_a_models_own_name_wins_over_anothers_alias(start_gateway, start_worker) -> None:
    worker = await start_worker(cards=[{"id": "n"}, {"id": "m"}])
    gateway = await start_gateway(worker, aliases={"n": "m", "gpt": "m"})
    cards = (await gateway.client.get("/v1/models")).json()["data"]
    assert [(card["id"], card.get("root")) for card in cards] == [("gpt", "m"), ("m", None), ("n", None)]


@pytest.mark.parametrize("cards", [[{"id": 7}], ["m"], None])
async def test_a_worker_that_lists_nonsense_serves_nothing_and_harms_nobody(start_gateway, start_worker, cards) -> None:
    strange = await start_worker(cards=cards)
    gateway = await start_gateway(strange, await start_worker())
    assert [card["id"] for card in (await gateway.client.get("/v1/models")).json()["data"]] == ["m"]


async def test_a_name_with_slashes_is_found_and_an_unknown_one_is_not(start_gateway, start_worker) -> None:
    gateway = await start_gateway(await start_worker(cards=[{"id": "org/m"}]))
    assert (await gateway.client.get("/v1/models/org/m")).json()["id"] == "org/m"
    answer = await gateway.client.get("/v1/models/nothing")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


async def counts_letters(connection) -> None:
    prompts = connection.request.json["prompts"]
    name = connection.request.json["prompts"][0]["model"]
    assert all(prompt["model"] == name for prompt in prompts)
    results = [{"fits": True, "tokenCount": len(p["prompt"]), "contextLength": len(name)} for p in prompts]
    connection.answer(200, {"prompts": results})


async def test_prompts_of_several_models_are_measured_by_their_own_in_order(start_gateway, start_worker) -> None:
    short = await start_worker(cards=[{"id": "m"}], behaviour=counts_letters)
    long = await start_worker(cards=[{"id": "longer"}], behaviour=counts_letters)
    gateway = await start_gateway(short, long, aliases={"gpt": "longer"})
    asked = [("gpt", "a"), ("m", "bb"), ("longer", "ccc"), ("m", "dddd")]
    prompts = [{"model": model, "prompt": prompt} for model, prompt in asked]
    answer = await gateway.client.post("/api/v1/token_check", json={"prompts": prompts})
    got = [(p["tokenCount"], p["contextLength"]) for p in answer.json()["prompts"]]
    assert got == [(1, 6), (2, 1), (3, 6), (4, 1)]
    assert (len(short.requests), len(long.requests)) == (1, 1)


async def check(gateway):
    return await gateway.client.post("/api/v1/token_check", json={"prompts": [{"model": "m", "prompt": "x"}]})


async def test_a_prompt_of_an_unknown_model_is_404(gateway) -> None:
    prompts = [{"model": "m", "prompt": "x"}, {"model": "other", "prompt": "x"}]
    answer = await gateway.client.post("/api/v1/token_check", json={"prompts": prompts})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"prompts": []}', b'{"prompts": [{"model": "m"}]}'])
async def test_a_wrong_token_check_is_400(gateway, body) -> None:
    answer = await gateway.client.post("/api/v1/token_check", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"]


async def test_the_workers_refusal_of_a_token_check_passes(gateway, worker) -> None:
    worker.behaviour = worker.says(400, {"error": {"message": "no tokens here"}})
    answer = await check(gateway)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "no tokens here")


@pytest.mark.parametrize("body", [b"oops", b'{"prompts": []}'])
async def test_a_workers_nonsense_about_tokens_is_502(gateway, worker, body) -> None:
    worker.behaviour = worker.says(200, body)
    answer = await check(gateway)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "bad_answer")


async def test_a_worker_of_two_models_has_its_requests_counted_under_each(start_gateway, start_worker) -> None:
    worker = await start_worker(cards=[{"id": "m"}, {"id": "other"}])
    worker.behaviour = worker.hangs
    gateway = await start_gateway(worker)
    asking = asyncio.create_task(gateway.chat())
    await worker.arrived.wait()
    assert await gateway.metric("requests_in_flight", model="m") == 1
    assert await gateway.metric("requests_in_flight", model="other") == 0
    asking.cancel()


async def test_requests_are_counted_and_timed_under_the_models_own_name(start_gateway, worker) -> None:
    gateway = await start_gateway(worker, aliases={"gpt": "m"})
    await gateway.chat(model="gpt")
    await gateway.chat()
    labels = {"model": "m", "route": "/v1/chat/completions"}
    assert await gateway.metric("requests_total", **labels, status="200", outcome="ok") == 2
    assert await gateway.metric("time_to_first_byte_seconds_count", **labels) == 2
    assert await gateway.metric("request_duration_seconds_count", **labels) == 2
