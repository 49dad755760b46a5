"""The page of `fastchat up`, before a real worker with a real model."""

import pytest
from playwright.async_api import expect

from .conftest import Look, ask, shown

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_newcomer_sees_in_the_page_what_the_model_of_the_quickstart_says(served, look: Look) -> None:
    assert f"or chat in a browser at {served.url}/" in served.log.read_text()
    page = (await look(url=served.url)).page
    await page.locator("select").select_option("smollm2")
    await page.locator("#settings-button").click()
    await page.locator("#set-temperature").fill("0")
    await page.keyboard.press("Enter")
    await ask(page, "What is the capital of France?")
    prompt, answer = await shown(page)
    assert prompt == "What is the capital of France?"
    assert "Paris" in answer
    figures = page.locator(".assistant .figures")
    await expect(figures).to_contain_text("tokens/s")
    await expect(figures).to_contain_text("first after")
    names = await page.locator("select option").all_text_contents()
    assert sorted(names) == ["smollm2", "vicuna-7b-v1.1"]  # not the model that embeds
