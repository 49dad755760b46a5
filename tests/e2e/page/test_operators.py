"""The operators' view."""

import pytest
from playwright.async_api import Page, expect

from .conftest import MODELS, OPERATOR, TOKEN, Hand, Look, World, ask

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def opened(page: Page, hand: Hand, key: str) -> None:
    await hand.use(page.locator("#to-operators"))
    await expect(page.locator("#key-dialog")).to_be_visible()
    await page.keyboard.type(key)
    await page.keyboard.press("Enter")


async def test_models_workers_and_throughput_are_shown_with_the_internal_token(page: Page, hand: Hand) -> None:
    await ask(page, "hello")
    await opened(page, hand, TOKEN)
    await expect(page.locator("#models-rows tr")).to_have_count(len(MODELS))
    await expect(page.locator("#models-rows tr").first).to_contain_text("1/1")
    assert await page.locator("#models-rows .state").all_inner_texts() == ["Ready"] * len(MODELS)
    await expect(page.locator("#models-rows .sparkline polyline").first).to_be_attached()
    await expect(page.locator("#models-rows .sparkline").first).to_have_attribute(
        "aria-label", "Requests of alpha: now 0.0/s, at most –"
    )
    await hand.use(page.locator("#to-chat"))
    await expect(page.locator("#chat-view")).to_be_visible()
    await expect(page.locator("#operators-view")).to_be_hidden()


async def test_keys_are_shown_with_limits_and_usage_to_an_operators_key(look: Look, world: World) -> None:
    page = (await look("/#operators", url=world.guarded)).page
    await expect(page.locator("#key-dialog")).to_be_visible()
    await page.keyboard.type(OPERATOR)
    await page.keyboard.press("Enter")
    await expect(page.locator("#keys-rows tr")).to_have_count(2)
    user = page.locator("#keys-rows tr").filter(has_text="users-key")
    await expect(user).to_contain_text("60 requests/min")
    await page.locator("#to-chat").click()
    await expect(page.locator("select option")).to_have_count(len(MODELS))
    await ask(page, "hello")
    await page.locator("#to-operators").click()
    operator = page.locator("#keys-rows tr").filter(has_text="may see this page")
    await expect(operator.locator("td").last).to_have_text("7")
    assert "Nothing can be changed here" in await page.locator("#operators-view").inner_text()


async def test_a_users_key_sees_nothing_of_it_and_is_told_what_would(look: Look, world: World) -> None:
    page = (await look("/#operators", url=world.guarded)).page
    await page.locator("#key-input").fill("users-key")
    await page.keyboard.press("Enter")
    await expect(page.locator("#key-reason")).to_contain_text("fastchat keys create --operator")
    await expect(page.locator("#operators-data")).to_be_hidden()


ROOT_CAUSE = {
    "name": "big", "aliases": [], "task": "Generate", "source": "hf://org/big", "parent": None, "max_model_len": None,
    "replicas": 2, "ready": 0, "held": 3, "in_flight": 0, "endpoints": [],
}  # fmt: skip


async def test_a_root_cause_and_the_progress_of_loading_are_shown(page: Page, world: World) -> None:
    condition = {"type": "Ready", "status": "False", "reason": "Unschedulable", "message": "no node has a free GPU"}
    status = {"conditions": [condition], "progress": {"phase": "Downloading", "percent": 30, "etaSeconds": 95}}
    told = {"version": "1", "stopping": False, "discovery": {"connected": True, "seconds": 1.0}, "keys": []}
    document = told | {"models": [ROOT_CAUSE | {"status": status}]}
    await page.route("**/internal/overview", lambda route: route.fulfill(json=document))
    await page.evaluate(f"sessionStorage['fastchat.key'] = '{TOKEN}'")
    await page.locator("#to-operators").click()
    row = page.locator("#models-rows tr")
    await expect(row).to_contain_text("Unschedulable")
    await expect(row).to_contain_text("no node has a free GPU")
    await expect(row).to_contain_text("Downloading, 30 %, 95 s left")
    await page.unroute("**/internal/overview")
