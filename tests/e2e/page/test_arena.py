"""Models side by side, and which of them is better."""

import json

import pytest
from playwright.async_api import Page, expect

from .conftest import MODELS, Hand, ask, shown
from .model import Script

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def side_by_side(page: Page, hand: Hand, count: int = 2) -> None:
    for _ in range(count - 1):
        await hand.use(page.locator("#compare-button"))


async def test_up_to_four_models_get_the_same_prompt_and_each_goes_on_with_its_own_words(
    page: Page, hand: Hand
) -> None:
    await side_by_side(page, hand, 4)
    await expect(page.locator("#compare-button")).to_be_hidden()
    await ask(page, "hi")
    assert [(await shown(page, at))[1] for at in range(4)] == [f"{name} heard: hi" for name in sorted(MODELS)[:4]]
    await hand.use(page.get_by_label("Remove Model B"))
    await ask(page, "more")
    assert [len(await shown(page, at)) for at in range(3)] == [4, 4, 4]
    assert (await shown(page, 1))[3] == "delta heard: more"


async def test_an_edited_message_is_another_one_in_all_columns(page: Page, hand: Hand) -> None:
    await side_by_side(page, hand)
    await ask(page, "one")
    await hand.use(page.get_by_label("Edit message").nth(1))
    await page.keyboard.press("Control+a")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")
    await expect(page.locator(".assistant .text")).to_have_text(["alpha heard: two", "beta heard: two"])


async def test_a_vote_is_kept_in_the_browser_and_exported_as_a_line(page: Page, hand: Hand, tmp_path) -> None:
    await side_by_side(page, hand)
    for prompt, choice in (
        ("one", "Model A is better"),
        ("two", "Model B is better"),
        ("three", "They are equally good"),
        ("four", "None is good"),
    ):
        await expect(page.locator(".votes")).to_have_count(0)
        await ask(page, prompt)
        await hand.use(page.get_by_label(choice))
    async with page.expect_download() as downloading:
        await hand.use(page.locator("#export-votes"))
    file = tmp_path / "votes.jsonl"
    await (await downloading.value).save_as(file)
    votes = [json.loads(line) for line in file.read_text().splitlines()]
    assert [vote["type"] for vote in votes] == ["leftvote", "rightvote", "tievote", "bothbad_vote"]
    assert all(vote["models"] == ["alpha", "beta"] and vote["anony"] is False for vote in votes)
    assert votes[0]["states"][1]["messages"][-1] == {"role": "assistant", "content": "beta heard: one"}


async def test_names_are_hidden_until_the_vote(page: Page, hand: Hand, world) -> None:
    world.model.scripts["who"] = Script("me")
    await hand.use(page.locator("#blind-button"))
    await expect(page.locator("#blind-button")).to_have_attribute("aria-pressed", "true")
    await ask(page, "who")
    said = await page.locator("#columns").text_content()
    assert not any(name in said for name in MODELS)
    assert await page.locator(".hidden-name").all_text_contents() == ["Model A", "Model B"]
    asked = {each["model"] for each in world.model.requests[-2:]}
    assert len(asked) == 2
    await hand.use(page.get_by_label("Model A is better"))
    assert set(await page.locator(".assistant .speaker").all_text_contents()) == asked
    assert json.loads(await page.evaluate("localStorage['fastchat.votes']"))[0]["anony"] is True
